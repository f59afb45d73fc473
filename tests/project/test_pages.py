"""The pages and the report as a browser shows them: narrow, wide and on paper, light and dark.

What axe-core finds is what a program can find: contrast at AA, names of images and controls, landmarks, the order of
headings, tables' headers. It cannot judge whether a description is any good, nor whether the order of reading makes
sense, nor what only a person with a screen reader notices.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

pytest.importorskip("sphinx")

import importlib.util

from verify.claims import all_claims

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def module_at(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BROWSER = module_at(HERE / "browser.py")
FINISHED = module_at(ROOT / "docs" / "finished_pages.py")
MATHEMATICS = module_at(ROOT / "docs" / "offline_math.py")
in_a_browser = pytest.mark.skipif(BROWSER.CHROMIUM is None, reason="Chromium is not installed")

KINDS = (
    "index", "first_steps", "howto/your_loop", "howto/segmentation", "abstract", "which_order", "problems", "glossary",
    "trainer", "losses", "worst_case", "howto/monitor_in_your_loop",
    "theory/generated/divergence", "theory/generated/d8_self_bounding_gradient", "theory/generated/c14_every_horizon",
    "theory/generated/evidence", "theory/generated/gallery", "api/losses", "api/command_line", "genindex", "search",
)  # fmt: skip
"""A page of each kind, and those with wide tables or long formulas."""

OVERFLOW = "document.scrollingElement.scrollWidth - window.innerWidth"
CUT = """[...document.querySelectorAll("article pre, article .table-wrapper, article math, article img, article code")]
.filter(e => e.checkVisibility() && (e.scrollWidth > e.clientWidth + 1 && e.matches("pre, div")
    || e.getBoundingClientRect().right > window.innerWidth + 1))
.map(e => `cut on paper: ${e.textContent.slice(0, 60)}`)
.concat([...document.querySelectorAll("body *")]
.filter(e => getComputedStyle(e).position == "fixed" && e.checkVisibility())
.map(e => `on every sheet: ${e.textContent.trim().slice(0, 60)}`))"""
TOUCHING = r"""(() => {
  const said = [], least = (rects, side) => Math.min(...rects.map(r => r[side]));
  const most = (rects, side) => Math.max(...rects.map(r => r[side]));
  const box = (rects) => ({left: least(rects, "left"), right: most(rects, "right"), top: least(rects, "top"),
    bottom: most(rects, "bottom")});
  const short = (e) => e.textContent.trim().replace(/\s+/g, " ").slice(0, 40);
  const drawn = (math) => box([...math.querySelectorAll("*")].map(e => e.getBoundingClientRect()).filter(r => r.width));
  const shown = [...document.querySelectorAll("article math")].filter(m => m.checkVisibility());
  const flat = (block) => [...block.childNodes].flatMap(n => n.className == "together" ? flat(n) : [n]);
  for (const block of new Set(shown.map(m => m.parentElement.closest(":not(.together)")))) {
    const boxes = [];
    for (const node of flat(block)) {
      if (node.nodeName == "math") boxes.push([drawn(node), short(node)]);
      else if (node.nodeName == "#text") {
        const range = document.createRange(); range.selectNodeContents(node);
        for (const r of range.getClientRects()) if (r.width) boxes.push([r, short(node)]);
      }
    }
    boxes.forEach(([a, name], n) => boxes.slice(0, n).forEach(([b, other]) => {
      const apart = Math.max(a.top - b.bottom, b.top - a.bottom);
      if (least([a, b], "right") > most([a, b], "left") + 1 && apart < 1) said.push(`lines touch: ${other} | ${name}`);
    }));
    const open = [], pairs = {"(": ")", "[": "]", "⟨": "⟩"}, closing = Object.values(pairs);
    for (const sign of block.querySelectorAll("mo")) {
      if (sign.textContent in pairs) open.push(sign);
      else if (closing.includes(sign.textContent) && open.length) {
        const [one, two] = [open.pop(), sign], [a, b] = [one, two].map(e => e.getBoundingClientRect());
        if (one.closest("math") != two.closest("math") && Math.abs(a.height - b.height) > 1)
          said.push(`brackets of ${a.height} and ${b.height} pixels: ${short(one.closest("math"))}`);
      }
    }
  }
  return said;
})()"""
"""Lines of mathematics in a paragraph that are less than a pixel apart; brackets of a broken formula of two heights."""

PAST = r"""[...document.querySelectorAll("article p:has(math), article .formula")].filter(e => e.checkVisibility())
.filter(e => e.scrollWidth > e.clientWidth + 1)
.map(e => [e.matches("p"), e.scrollWidth / e.clientWidth, e.textContent.trim().replace(/\s+/g, " ").slice(0, 60)])"""
"""Formulas past the edge of their line: whether they stand among words, how much too long they are, what they say."""

NUMBERS = r"""[...document.querySelectorAll("article ol")].filter(e => {
  const style = getComputedStyle(e), ruler = document.createElement("canvas").getContext("2d");
  ruler.font = `${style.fontSize} ${style.fontFamily}`;
  return e.firstElementChild.getBoundingClientRect().left < ruler.measureText(`${e.children.length}. `).width;
}).length"""
"""Lists whose numbers are cut at the edge of the window."""

UNDRAWN = (
    "[...document.querySelectorAll('math')].filter(m => m.checkVisibility() && !m.getBoundingClientRect().width).length"
)
AXE = """axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]})
.then(found => found.violations
.flatMap(fault => fault.nodes.map(node => `${fault.id}: ${node.html.slice(0, 200)}`)))"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The documentation, built where `make docs` builds it, so that only what has changed is built.

    One worker of a run builds it: another would write pages anew that this one looks at.
    """
    out, shared = ROOT / "docs" / "_build" / "html", tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with (shared / "site").open("a") as done:
        fcntl.flock(done, fcntl.LOCK_EX)
        if done.seek(0, os.SEEK_END) == 0:
            built = subprocess.run(
                [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", "docs", str(out)],
                cwd=ROOT, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert built.returncode == 0, built.stderr
            done.write("built")
    return out


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a run of a few claims, D10 among them for the length of its formulas."""
    from verify.report import render_report
    from verify.runner import RunSettings, run_claims

    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report(run_claims(["C14", "D10", "D12"], RunSettings(seed=0))), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with BROWSER.browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


