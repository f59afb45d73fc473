"""Configuration of the documentation. The pages of the claims are written from the registry at every build."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from claim_pages import write_pages  # noqa: E402

write_pages(HERE / "theory" / "generated")

project = "rdml-theory"
author = "The rdml-theory authors"
copyright = "2026, The rdml-theory authors"  # noqa: A001 - the name that Sphinx reads
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
html_theme = "furo"
html_title = "rdml-theory"
exclude_patterns = ["_build"]
# A module that re-exports its parts documents them where users import them.
suppress_warnings = ["autodoc.duplicate_object"]
