"""Figures carry the records' data and labels, say what they cannot show, and are the same bytes every time."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color, to_hex
from matplotlib.figure import Figure

from verify import plots
from verify.records import ClaimRecord, Curve, Environment, Panel, RunRecord, SourceRecord, Summary


def curve(
    label: str, role: Any = "measured", x: Any = (1.0, 2.0, 4.0), y: Any = (1.0, 4.0, 16.0), **options: Any
) -> Curve:
    return Curve(label=label, role=role, x=tuple(map(float, x)), y=tuple(map(float, y)), **options)


def panel(*curves: Curve, title: str = "a panel", **options: Any) -> Panel:
    return Panel(**{"title": title, "x_label": "time (s)", "y_label": "distance (m)", "curves": curves} | options)


def claim(*panels: Panel, name: str = "D1", title: str = "Student gradient") -> ClaimRecord:
    return ClaimRecord(
        id=name, title=title, direction="equality", statement=(), assumptions=(), source=SourceRecord(work="here"),
        outcome="confirmed", error_rate=0.0, margin=None, checks=(), controls=(), caption="", panels=panels,
    )  # fmt: skip


def run(*claims: ClaimRecord) -> RunRecord:
    return RunRecord(
        profile="quick", seed=0, error_rate=1e-3, statistical_tests=0, claims=claims,
        summary=Summary(claims={"confirmed": len(claims)}, controls={}, exit_code=0),
        environment=Environment(
            versions={}, python="3", platform="", processor="", cores=1, commit=None, source_digest="", started="",
            seconds=0.0, jobs=1, check_seconds={},
        ),
    )  # fmt: skip


def line(axes: Axes, label: str) -> Any:
    return next(x for x in axes.get_lines() if x.get_label() == label)


def legend_texts(place: Any) -> list[str]:
    legends = place.legends if isinstance(place, Figure) else [g for g in [place.get_legend()] if g]
    return [t.get_text().replace("\n", " ").replace("\xa0", " ") for g in legends for t in g.get_texts()]


def test_a_figure_carries_the_data_the_labels_and_the_scales() -> None:
    drawn = panel(
        curve("measured", low=(0.5, 3.0, 12.0), high=(2.0, 5.0, 20.0)),
        curve("$x^2$", "statement"),
        x_scale="log",
        x_label="$\\alpha$ (1)",
    )
    axes = plots.figure_of(claim(drawn)).axes[0]
    np.testing.assert_array_equal(line(axes, "measured").get_xydata(), [[1, 1], [2, 4], [4, 16]])
    assert axes.get_title(loc="left") == "a panel"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$\\alpha$ (1)", "distance (m)")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    band = axes.collections[0].get_paths()[0].vertices
    assert {tuple(v) for v in np.asarray(band)} >= {(1, 0.5), (2, 3), (4, 12), (1, 2), (2, 5), (4, 20)}
    # Few curves with one end bear their names there, and each figure says which claim it is.
    assert legend_texts(axes.figure) == []
    assert {text.get_text() for text in axes.texts} == {"measured", "$x^2$"}
    assert axes.figure.get_suptitle().startswith("D1: ")


def test_every_role_has_its_colour_and_line() -> None:
    roles = ("measured", "second", "statement", "control", "reference")
    axes = plots.figure_of(claim(panel(*(curve(role, role) for role in roles)))).axes[0]
    looks = {role: (to_hex(line(axes, role).get_color()), line(axes, role).get_linestyle()) for role in roles}
    assert looks["measured"] == ("#0072b2", "-")
    assert looks["second"] == ("#009e73", "-")
    assert looks["statement"] == ("#000000", "-")
    assert looks["control"] == ("#d55e00", "--")
    assert looks["reference"] == ("#777777", "--")  # matplotlib calls every pattern of its user's "--"
    assert line(axes, "reference")._unscaled_dash_pattern != line(axes, "control")._unscaled_dash_pattern


def test_curves_of_a_role_differ_and_equal_labels_agree_across_panels() -> None:
    first = panel(*(curve(f"order {k}", group=k, style="both") for k in range(4)), title="first")
    second = panel(curve("order 3", group=3, style="both"), curve("order 1", group=1, style="both"), title="second")
    figure = plots.figure_of(claim(first, second))
    one, two = figure.axes
    looks = {(to_hex(x.get_color()), x.get_marker()) for x in one.get_lines()}
    assert len(looks) == 4
    assert same_color(line(one, "order 3").get_color(), line(two, "order 3").get_color())
    assert line(one, "order 1").get_marker() == line(two, "order 1").get_marker()
    assert legend_texts(figure) == [f"order {k}" for k in range(4)]


def test_the_twins_of_grouped_curves_share_a_look_and_one_legend_entry() -> None:
    grouped = [curve("false: a", "control", group=k) for k in range(3)] + [curve("false: b", "control", group=0)]
    figure = plots.figure_of(claim(panel(*grouped)))
    lines = figure.axes[0].get_lines()
    assert len({to_hex(x.get_color()) for x in lines[:3]}) == 1
    assert not same_color(lines[0].get_color(), lines[3].get_color())
    assert legend_texts(figure) == ["false: a", "false: b"]


def test_panels_whose_looks_would_be_ambiguous_have_legends_of_their_own() -> None:
    figure = plots.figure_of(claim(panel(curve("base"), title="a"), panel(curve("mutual"), title="b")))
    assert not figure.legends
    assert [legend_texts(a) for a in figure.axes] == [["base"], ["mutual"]]


def test_most_panels_of_a_grid_share_a_legend_and_the_odd_one_has_its_own() -> None:
    alike = [panel(curve("base"), title=f"panel {k}") for k in range(4)]
    figure = plots.figure_of(claim(*alike, panel(curve("mutual"), title="odd")))
    # Five panels in a grid of six cells: the shared legend takes the sixth.
    assert legend_texts(figure) == []
    assert [legend_texts(a) for a in figure.axes] == [[], [], [], [], ["mutual"], ["base"]]
    six = plots.figure_of(claim(*alike, panel(curve("mutual"), title="odd"), panel(curve("base"), title="last")))
    assert legend_texts(six) == ["base"]
    assert [legend_texts(a) for a in six.axes] == [[], [], [], [], ["mutual"], []]


def test_what_a_logarithmic_axis_cannot_show_leaves_a_gap_and_is_counted() -> None:
    bad = curve("measured", x=(0, 1, 2, 3, 4, 5), y=(1, -1, 0, math.inf, math.nan, 7))
    figure = plots.figure_of(claim(panel(bad, x_scale="log", y_scale="log")))
    shown = line(figure.axes[0], "measured").get_ydata()
    assert np.isnan(shown).tolist() == [True] * 5 + [False]
    assert shown[-1] == 7
    assert legend_texts(figure) == ["measured (4 off the scale)"]
    low, high = figure.axes[0].get_ylim()
    assert 0 < low < 7 < high < 100


def test_a_single_point_is_visible_and_nothing_to_show_is_no_error() -> None:
    axes = plots.figure_of(claim(panel(curve("one", x=(1,), y=(2,)), curve("none", "second", (), ())))).axes[0]
    assert line(axes, "one").get_marker() == "o"
    plots.pictures((panel(curve("none", y=(-1, 0, -2)), y_scale="log"),), ("png",))["png"]


def test_a_band_that_reaches_zero_ends_at_the_lowest_value_of_a_logarithmic_axis() -> None:
    banded = curve("m", y=(1, 2, 3), low=(0.0, -1.0, 0.5), high=(2.0, 3.0, 4.0))
    axes = plots.figure_of(claim(panel(banded, y_scale="log"))).axes[0]
    assert np.asarray(axes.collections[0].get_paths()[0].vertices)[:, 1].min() == 0.5


@pytest.mark.parametrize(("count", "width", "columns"), [(1, 4.4, 1), (2, 7, 2), (4, 7, 2), (5, 7, 3)])
def test_sizes_are_those_of_a_paper(count: int, width: float, columns: int) -> None:
    figure = plots.figure_of(claim(*(panel(curve("m"), title=str(k)) for k in range(count))))
    assert figure.get_figwidth() == pytest.approx(width)
    assert len({round(a.get_position().x0, 2) for a in figure.axes}) == columns
    sizes = [t.get_fontsize() for a in figure.axes for t in (a.xaxis.label, a.title, *a.get_xticklabels())]
    assert min(sizes) >= 8


def test_no_texts_overlap() -> None:
    label = "a rather long label of a curve, such as a negative control has, with $x \\leq y$ in it"
    odd = panel(curve(label), curve("b", "statement"), title="a title that is much too long for a third of a page")
    other = panel(
        curve("other"), title="second", y_label="a label that is far too long for the height of a panel, in nats"
    )
    figure = plots.figure_of(claim(odd, other, panel(curve(label), title="third")))
    with plots._style():
        figure.canvas.draw()
        renderer: Any = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        blocks = [t for a in figure.axes for t in (a.xaxis.label, a.yaxis.label, a._left_title) if t.get_text()]
        blocks += [g for a in figure.axes if (g := a.get_legend())]
        boxes = [b.get_window_extent(renderer) for b in blocks]
    assert len(boxes) >= 8
    for number, box in enumerate(boxes):
        assert box.x0 >= -1
        assert box.x1 <= figure.bbox.width + 1
        for other_box in boxes[:number]:
            assert not box.padded(-1).overlaps(other_box.padded(-1))


def test_huge_curves_stay_small_in_vector_files() -> None:
    stream = np.random.default_rng(0)
    cloud = curve("cloud", x=stream.normal(size=20_000), y=stream.normal(size=20_000), style="markers")
    assert len(plots.pictures((panel(cloud),), ("svg",))["svg"]) < 400_000


def test_a_figure_is_the_same_bytes_every_time() -> None:
    record = run(
        claim(panel(curve("m", low=(0.0, 1.0, 2.0), high=(2.0, 5.0, 20.0)), curve("s", "statement"))),
        claim(panel(curve("m")), name="C2", title="Sharp bound"),
        claim(name="D9", title="Without a figure"),
    )
    first = plots.render_all(record)
    with mpl.rc_context({"font.size": 20, "axes.grid": False}):  # a user's settings change nothing
        assert plots.render_all(record, ids=["D1"]) == {"D1": first["D1"]}
    # In worker processes, and whatever was drawn before it.
    assert plots.render_all(record, jobs=2) == first
    assert (
        plots.pictures(record.claims[0].panels, ("pdf",), heading="D1: Student gradient")["pdf"] == first["D1"]["pdf"]
    )
    assert list(first) == ["D1", "C2"]
    assert list(first["D1"]) == ["png", "svg", "pdf"]
    assert first["D1"]["png"].startswith(b"\x89PNG")
    assert b"<svg" in first["D1"]["svg"]
    assert first["D1"]["pdf"].startswith(b"%PDF")


def test_a_selection_of_claims_and_formats() -> None:
    record = run(claim(panel(curve("m"))), claim(panel(curve("m")), name="C2", title="Sharp bound"))
    drawn = plots.render_all(record, ids=["C2"], formats=["svg"])
    assert {name: list(formats) for name, formats in drawn.items()} == {"C2": ["svg"]}
    assert plots.file_stem(record.claims[1]) == "C2_sharp_bound"
    with pytest.raises(KeyError, match="no claim X9 in this run: it has D1, C2"):
        plots.render_all(record, ids=["X9"])
    with pytest.raises(ValueError, match="figure format 'gif': expected one of png, svg, pdf"):
        plots.pictures(record.claims[0].panels, ("gif",))  # type: ignore[arg-type]


def test_what_cannot_be_drawn_is_said() -> None:
    with pytest.raises(ValueError, match="claim D1 has no panels"):
        plots.figure_of(claim())
    with pytest.raises(ValueError, match=r"panel 'a panel': the curve 'm' has arrays of different lengths: \[2, 3\]"):
        plots.figure_of(claim(panel(curve("m", x=(1, 2)))))
    with pytest.raises(plots.DrawingError, match=r"claim D1: the figure cannot be drawn"):
        plots.render_all(run(claim(panel(curve("$\\frac{$"))), claim(panel(curve("m")), name="C2")))


def test_labels_at_the_ends_keep_apart_and_clear_of_the_frame() -> None:
    near = [curve(f"curve {n}", role) for n, role in enumerate(("measured", "statement", "control", "reference"))]
    figure = plots.figure_of(claim(panel(*near)))
    figure.canvas.draw()
    boxes = sorted((t.get_window_extent() for t in figure.axes[0].texts), key=lambda box: box.y0)
    assert len(boxes) == 4
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(box.x0 >= figure.axes[0].bbox.x1 for box in boxes)


def test_a_message_stands_above_and_is_not_clipped() -> None:
    long = claim(panel(curve("m"))).model_copy(update={"message": "What a reader takes away " * 4 + "costs $5"})
    figure = plots.figure_of(long)
    figure.canvas.draw()
    assert "\n" in figure.get_suptitle()
    box = figure._suptitle.get_window_extent()  # type: ignore[attr-defined]
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1
    assert box.y0 >= figure.axes[0].get_tightbbox().y1 - 1
