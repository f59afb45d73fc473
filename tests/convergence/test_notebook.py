"""What bounds, runs and verdicts show of themselves in a notebook."""

from xml.etree import ElementTree

import numpy as np

from convergence import Assumptions, check_bound, problems, sharp_bound, simulate
from convergence.notebook import table


def shown(result):
    tree = ElementTree.fromstring(result._repr_html_())
    rows = {row[0].text: row[1].text for row in tree.iter("tr")}
    return tree.find("caption").text, rows


def test_a_bound_shows_its_terms():
    bound = sharp_bound(Assumptions(smoothness=1.0, gap=1.0, noise=0.1, bias=0.01), np.array([0.5, 1.0]), 100)
    heading, rows = shown(bound)
    assert heading == "sharp bound of the squared gradient norm"
    assert rows["total"] == f"{bound.total.min():.4g} to {bound.total.max():.4g}, shape (2,)"
    assert rows["steps"].startswith("100")


def test_a_run_and_its_verdict_show_what_they_rest_on():
    run = simulate(problems.get("quadratic", noise=0.1, bias=0.04), step=0.5, steps=50, replicas=64, seed=3)
    heading, rows = shown(run)
    assert heading == run.problem
    assert (rows["replicas"], rows["seed"], rows["steps"]) == ("64", "3", "50")
    assert float(rows["mean squared gradient, mean at the end"]) == float(f"{run.mean_squared_gradient[-1].mean():.6g}")
    verdict = check_bound(run, sharp_bound(run.assumptions, run.step, run.steps))
    heading, rows = shown(verdict)
    assert heading == verdict.outcome
    assert rows["interval"] == f"{verdict.interval[0]:.6g} to {verdict.interval[1]:.6g}"


def test_nothing_is_taken_as_markup():
    tree = ElementTree.fromstring(table("<b>", {"<i>": "</td><script>"}))
    assert [element.tag for element in tree.iter()] == ["table", "caption", "tbody", "tr", "th", "td"]