# Chromium and Firefox let the keyboard reach whatever scrolls; a page of sixty formulas shall not stop at each of them.
LEFT_OUT = ("scrollable-region-focusable",)


def faults(page, url, *, width, dark=False, paper=False, axe=False):
    """What is wrong with a page as it is shown."""
    page.show(url, width=width, dark=dark, paper=paper)
    said = page.complaints()
    if (more := page.run(OVERFLOW)) > 0:
        said.append(f"{more} pixels wider than the window")
    if paper:
        said += page.run(CUT)
    said += page.run(TOUCHING)
    if undrawn := page.run(UNDRAWN):
        said.append(f"{undrawn} formulas are not drawn")
    if axe and find_spec("axe_core_python"):
        folder = Path(find_spec("axe_core_python").submodule_search_locations[0])
        page.run((folder / "axe.min.js").read_text(encoding="utf-8") + "\n;0")
        said += [fault for fault in page.run(AXE) if fault.partition(":")[0] not in LEFT_OUT]
    return said


# Width, dark, paper, and whether axe-core looks too.
VIEWS = ((390, False, False, False), (390, True, False, True), (1280, False, False, True), (700, False, True, False))


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize("name", KINDS)
def test_pages_of_each_kind(name, site, page):
    url = (site / f"{name}.html").as_uri()
    for width, dark, paper, axe in VIEWS:
        assert faults(page, url, width=width, dark=dark, paper=paper, axe=axe) == [], (width, dark, paper)


@pytest.mark.slow
@in_a_browser
def test_no_page_of_a_claim_is_cut_on_paper(site, page):
    """Of A4 or Letter, which have lines of 717 and of 739 pixels between a browser's margins."""
    names = sorted((site / "theory" / "generated").glob("*.html"))
    assert len(names) > len(all_claims())
    assert {path.stem: said for path in names if (said := faults(page, path.as_uri(), width=700, paper=True))} == {}


@pytest.mark.slow
@in_a_browser
def test_formulas_of_claims_fit_a_small_screen(site, page):
    said = {}
    for path in sorted((site / "theory" / "generated").glob("*.html")):
        page.show(path.as_uri(), width=390)
        long = {
            f"{path.stem}: {start}": wide for words, wide, start in page.run(PAST) if wide > (1.2 if words else 1.6)
        }
        said |= long
        if cut := page.run(NUMBERS):
            said[path.stem] = f"{cut} lists have numbers that are cut"
    assert said == {}


@pytest.mark.slow
@in_a_browser
def test_the_report(report, page):
    for width, dark, paper, axe in VIEWS:
        assert faults(page, report.as_uri(), width=width, dark=dark, paper=paper, axe=axe) == [], (width, dark, paper)


@pytest.mark.slow
@in_a_browser
def test_what_is_not_confirmed_is_shown_alone_or_said_to_be_nothing(report, page):
    page.show(report.as_uri(), width=1280)
    counted = "[...document.querySelectorAll('{}')].filter(e => e.checkVisibility()).length"
    claims, nothing = counted.format(".claim"), counted.format(".none")
    assert (page.run(claims), page.run(nothing)) == (3, 0)
    page.run("document.getElementById('which-open').click()")
    assert (page.run(claims), page.run(nothing)) == (0, 1)


