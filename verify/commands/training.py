"""The command `rdml train`: flags from the configuration's fields, one run or a comparison."""

from __future__ import annotations

import contextlib
from ast import literal_eval
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import click
from rich.markup import escape

from convergence.arguments import did_you_mean
from verify.commands.catalogue import RECIPES
from verify.commands.common import errors, output, sentence
from verify.trainer.comparison import (
    Arm,
    compare,
    difference_rows,
    in_words,
    markdown,
    notes,
    objectives,
    score_rows,
)
from verify.trainer.config import Config, changed, described, read_config
from verify.trainer.errors import StoppedError, TrainerError
from verify.trainer.folder import CONFIG, Result
from verify.trainer.networks import NETWORKS, runs_code
from verify.trainer.run import Report, train
from verify.trainer.show import fitted, progress_bar, score_table, write_report

__all__ = ["configured", "flags", "run", "run_comparison"]

COMPARED_SEEDS = 8


@cache
def flags() -> tuple[click.Option, ...]:
    """A flag for every field of the configuration, whose text is read as the value of a file is.

    >>> [flag.opts for flag in flags()][:3], [flag.secondary_opts for flag in flags() if flag.name == "nesterov"]
    ([['--students'], ['--data'], ['--data-dir']], [['--no-nesterov']])
    """
    said, made = described(), []
    said["students"] += f" The built-in ones are {', '.join(NETWORKS)}."
    for field, hint in get_type_hints(Config).items():
        name, yes_or_no = field.replace("_", "-"), hint is bool
        words = "|".join(word for word in get_args(hint) if isinstance(word, str))
        option = click.Option(
            [f"--{name}/--no-{name}" if yes_or_no else f"--{name}"], default=None, is_flag=yes_or_no,
            metavar=f"[{words}]" if words else None if yes_or_no else Config.__annotations__[field].upper(),
            help=f"{said[field]} (default: {getattr(Config, field)})",
        )  # fmt: skip
        made.append(option)
    return tuple(made)


def _value(field: str, given: Any) -> Any:
    """What a flag's text stands for, where the field holds no text itself."""
    hint = get_type_hints(Config)[field]
    # With a comma it is the integers of a tuple, and elsewhere a number that was typed wrongly.
    if (
        isinstance(given, str)
        and hint not in (str, Path, Path | None)
        and ("," not in given or get_origin(hint) is tuple)
    ):
        with contextlib.suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return literal_eval(given)
    return given


def configured(given: Mapping[str, Any], file: Path | None, *, allow_code: bool = False) -> Config:
    """The configuration of a file, of a recipe or of neither, with the flags that are given, others being None.

    Raises
    ------
    TrainerError
        If a flag has a wrong value, there is no such file, or it names code to be run and ``allow_code`` is not given:
        what a file names is not what the user typed.

    Examples
    --------
    >>> configured({"alpha": "0.5", "beta": None, "lr_milestones": "60,120"}, None).lr_milestones
    (60, 120)
    """
    if file is not None and not file.exists():
        if not (known := RECIPES / f"{file}.toml").is_file():
            names = sorted(path.stem for path in RECIPES.glob("*.toml"))
            meant = did_you_mean(str(file), names)
            raise TrainerError(f"--config {file}: no such file and no recipe; recipes are {', '.join(names)}{meant}")
        file = known
    default = Config() if file is None else read_config(file)
    try:
        config = changed(default, {name: _value(name, text) for name, text in given.items() if text is not None})
    except TrainerError as error:
        raise TrainerError(f"{error} (see `rdml train --help`)") from None
    for name, value in _code(config).items():
        if file is not None and not allow_code and getattr(default, name) == value:
            raise TrainerError(
                f"{file}: {name} = {value!r} runs Python code that the file names; if you trust the file and that "
                "code, add --allow-code"
            )
    return config


def _code(config: Config) -> dict[str, str]:
    """The fields that name code to be run."""
    fields = {"students": config.students} if runs_code(config.students) else {}
    return fields | ({"data": config.data} if ":" in config.data else {})


