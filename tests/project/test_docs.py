"""What the documentation shows is executed, or parsed by what would execute it; what may be imported is documented.

Python runs as doctests; commands are parsed by the program that they name, and the quick ones run among the slow tests.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import itertools
import pkgutil
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

import click
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from verify.claims import all_claims
from verify.cli import app
from verify.commands import training
from verify.trainer import Config, TrainerError

ROOT = Path(__file__).resolve().parents[2]
MADE = ("_build", "generated")
PAGES = sorted(
    path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("*/**/*.md"))
    if not {part for part in path.relative_to(ROOT).parts if part in MADE or part.startswith(".")}
)
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

SHOWN = {
    "docs/howto/own_problem.md": "output, compared by test_examples with what is printed",
    "README.md": "the folders",
    "CONTRIBUTING.md": "the packages",
}
"""Pages with blocks of text, which nothing can execute."""

RUN_BY = {
    "docs/examples/my_problem.py": "tests/project/test_examples.py",
    "docs/examples/games.toml": "tests/verify/test_sweep.py",
    **{
        f"docs/examples/loops/{name}.py": "tests/project/test_examples.py"
        for name in ("plain_torch", "lightning_module", "hugging_face", "timm_networks")
    },
}
"""Files that pages include, and the test that runs them."""

STANDS_FOR = {"COMMAND": "list", "ID": "D1", "β": "0.5", "G": "1", "ρ": "1", "A2": "0.5"}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def tokens_of(text: str) -> list[Token]:
    return MarkdownIt().enable("table").parse(text)


def blocks(tokens: list[Token]) -> Iterator[tuple[str, str]]:
    """Language and text of each block of code."""
    return ((token.info.strip(), token.content) for token in tokens if token.type in ("fence", "code_block"))


def commands(tokens: list[Token]) -> Iterator[str]:
    """Each command, in a block or in a sentence."""
    for language, text in blocks(tokens):
        if language == "sh":
            yield from text.splitlines()
    for part in (part for token in tokens for part in token.children or ()):
        if part.type == "code_inline" and re.match(r"(rdml|make|python|pip|\.venv/bin/\w+) ", part.content):
            yield part.content


def fault_of_python(page: Path, text: str) -> str | None:
    """A session is a doctest if pytest collects its page; code without prompts is run by nothing."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first.startswith(">>> "):
        return f"code without prompts, which nothing runs: {first}"
    if not any(page.is_relative_to(ROOT / place) for place in SETTINGS["tool"]["pytest"]["ini_options"]["testpaths"]):
        return "pytest does not collect the page"
    return None


def fault_of_rdml(words: list[str]) -> str | None:
    """What the command line itself says of a command, which is not run."""
    if (command := app.commands.get(words[0])) is None:
        return None if words[0] in ("--help", "--version") else f"no such command: {words[0]}"
    if words[1:] in ([], ["--help"]):  # speaks of the command
        return None
    try:
        parameters = command.make_context(words[0], words[1:]).params
        if words[0] == "train":
            recipe, fields = parameters["config"], {n: parameters[n] for n in get_type_hints(Config)}
            training.configured(fields, recipe if recipe and recipe.stem == str(recipe) != "NAME" else None)
    except (click.ClickException, TrainerError) as error:
        return str(error)
    named = [*parameters.get("ids", ()), parameters.get("identifier"), parameters.get("claim")]
    return next((f"no such claim: {one}" for one in named if one and one not in all_claims()), None)


def fault_of_script(words: list[str]) -> str | None:
    """A script and its options must exist, as must the extras that pip is asked for."""
    match words:
        case ["-m", "verify", *rest]:
            return fault_of_rdml(rest) if rest else None
        case ["-m", "pytest", path, *_]:
            return None if (ROOT / path).exists() else f"no such file: {path}"
        case [path, *options]:
            if not (ROOT / path).exists():
                return f"no such file: {path}"
            text = (ROOT / path).read_text(encoding="utf-8")
            if "record.parser" in text:
                text += (ROOT / "benchmarks" / "record.py").read_text(encoding="utf-8")
            return next((f"no option {o}" for o in options if o.startswith("-") and f'"{o}"' not in text), None)
    return "nothing to run"


def fault_of_included(path: Path) -> str | None:
    """A page, or an example that a test runs."""
    name = name_of(path)
    if path in PAGES:
        return None
    if name in RUN_BY and path.stem in (ROOT / RUN_BY[name]).read_text(encoding="utf-8"):
        return None
    return f"no test runs {name}"


def fault_of_pip(words: list[str]) -> str | None:
    match words:
        case ["install", what] if found := re.fullmatch(r"\.(?:\[([\w,]+)\])?", what):
            extras = set((found[1] or "").split(",")) - {""}
            unknown = extras - set(SETTINGS["project"]["optional-dependencies"])
            return f"no extra {unknown}" if unknown else None
    return "nothing but this folder and its extras is installed"