@pytest.mark.slow
@in_a_browser
def test_the_first_page_fits_a_screen_and_a_sheet_of_paper(page, tmp_path):
    """With all claims, as far as the two tables."""
    from verify.report import abstract, render_report
    from verify.runner import RunSettings, run_claims

    run = run_claims(["D12"], RunSettings(seed=0))
    bare = run.claims[0].model_copy(update={"checks": (), "controls": (), "panels": ()})
    claims = [bare.model_copy(update={"id": c.id, "message": c.message}) for c in all_claims().values()]
    path = tmp_path / "report.html"
    path.write_text(render_report(run.model_copy(update={"claims": tuple(claims)})), encoding="utf-8")
    # The lines and columns that the margins leave of A4 and of Letter, in millimetres; 96 pixels are an inch.
    sheets = [[int((mm - 2 * margin) / 25.4 * 96) for mm, margin in ((w, 16), (h, 11))] for w, h in SHEETS]
    for width, height, paper in ((1280, 800, False), *((*sheet, True) for sheet in sheets)):
        page.show(path.as_uri(), width=width, paper=paper)
        assert page.run("document.querySelectorAll('.abstract a').length") == sum(len(s.claims) for s in abstract())
        assert page.run("document.querySelector('table.abstract').getBoundingClientRect().bottom") <= height


SHEETS = ((210, 297), (216, 279))
"""A4 and Letter."""

