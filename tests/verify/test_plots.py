"""Figures carry the records' data and labels, say what they cannot show, and are the same bytes every time."""

from __future__ import annotations

import csv
import io
import math
import re
from itertools import combinations
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from drawn import faults_of_figure
from matplotlib.axes import Axes
from matplotlib.colors import same_color, to_hex, to_rgb

from verify import plots
from verify.figure_style import properties
from verify.records import ClaimRecord, Curve, Environment, Panel, RunRecord, Source, Summary
from verify.workers import worker_pool


def curve(
    label: str, role: Any = "measured", x: Any = (1.0, 2.0, 4.0), y: Any = (1.0, 4.0, 16.0), **options: Any
) -> Curve:
    return Curve(label=label, role=role, x=tuple(map(float, x)), y=tuple(map(float, y)), **options)


def panel(*curves: Curve, title: str = "a panel", **options: Any) -> Panel:
    return Panel(**{"title": title, "x_label": "time (s)", "y_label": "distance (m)", "curves": curves} | options)


def claim(*panels: Panel, name: str = "D1", title: str = "Student gradient") -> ClaimRecord:
    return ClaimRecord(
        id=name, title=title, direction="equality", statement=(), assumptions=(), source=Source(work="here"),
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


def legend_texts(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    return [t.get_text().replace("\n", " ").replace("\xa0", " ") for t in (legend.get_texts() if legend else ())]


def names(axes: Axes) -> list[str]:
    """The names that stand in a panel."""
    return sorted(t.get_text().replace("\n", " ").replace("\xa0", " ") for t in axes.texts)


def many(label: str) -> list[Curve]:
    """More curves than can have names beside them."""
    return [curve(f"{label} {n}", group=n, y=(n + 1, n + 2, n + 3)) for n in range(6)]


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
    assert legend_texts(axes) == []
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
    first = panel(*(curve(f"order {k}", group=k, style="both") for k in range(6)), title="first")
    second = panel(curve("order 3", group=3, style="both"), curve("order 1", group=1, style="both"), title="second")
    figure = plots.figure_of(claim(first, second))
    one, two = figure.axes
    looks = {(to_hex(x.get_color()), x.get_marker()) for x in one.get_lines()}
    assert len(looks) == 6
    assert same_color(line(one, "order 3").get_color(), line(two, "order 3").get_color())
    assert line(one, "order 1").get_marker() == line(two, "order 1").get_marker()
    # Six curves have a legend; two have names beside them.
    assert legend_texts(one) == [f"order {k}" for k in range(6)]
    assert names(two) == ["order 1", "order 3"]


def test_curves_of_one_name_in_several_groups_share_a_look_and_one_legend_entry() -> None:
    grouped = [curve("false: a", "control", group=k) for k in range(3)] + [curve("false: b", "control", group=0)]
    figure = plots.figure_of(claim(panel(*grouped, *many("measured"))))
    lines = figure.axes[0].get_lines()
    assert len({to_hex(x.get_color()) for x in lines[:3]}) == 1
    assert not same_color(lines[0].get_color(), lines[3].get_color())
    assert legend_texts(figure.axes[0])[:2] == ["false: a", "false: b"]


def test_a_panel_all_of_whose_names_are_in_a_legend_before_it_has_none() -> None:
    alike = [panel(*many("base"), title=f"panel {k}") for k in range(2)]
    hidden = panel(*many("base")[:5], curve("base 5", y=(-1, 2, 3), group=5), y_scale="log", title="hidden")
    odd = panel(*many("mutual"), *many("base")[:1], title="odd")
    figure = plots.figure_of(claim(*alike, hidden, odd, panel(curve("one"), title="few")))
    assert not figure.legends
    base, mutual = ([f"{name} {k}" for k in range(6)] for name in ("base", "mutual"))
    # What is not shown is said wherever it is; and of two curves in one look both are named.
    off = [*base[:5], "base 5 (1 off the scale)"]
    assert [legend_texts(a) for a in figure.axes] == [base, [], off, [*mutual, "base 0"], []]
    assert names(figure.axes[-1]) == ["one"]


def test_what_a_logarithmic_axis_cannot_show_leaves_a_gap_and_is_counted() -> None:
    bad = curve("measured", x=(0, 1, 2, 3, 4, 5), y=(1, -1, 0, math.inf, math.nan, 7))
    figure = plots.figure_of(claim(panel(bad, x_scale="log", y_scale="log")))
    shown = line(figure.axes[0], "measured").get_ydata()
    assert np.isnan(shown).tolist() == [True] * 5 + [False]
    assert shown[-1] == 7
    assert names(figure.axes[0]) == ["measured (4 off the scale)"]
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


SIZES: list[tuple[plots.SizeName, int, float, int]] = [
    ("screen", 1, 4.4, 1), ("screen", 2, 7.0, 2), ("screen", 4, 7.0, 2), ("screen", 5, 7.0, 3),
    ("column", 1, 3.3, 1), ("column", 4, 3.3, 1), ("page", 1, 6.9, 1), ("page", 5, 6.9, 3),
]  # fmt: skip


@pytest.mark.parametrize(("size", "count", "width", "columns"), SIZES)
def test_sizes_are_those_of_a_paper(
    size: plots.SizeName, count: int, width: float, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = claim(*(panel(curve("m"), title=str(k)) for k in range(count)))
    figure = plots.figure_of(drawn, size=size)
    assert figure.get_figwidth() == pytest.approx(width)
    assert len({round(a.get_position().x0, 2) for a in figure.axes}) == columns
    sizes = [t.get_fontsize() for a in figure.axes for t in (a.xaxis.label, a.title, *a.texts, *a.get_xticklabels())]
    assert min(sizes) >= (8 if size == "screen" else 7)
    # The same inches in the file, and its fonts embedded as TrueType: no Type 3, which many publishers refuse.
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(plots, "drawn_figure", lambda *arguments: asked.append(arguments) or figure)
    pdf = plots.pictures(drawn.panels, ("pdf",), heading="D1: a title", size=size)["pdf"]
    assert asked == [(drawn.panels, "D1: a title", plots.SIZES[size])]
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf)
    assert box is not None
    assert float(box[1]) / 72 == pytest.approx(width, abs=1e-3)
    assert float(box[2]) / 72 == pytest.approx(figure.get_figheight(), abs=1e-3)
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(ValueError, match="figure size 'poster': expected one of screen, column, page"):
        plots.figure_of(claim(panel(curve("m"))), size="poster")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", ["screen", "column", "page"])
def test_no_text_overlaps_another_or_leaves_the_canvas(size: plots.SizeName) -> None:
    label = "a rather long label of a curve, such as a negative control has, with $x \\leq y$ in it"
    odd = panel(curve(label), curve("b", "statement"), title="a title that is much too long for a third of a page")
    other = panel(
        curve("other"), title="second", y_label="a label that is far too long for the height of a panel, in nats"
    )
    figure = plots.figure_of(claim(odd, other, panel(curve(label), title="third")), size=size)
    assert faults_of_figure(figure, size) == []
    assert sum(len(names(axes)) for axes in figure.axes) >= 3


def test_the_measure_of_overlaps_finds_them() -> None:
    figure = plots.figure_of(claim(panel(curve("m"))))
    axes = figure.axes[0]
    middle = figure.transFigure.inverted().transform(axes.xaxis.label.get_window_extent()).mean(axis=0)
    figure.text(*middle, "over the label", ha="center", va="center")
    axes.text(0.9, 0.5, "over the edge of the canvas", transform=axes.transAxes)
    assert faults_of_figure(figure) == [
        "'over the edge of the canvas' leaves the canvas", "'time (s)' overlaps 'over the label'",
        "something is cut off at the edge of the canvas",
    ]  # fmt: skip


def test_names_askew_may_stand_close_and_not_on_each_other() -> None:
    for apart, faults in ((0.08, []), (0.02, ["'one name' overlaps 'another name'"])):
        figure = plots.figure_of(claim(panel(curve("m"))))
        for x, words in ((0.3, "one name"), (0.3 + apart, "another name")):
            figure.axes[0].text(x, 0.1, words, rotation=40, transform=figure.axes[0].transAxes)
        assert faults_of_figure(figure) == faults


def test_a_control_is_named_where_it_is_contradicted() -> None:
    x = (1.0, 2.0, 4.0)
    false = curve("false: a fall", "control", x, (16.0, 4.0, 1.0), contradicted=(4.0, 16.0, 1.0))
    figure = plots.figure_of(claim(panel(*many("m"), curve("m^2", "statement", x), false)))
    axes = figure.axes[0]
    # The others are too many for names.
    assert names(axes) == ["false: a fall"]
    assert "false: a fall" not in legend_texts(axes)
    drawn = [[tuple(point) for point in line.get_xydata()] for line in axes.get_lines()]  # type: ignore[union-attr]
    assert [(4.0, 16.0), (4.0, 1.0)] in drawn
    assert [(4.0, 16.0)] in drawn
    (text,) = axes.texts
    corner, gap = axes.transData.inverted().transform(text.get_window_extent()), 4.0
    assert corner[:, 0].min() <= gap <= corner[:, 0].max() or abs(corner[:, 0] - gap).min() < 0.5


def test_a_contradiction_off_the_scale_is_no_error() -> None:
    x = (1.0, 2.0, 4.0)
    drawn = [
        panel(
            curve("m", "measured", x), curve("false: a fall", "control", x, contradicted=point),
            title=str(point), x_scale="log", y_scale="log",
        )
        for point in ((math.nan, 1.0, 1.0), (2.0, math.inf, 1.0), (-1.0, 2.0, 0.0))
    ]  # fmt: skip
    assert faults_of_figure(plots.figure_of(claim(*drawn))) == []


def test_a_name_stands_on_no_curve_and_beside_its_own() -> None:
    times = tuple(np.linspace(0, 10, 200))
    waves = [
        curve(label, role, times, tuple(np.sin(np.array(times) + shift) + lift))
        for label, role, shift, lift in (("low", "measured", 0.0, 0.0), ("high", "second", 0.4, 0.6))
    ]
    axes = plots.figure_of(claim(panel(*waves))).axes[0]
    assert names(axes) == ["high", "low"]
    for text in axes.texts:
        box = text.get_window_extent()
        gaps = {}
        for wave in waves:
            points = axes.transData.transform(np.column_stack([wave.x, wave.y]))
            assert not box.count_contains(points)
            outside = np.maximum(np.maximum(box.p0 - points, points - box.p1), 0)
            gaps[wave.label] = float(np.hypot(*outside.T).min())
        assert min(gaps, key=gaps.__getitem__) == text.get_text()


def test_the_numbers_beside_a_figure_are_those_of_the_record() -> None:
    banded = curve('m, with a "comma"', y=(0.1, 1 / 3, math.inf), low=(0, 0, 0), high=(1, 1, 1))
    two = (panel(banded, curve("$x^2$", "statement")), panel(curve("other", "second", (), ()), title="empty"))
    rows = list(csv.DictReader(io.StringIO(plots.pictures(two, ("csv",))["csv"].decode())))
    assert list(rows[0]) == ["panel", "title", "x label", "y label", "curve", "role", "x", "y", "low", "high"]
    for number, drawn in enumerate(two, 1):
        for line in drawn.curves:
            mine = [r for r in rows if (r["panel"], r["curve"], r["role"]) == (str(number), line.label, line.role)]
            for name in ("x", "y", "low", "high"):
                values = getattr(line, name)
                # Every digit of every number.
                assert [r[name] for r in mine] == ([""] * len(line.x) if values is None else [*map(repr, values)])
            assert {(r["title"], r["x label"], r["y label"]) for r in mine} <= {
                (drawn.title, drawn.x_label, drawn.y_label)
            }
    assert len(rows) == sum(len(line.x) for drawn in two for line in drawn.curves)


@pytest.mark.parametrize("size", ["screen", "column"])
def test_names_below_an_axis_stand_at_their_points_and_above_the_legend(size: Any) -> None:
    told = ("double well", "quadratic cosine", "nonconvex logistic", "pl sine")
    curves = [curve(f"measured {n}", x=(1, 2, 4), y=(n, n + 1, n), style="markers") for n in range(8)]
    named = panel(*curves, x_names=told)
    figure = plots.figure_of(claim(named), size=size)
    figure.canvas.draw()
    (axes,) = figure.axes
    labels = axes.get_xticklabels()
    assert [(label.get_position()[0], label.get_text()) for label in labels] == [*enumerate(told, 1)]
    boxes = [label.get_window_extent() for label in labels]
    word, legend = axes.xaxis.label.get_window_extent(), axes.get_legend().get_window_extent()
    assert legend.y1 < word.y0 < word.y1 < min(box.y0 for box in boxes)
    assert legend.y0 >= 0 <= min(box.x0 for box in boxes)
    bare = plots.figure_of(claim(panel(*curves)), size=size)
    bare.canvas.draw()
    assert axes.bbox.height > 0.85 * bare.axes[0].bbox.height
    rows = list(csv.DictReader(io.StringIO(plots.pictures((named,), ("csv",))["csv"].decode())))
    assert [row["x"] for row in rows[:3]] == [told[0], told[1], told[3]]


@pytest.mark.parametrize("told", [("one", "two"), ("name",) * 1000])
def test_points_without_names_and_too_many_names_are_refused(told: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"a point of a panel has no name below it|an axis has 1000 names"):
        plots.figure_of(claim(panel(curve("measured"), x_names=told)))


# What the three kinds of colour blindness make of linear sRGB (Machado, Oliveira and Fernandes 2009, severity 1).
BLIND = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
    "none": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
}


def lab(colour: str, blind: str) -> np.ndarray:
    """The colour as it is seen, in CIELAB."""
    srgb = np.array(to_rgb(colour))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(BLIND[blind]) @ linear, 0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    xyz = np.array(to_xyz) @ seen / (0.95047, 1.0, 1.08883)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("blind", BLIND)
def test_colours_that_meet_in_a_panel_can_be_told_apart(blind: str) -> None:
    """A difference of 10 is plain when seen at once; the four blues of an earlier palette were 9.9 apart."""
    meeting: list[tuple[Any, int]] = [
        *((role, n) for role in ("measured", "second") for n in range(4)), ("statement", 0), ("control", 0),
    ]  # fmt: skip
    colours = {(r, n): properties(curve("c", r), n, 3)["color"] for r, n in meeting}
    for one, two in combinations(colours, 2):
        assert np.linalg.norm(lab(colours[one], blind) - lab(colours[two], blind)) > 15, (one, two)


def test_huge_curves_stay_small_in_vector_files() -> None:
    stream = np.random.default_rng(0)
    cloud = curve("cloud", x=stream.normal(size=20_000), y=stream.normal(size=20_000), style="markers")
    assert len(plots.pictures((panel(cloud),), ("svg",))["svg"]) < 400_000


def test_a_figure_is_the_same_bytes_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    record = run(
        claim(panel(curve("m", low=(0.0, 1.0, 2.0), high=(2.0, 5.0, 20.0)), curve("s", "statement"))),
        claim(panel(curve("m")), name="C2", title="Sharp bound"),
        claim(name="D9", title="Without a figure"),
    )
    first = plots.render_all(record)
    with mpl.rc_context({"font.size": 20, "axes.grid": False}):  # a user's settings change nothing
        assert plots.render_all(record, ids=["D1"]) == {"D1": first["D1"]}
    # In a worker process, where one of two shows what another process changes, and whatever was drawn before it.
    asked: list[int] = []
    monkeypatch.setattr(plots, "worker_pool", lambda jobs: worker_pool(asked.append(jobs) or 1))
    assert plots.render_all(record, jobs=2) == first
    assert asked == [2]
    assert (
        plots.pictures(record.claims[0].panels, ("pdf",), heading="D1: Student gradient")["pdf"] == first["D1"]["pdf"]
    )
    assert list(first) == ["D1", "C2"]
    assert list(first["D1"]) == ["png", "svg", "pdf", "csv"]
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


@pytest.mark.parametrize(
    ("low", "high"), [(0.5, 1.1), (2.0, 66.0), (1.3e-3, 4.4e-2), (2e-7, 5e-7), (3e6, 9e6), (0.01, 1e9), (0.97, 1.04)]
)
def test_a_logarithmic_axis_can_be_read(low: float, high: float) -> None:
    """At least two of its ticks have a label, if two round numbers lie on it at all."""
    shown = panel(curve("a", x=(1, 2), y=(low, high)), x_scale="linear", y_scale="log")
    figure = plots.figure_of(claim(shown), size="column")
    (axes,) = figure.axes
    figure.canvas.draw()
    bottom, top = axes.get_ylim()
    labels = [t.get_text() for t in axes.get_yticklabels() if bottom <= t.get_position()[1] <= top]
    assert sum(map(bool, labels)) >= (1 if high / low < 1.2 else 2)


def test_a_message_stands_above_and_is_not_clipped() -> None:
    long = claim(panel(curve("m"))).model_copy(update={"message": "What a reader takes away " * 4 + "costs $5"})
    figure = plots.figure_of(long)
    figure.canvas.draw()
    assert "\n" in figure.get_suptitle()
    box = figure._suptitle.get_window_extent()  # type: ignore[attr-defined]
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1
    assert box.y0 >= figure.axes[0].get_tightbbox().y1 - 1