def fault_of_command(line: str) -> str | None:
    """Why a line would be wrong usage; None if it would not."""
    line = line.partition(" | ")[0]
    if line.startswith("rdml"):
        line = re.sub(r"[\[\]]", "", line)  # around what may be left out
    match [STANDS_FOR.get(word, word) for word in shlex.split(line, comments=True)]:
        case [] | ["rdml" | "python" | ".venv/bin/python"] | [".", ".venv/bin/activate"]:
            return None
        case ["rdml", *rest]:
            return fault_of_rdml(rest)
        case ["python" | ".venv/bin/python", *rest]:
            return fault_of_script(rest)
        case ["pip", *rest]:
            return fault_of_pip(rest)
        case ["make", *targets]:
            return next((f"no target {t}" for t in targets if not re.search(rf"^{t}:", MAKEFILE, re.MULTILINE)), None)
        case ["eval", script] if re.fullmatch(r"\$\(_RDML_COMPLETE=(bash|zsh)_source rdml\)", script):
            return None
        case ["_RDML_COMPLETE=fish_source", "rdml"]:
            return None
    return "an unknown program"


def faults(page: Path, text: str) -> Iterator[str]:
    """What no test executes, and what would be wrong usage, in the text of a page."""
    tokens = tokens_of(text)
    for language, block in blocks(tokens):
        fault = None
        match language.split():
            case ["python"]:
                fault = fault_of_python(page, block)
            case ["{literalinclude}" | "{include}", path]:
                fault = fault_of_included((page.parent / path).resolve())
            case ["text"] if name_of(page) not in SHOWN:
                fault = "text that nothing holds against what it shows"
            case ["text"] | ["tex"]:
                pass
            case ["sh"] | ["{eval-rst}"] | ["{toctree}"] | ["{figure}", _]:
                pass  # commands are tried below; the rest is Sphinx's, which ends at what it cannot build
            case _:
                fault = f"unknown language {language!r}"
        if fault:
            yield f"{fault}: {block[:60]!r}"
    for line in commands(tokens):
        if fault := fault_of_command(line):
            yield f"{fault}: {line!r}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_and_command_is_executed_or_parsed(page):
    assert list(faults(page, page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```python\nprint(1)\n```", "without prompts"),
        ("    >>> 1 + 1\n    2\n", "unknown language ''"),
        ("```toml\na = 1\n```", "unknown language 'toml'"),
        ("```text\nnothing here does this\n```", "nothing holds"),
        ("```{literalinclude} examples/unheard_of.py\n```", "no test runs"),
        ("```sh\nrdml bound --smothness 1\n```", "No such option"),
        ("```sh\nrdml bound --smoothness one\n```", "expected a number"),
        ("```sh\n. .venv/bin/activate\nmake verfy\n```", "no target verfy"),
        ("```sh\ncurl example.org\n```", "unknown program"),
        ("`rdml show C99`", "no such claim"),
        ("`rdml shwo C2`", "no such command"),
        ("`rdml plot C5 --size colum --out results`", "expected one of"),
        ("`rdml train --alpah 2`", "alpah"),
        ("`rdml train --config mnist2d_table`", "no recipe"),
        ("| a | b |\n| - | - |\n| c | `rdml recipe mnist` |", "no such command"),
        ("`python benchmarks/bench_nothing.py`", "no such file"),
        ("`python benchmarks/bench_losses.py --fast`", "no option --fast"),
        ("`python -m verify shwo`", "no such command"),
        ("`pip install rdml-theory`", "nothing but this folder"),
        ("`pip install '.[gpu]'`", "no extra"),
    ],
)
def test_what_is_not_executed_or_wrong_is_noticed(text, said):
    (fault,) = faults(ROOT / "docs" / "faq.md", text)
    assert said in fault


def test_a_session_on_a_page_that_is_not_collected_is_noticed():
    (fault,) = faults(ROOT / "benchmarks" / "README.md", "```python\n>>> 1 + 1\n2\n```")
    assert "does not collect" in fault


@pytest.mark.slow
def test_the_quick_commands_of_the_pages_run():
    """The others take minutes, the results of a run, or a file that the reader has to write."""
    tried = 0
    for line in sorted({line for page in PAGES for line in commands(tokens_of(page.read_text(encoding="utf-8")))}):
        words = shlex.split(re.sub(r" \| .*|[\[\]]", "", line), comments=True)
        words = [STANDS_FOR.get(word, word) for word in words]
        match words:
            case ["rdml", "list" | "doctor" | "recipes", *_] | ["rdml", "advise" | "bound" | "prove" | "show", _, *_]:
                pass
            case ["rdml", "verify-problem", own, *_] if (ROOT / own.partition(":")[0]).exists():
                pass
            case _:
                continue
        command = [sys.executable, "-m", "verify", *words[1:]]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        tried += 1
    assert tried >= 12