BROKEN = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>broken</title></head><body>
<main><h1>broken</h1>{}</main></body></html>"""


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("<script>console.error('oh')</script>", "console: oh"),
        ("<script>undefined_name</script>", "exception"),
        ("<img src='https://example.org/x.png' alt='x'>", "request: https://example.org"),
        ("<p style='width: 3000px'>wide</p>", "pixels wider"),
        ("<math style='display: block; width: 0; overflow: hidden'><mi>x</mi></math>", "formulas are not drawn"),
        ("<p style='color: #bbb; background: #fff'>faint</p>", "color-contrast"),
        ("<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>", "image-alt"),
        ("<input type='text'>", "label"),
        ("<h4>too deep</h4>", "heading-order"),
    ],
)
def test_a_broken_page_is_noticed(fault, named, page, tmp_path):
    if named in ("color-contrast", "image-alt", "label", "heading-order") and not find_spec("axe_core_python"):
        pytest.skip("axe-core-python is not installed")
    path = tmp_path / "page.html"
    path.write_text(BROKEN.format(fault), encoding="utf-8")
    said = faults(page, path.as_uri(), width=390, axe=True)
    assert any(named in one for one in said), said
    path.write_text(BROKEN.format("<p>fine</p>"), encoding="utf-8")
    assert faults(page, path.as_uri(), width=390, axe=True) == []


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize(
    "wide",
    [
        f"<pre style='overflow: auto'>{'long ' * 99}</pre>",
        f"<div style='overflow: auto'><math><mtext>{'long' * 99}</mtext></math></div>",
    ],
)
def test_what_paper_cuts_is_noticed(wide, page, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(BROKEN.format(f"<article>{wide}</article>"))
    assert faults(page, path.as_uri(), width=700) == []
    (said,) = faults(page, path.as_uri(), width=700, paper=True)
    assert said.startswith("cut on paper: long")


@pytest.mark.slow
@in_a_browser
def test_on_paper_cells_break_code_and_no_number(page, tmp_path):
    style = (ROOT / "docs" / "static" / "mathematics.css").read_text(encoding="utf-8")
    row = "<tr><td>0.25</td><td><code>high_probability_bound</code></td></tr>"
    table = f"<article><div class='table-wrapper' style='width: 1px'><table>{row}</table></div></article>"
    path = tmp_path / "page.html"
    path.write_text(BROKEN.format(f"<style>{style}</style>{table}"), encoding="utf-8")
    page.show(path.as_uri(), width=700, paper=True)
    lines = """[...document.querySelectorAll("td")].map(cell => {
        const range = document.createRange(); range.selectNodeContents(cell);
        return new Set([...range.getClientRects()].map(r => r.top)).size})"""
    number, code = page.run(lines)
    assert number == 1
    assert code > 1


def test_long_formulas_are_broken_and_set_smaller_where_they_cannot_be():
    def made(latex):
        return MATHEMATICS._converted(SimpleNamespace(astext=lambda: latex, source="here"), "block")

    assert made("x = y").count("<math") == 1
    long = "+".join(f"x_{{{n}}}" for n in range(99))
    broken = made(f"y = {long}")
    assert broken.count("<math") > 9
    assert "--letters" not in broken
    text = "".join(ElementTree.fromstring(f"<p>{broken.replace('<wbr>', '')}</p>").itertext())
    assert text == "y=" + "+".join(f"x{n}" for n in range(99))
    assert made(rf"y = \left( {long} \right)^2").count("<math") > 3
    fraction = made(rf"\frac{{{long}}}{{2}}")
    assert fraction.count("<math") > 3
    assert "--letters" not in fraction
    text = "".join(ElementTree.fromstring(f"<p>{fraction.replace('<wbr>', '')}</p>").itertext())
    assert text == "(" + "+".join(f"x{n}" for n in range(99)) + ")/2"
    nested = made(rf"y = \left( {long} \right) \left( 2 K - 2 \right) + \left( {long} + \left( 2 M - 2 \right) \right)")
    assert "together" in nested
    assert not re.search(r"<math[^>]*><mo[^>]*>.</mo><mn>2</mn><mo[^>]*>\)", nested)
    words = made(r"n_{t}\text{ given }x_{t}, b_{t}, z_{t}, N_{t}, L_{t}\text{ is sub-Gaussian of proxy }s^{2}")
    assert [part[:10] for part in re.split(r"<math[^>]*>", words)[2:]] == ["<mtext>\xa0is"]
    root = made(rf"\sqrt{{{long}}}")
    assert root.count("<math") == 1
    assert 200 < int(re.search(r"--letters: (\d+)", root)[1]) < 500
    heights = re.findall(r'minsize="([^"]*)"', made(rf"y = z \left( \frac{{a}}{{b}} + {long} \right)^2"))
    assert heights == ["2.4em", "2.4em"]


TALL = "<math><mfrac><mfrac><mi>a</mi><mi>b</mi></mfrac><mfrac><mi>c</mi><mi>d</mi></mfrac></mfrac></math>"


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize(
    ("shown", "named"),
    [
        (f"<p style='line-height: 1'>{TALL}<br>{TALL}</p>", "lines touch"),
        (
            "<p><math><mo>(</mo><mfrac><mi>a</mi><mi>b</mi></mfrac></math><wbr><math><mi>c</mi><mo>)</mo></math></p>",
            "brackets",
        ),
        (f"<p>{TALL}</p><p>words</p>", None),
    ],
)
def test_lines_that_touch_and_unequal_brackets_are_noticed(shown, named, page, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(BROKEN.format(f"<article>{shown}</article>"), encoding="utf-8")
    said = faults(page, path.as_uri(), width=390)
    assert [one.partition(" of ")[0].partition(":")[0] for one in said] == ([named] if named else [])


def test_broken_links_end_the_build(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="here"></p><a href="#here">1</a><a href="b.html#there">2</a><a href="https://example.org/x">3</a>'
        '<a href="b.html#nowhere">4</a><a href="c.html">5</a><img src="gone.png"><a href="../out.html">6</a>'
    )
    (tmp_path / "b.html").write_text(
        '<p id="there"></p><a href="a.html">1</a><a href="#gone">2</a><a href="javascript:x">3</a>'
    )
    found, outside = FINISHED.check(tmp_path)
    assert sorted(found) == [
        "a.html: ../out.html: leads out of the site",
        "a.html: b.html#nowhere: no such place in the page",
        "a.html: c.html: no such file",
        "a.html: gone.png: no such file",
        "b.html: #gone: no such place in the page",
        "b.html: javascript:x: unknown scheme",
    ]
    assert outside == ["https://example.org/x"]


def test_what_the_theme_leaves_is_mended_once():
    page = (
        '<p class="caption" role="heading"><span class="caption-text">How to</span></p><aside class="sidebar-drawer">'
        '</aside><aside class="toc-drawer no-toc"></aside><a class="viewcode-back" href="x.html#f">[docs]</a>def f():'
        '<article role="main" id="furo-main-content"><noscript></noscript>'
        f"<td><p>{'short <i>' * 9}</p></td><td><p>{'long' * 15}</p></td>"
    )
    better = FINISHED.mended(page)
    assert better == (
        '<p class="caption"><span class="caption-text">How to</span></p><aside aria-label="all pages" '
        'class="sidebar-drawer"></aside><aside aria-label="on this page" class="toc-drawer no-toc"></aside>def f():'
        '<article role="main" id="furo-main-content"><h1>Search</h1><p>The field for what you look for is at the '
        "top of the list of all pages.</p><noscript></noscript>"
        f'<td><p>{"short <i>" * 9}</p></td><td class="long"><p>{"long" * 15}</p></td>'
    )
    assert FINISHED.mended(better) == better