def run(config: Config, *, resume: bool) -> Path:
    """Train, print the table, write figure and report; returns the run's folder."""
    out, log = output(), errors()

    def started(folder: Path, step: int) -> None:
        log.print(escape(str(folder) + (f", from step {step}" if step else "")), soft_wrap=True)

    try:
        with progress_bar(log) as report:
            result = train(config, resume=resume, report=report, started=started)
    except StoppedError as stopped:
        code = " --allow-code" if _code(config) else ""
        remedy = f"rdml train --config {stopped}/config.json --resume{code}"
        raise StoppedError(f"interrupted, saved in {stopped}: `{remedy}` continues") from None
    if result is None:
        return config.out
    report_path = write_report(result.folder)
    out.print(score_table(result.folder, out.width))
    out.print(f"{result.steps} steps, {result.seconds:.0f} s; report: {report_path}", soft_wrap=True)
    if (advice := _baselines(config, result)) is not None:
        sentence(log, advice)
    return result.folder


def _baselines(config: Config, result: Result) -> str | None:
    """What one run cannot say, and the command that would; None for what has no table."""
    try:
        rows = len(_arms(config, None, rising=False))
    except TrainerError:
        return None
    count = COMPARED_SEEDS * rows
    code = " --allow-code" if _code(config) else ""
    return (
        f"One run cannot say whether mutual learning made them better. `rdml train --config {result.folder / CONFIG} "
        f"--compare{code}` can: it trains {rows - 1} baseline{'s' if rows > 2 else ''} too, each objective from "
        f"{COMPARED_SEEDS} starts. That is {count} runs, about {_duration(count * result.seconds)}; fewer with "
        "--seeds N, and finished runs are kept."
    )


def _duration(seconds: float) -> str:
    """For a person.

    >>> _duration(80), _duration(3000), _duration(20_000)
    ('80 s', '50 min', '5.6 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _arms(config: Config, alphas: str | None, *, rising: bool) -> tuple[Arm, ...]:
    """The rows of a comparison, for orders as they were typed or for that of the configuration.

    >>> [arm.name for arm in _arms(Config(alpha=2.0), None, rising=False)]
    ['independent', 'DML (KL)', 'RDML, α = 2', 'KL, β = 2']
    """
    if changing := [name for name in ("alpha", "beta") if getattr(config, f"{name}_schedule") != "constant"]:
        raise TrainerError(f"--compare: {changing[0]}_schedule must be constant, as the rows differ in {changing[0]}")
    try:
        chosen = [config.alpha] if alphas is None else [float(alpha) for alpha in alphas.split(",")]
    except ValueError:
        raise TrainerError(f"--orders {alphas}: expected orders with commas between them, such as 0.5,2,4") from None
    return objectives(chosen, config.beta, rising=rising)


def run_comparison(config: Config, seeds: int, alphas: str | None = None, *, rising: bool = False) -> Path:
    """Train objectives with so many seeds and print their table; finished runs are kept and not repeated."""
    arms = _arms(config, alphas, rising=rising)
    out, log = output(), errors()

    bar = contextlib.ExitStack()
    draw: Report = lambda trainer, values: None  # noqa: E731

    def started(name: str, done: int, total: int) -> None:
        nonlocal draw
        bar.close()
        log.print(f"{done + 1} of {total}: {escape(name)}", soft_wrap=True)
        draw = bar.enter_context(progress_bar(log))

    try:
        with bar:
            result = compare(
                config, range(seeds), arms=arms, report=lambda trainer, values: draw(trainer, values), started=started
            )
    except StoppedError as stopped:
        raise StoppedError(f"interrupted, saved in {stopped}: the same command continues") from None
    if out.is_terminal:
        for rows in (score_rows(result), difference_rows(result)):
            out.print(fitted(rows, out.width), "")
        out.print(escape(notes(result)), "", highlight=False)
    else:
        out.print(escape(markdown(result)), soft_wrap=True)
    for line in in_words(result).splitlines():
        sentence(out, line)
    out.print(f"files: {config.out / 'comparison.md'}, {config.out / 'comparison.json'}", soft_wrap=True)
    return config.out
