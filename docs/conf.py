"""Configuration of the documentation. The pages of the claims are written from the registry at every build."""

import os
import sys
from importlib import import_module
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import formulas_of_names  # noqa: E402
import problem_table  # noqa: E402
from claim_pages import write_pages  # noqa: E402
from sphinx.ext.napoleon import GoogleDocstring  # noqa: E402

# Figures are drawn from the records of a run: that of `make verify`, unless RESULTS names another folder.
write_pages(HERE / "theory" / "generated", Path(os.environ.get("RESULTS", HERE.parent / "results")))

project = "rdml-theory"
author = "The rdml-theory authors"
copyright = "2026, The rdml-theory authors"  # noqa: A001 - the name that Sphinx reads
version = release = version_of("rdml-theory")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "offline_math",
    "plain_text",
    "finished_pages",
]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"exclude-members": "model_config"}
napoleon_google_docstring = True
# A session ends with an empty line, which doctest needs and readers do not.
highlight_options = {"python": {"stripnl": True}}
html_theme = "furo"
html_title = f"rdml-theory {release}"
html_static_path = ["static"]
html_css_files = ["mathematics.css"]
html_theme_options = {"top_of_page_buttons": []}
html_math_renderer = "mathml"
exclude_patterns = ["_build"]
# A module that re-exports its parts documents them where users import them.
suppress_warnings = ["autodoc.duplicate_object"]


def _fill_in(app, name, text):
    if make := {"problems": problem_table.table, "api/convergence": problem_table.modules}.get(name):
        text[0] = text[0].replace(problem_table.MARK, make())
    if name == "api/symbolic":
        text[0] = formulas_of_names.with_formulas(text[0])


def _written_in(app, module, name):
    """A name for a built-in type has its source where it is written."""
    value = getattr(import_module(module), name, None) if module and name else None
    return module if getattr(value, "__module__", None) == "builtins" else None


def _description(self):
    """Napoleon takes what is before a colon in the first line on an attribute for its type; here it is a sentence."""
    return "", self.__class__(self._dedent(self._consume_to_end()), self._config).lines()


GoogleDocstring._consume_inline_attribute = _description


def setup(app):
    """What is listed of the problems and of formulas is made from the library."""
    app.connect("source-read", _fill_in)
    app.connect("viewcode-follow-imported", _written_in)