def module_at(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FORMULAS = module_at(ROOT / "docs" / "formulas_of_names.py")
TABLE = module_at(ROOT / "docs" / "problem_table.py")


def directives() -> Iterator[tuple[str, str, str]]:
    """Kind, path and options of each directive of autodoc in the reference."""
    for page in sorted((ROOT / "docs" / "api").glob("*.md")):
        text = page.read_text(encoding="utf-8").replace(TABLE.MARK, TABLE.modules())
        yield from re.findall(r"^\.\. auto(\w+):: (\S+)\n((?:   .*\n)*)", text, re.MULTILINE)


def reference() -> dict[str, set[str]]:
    """The names that the pages of the reference list, by module, as `sphinx.ext.autodoc` reads the directives."""
    listed: dict[str, set[str]] = {}
    for kind, path, options in directives():
        if kind == "module":
            wanted, left_out = (re.search(rf":{o}:(.*)", options) for o in ("members", "exclude-members"))
            names = re.findall(r"\w+", wanted[1]) or importlib.import_module(path).__all__
            listed.setdefault(path, set()).update(set(names) - set(re.findall(r"\w+", left_out[1] if left_out else "")))
        else:
            module, _, name = path.rpartition(".")
            listed.setdefault(module, set()).add(name)
    return listed


def public() -> set[tuple[str, str]]:
    """What users may import: `__all__` of each package and of each module that the reference takes whole, and what
    pages and examples import."""
    modules = {path for kind, path, options in directives() if kind == "module" and ":members:\n" in options}
    modules = {path for path in modules if "._" not in path}
    for name in ("rdml_theory", "convergence", "verify"):
        package = importlib.import_module(name)
        modules.add(name)
        modules.update(m.name for m in pkgutil.walk_packages(package.__path__, f"{name}.") if m.ispkg)
    names = {(module, name) for module in modules for name in getattr(importlib.import_module(module), "__all__", ())}
    code = [*PAGES, *(ROOT / "docs" / "examples").rglob("*.py")]
    for text in (path.read_text(encoding="utf-8") for path in code):
        for module, group in re.findall(r"from ((?:rdml_theory|convergence|verify)[\w.]*) import ([\w, ]+)", text):
            names.update((module, name.split()[0]) for name in group.split(","))
    return {(m, n) for m, n in names if not isinstance(getattr(importlib.import_module(m), n), ModuleType)}


def described(module: str, name: str) -> bool:
    """Whether autodoc has anything to print: a docstring, a formula, for other data the string below its assignment."""
    value = getattr(importlib.import_module(module), name)
    if inspect.isclass(value) or inspect.isroutine(value):
        return bool(value.__doc__)
    if FORMULAS.formula(value):
        return True
    body = ast.parse(inspect.getsource(importlib.import_module(module))).body
    for one, after in itertools.pairwise(body):
        targets = one.targets if isinstance(one, ast.Assign) else [one.target] if isinstance(one, ast.AnnAssign) else []
        if name in [ast.unparse(target) for target in targets]:
            return isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    return False


def undocumented(listed: dict[str, set[str]]) -> list[str]:
    """Public names that no page of the reference describes, under that path or, the same object, under another."""
    there = {(m, n) for m, names in listed.items() for n in names if described(m, n)}
    objects = [(n, getattr(importlib.import_module(m), n)) for m, n in there]

    def elsewhere(module: str, name: str) -> bool:
        value = getattr(importlib.import_module(module), name)
        return any(name == other and value is one for other, one in objects)

    return [f"{m}.{n}" for m, n in sorted(public() - there) if not elsewhere(m, n)]


def test_every_public_name_is_documented():
    assert undocumented(reference()) == []


@pytest.mark.slow
def test_the_built_reference_has_every_public_name():
    """What Sphinx lists in the site that other projects link to, `objects.inv`."""
    pytest.importorskip("sphinx")
    from sphinx.util.inventory import InventoryFile

    inventory = ROOT / "docs" / "_build" / "html" / "objects.inv"
    if not inventory.exists():
        pytest.skip("the site is not built: `make docs` builds it")
    with inventory.open("rb") as file:
        kinds = InventoryFile.load(file, "", lambda base, path: path)
    names = {name for kind, entries in kinds.items() if kind.startswith("py:") for name in entries}
    assert [
        f"{m}.{n}" for m, listed in reference().items() for n in listed if described(m, n) and f"{m}.{n}" not in names
    ] == []


def test_a_name_that_the_reference_leaves_out_is_noticed():
    listed = reference()
    listed["convergence"] -= {"simulate"}
    del listed["verify.plots"]
    missing = undocumented(listed)
    assert "convergence.simulate" in missing
    assert "verify.plots.render_all" in missing
