"""What happens to the pages when they are built: what the theme leaves to be mended, then a check of all links.

Every link inside the pages must lead to a file, and to an id where it names one; else the build fails. Other addresses
are listed in ``external_links.txt`` beside the pages, and not requested.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError


class _Page(HTMLParser):
    """What a page links to, and what it can be linked at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name == "id" and value:
                self.ids.add(value)

    handle_startendtag = handle_starttag


_MENDED = (
    # Captions of the contents are headings without a level, and landmarks of one kind have no names.
    (r' role="heading"(?=><span class="caption-text">)', ""),
    (r'<aside class="sidebar-drawer', '<aside aria-label="all pages" class="sidebar-drawer'),
    (r'<aside class="toc-drawer', '<aside aria-label="on this page" class="toc-drawer'),
    (
        r'(<article role="main" id="furo-main-content">\s*)(?=<noscript>)',
        r"\1<h1>Search</h1><p>The field for what you look for is at the top of the list of all pages.</p>",
    ),
    # Cells that hold sentences.
    (r"<td>(?=<p>(?:(?:<(?!/p>)[^>]*>)*[^<>]){60,})", '<td class="long">'),
    # Where two modules document a function, its source leads back to a place that does not exist.
    (r'<a class="viewcode-back"[^>]*>\[docs\]</a>', ""),
)


def mended(page: str) -> str:
    """A page without the faults of theme and extensions; one that has been mended stays as it is."""
    for fault, remedy in _MENDED:
        page = re.sub(fault, remedy, page)
    return page


def check(folder: Path) -> tuple[list[str], list[str]]:
    """Faults of the links in a folder of pages, and the addresses outside that they name."""
    pages = {path.resolve(): _Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    faults, outside = [], set()

    def faulty(path: Path, link: str) -> Iterator[str]:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            if parts.scheme in ("http", "https"):
                outside.add(link)
            elif parts.scheme not in ("data", "mailto"):
                yield "unknown scheme"
            return
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        target = target / "index.html" if target.is_dir() else target
        if not target.is_relative_to(folder.resolve()):
            yield "leads out of the site"
        elif not target.exists():
            yield "no such file"
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
            yield "no such place in the page"

    for path, page in pages.items():
        for link in page.links:
            faults += [f"{path.relative_to(folder.resolve())}: {link}: {fault}" for fault in faulty(path, link)]
    return faults, sorted(outside)


def _after(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir)
    for path in folder.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        if (better := mended(text)) != text:
            path.write_text(better, encoding="utf-8")
    faults, outside = check(folder)
    (folder / "external_links.txt").write_text("\n".join(outside) + "\n", encoding="utf-8")
    if faults:
        raise ExtensionError("broken links:\n" + "\n".join(faults))


def _before(app: Sphinx) -> None:
    """Pages of sources are written anew: Sphinx keeps that of a source unchanged, also if more of it is linked."""
    shutil.rmtree(Path(app.outdir) / "_modules", ignore_errors=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register what is to be done."""
    app.connect("builder-inited", _before)
    app.connect("build-finished", _after)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
