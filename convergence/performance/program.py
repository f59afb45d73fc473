"""The exact worst case of SGD with biased gradients, as a semidefinite program."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from convergence.assumptions import Assumptions
from convergence.performance.arguments import Criterion, check_arguments, right_sides
from convergence.performance.certificate import Certificate
from convergence.performance.conic import Solution, minimise, triangle, unpack
from convergence.performance.instance import Instance
from convergence.performance.method import Method
from convergence.performance.rational import rounded

__all__ = ["WorstCase", "worst_case"]

Array = NDArray[np.float64]
MARGIN = 1e-9
"""How strictly the multipliers satisfy their inequalities, to survive rounding: it costs as much, relatively."""

MOST = {False: 64, True: 5}
"""The longest horizon, without noise and with it (31 nodes): beyond, one takes too long."""


@dataclass(frozen=True, kw_only=True)
class WorstCase:
    """An exact worst case, from both sides.

    Attributes
    ----------
    value : float
        The largest squared gradient norm (its average over t < T, or that of the best iterate), as attained by
        ``instance`` up to the accuracy of the solver.
    gap : float
        ``certificate.bound - value``: how far the proved upper bound is above.
    instance : Instance
        A function and an oracle that attain it.
    certificate : Certificate
        Multipliers that prove ``certificate.bound``; ``certificate.check()`` does so in exact arithmetic.
    assumptions, step, steps, criterion, momentum, nesterov
        As asked.
    """

    value: float
    gap: float
    instance: Instance
    certificate: Certificate
    assumptions: Assumptions
    step: float
    steps: int
    criterion: Criterion
    momentum: float
    nesterov: bool

    def __float__(self) -> float:
        """The value."""
        return self.value


def worst_case(
    assumptions: Assumptions,
    step: float,
    steps: int,
    *,
    criterion: Criterion = "average",
    momentum: float = 0.0,
    nesterov: bool = False,
) -> WorstCase:
    """The largest (1/T) Σ_{t<T} E‖∇f(x_t)‖² over all Λ-smooth f with f(x₀) - inf f ≤ Δ and all oracles: exact.

    The performance-estimation problem of ``v ← μv + g, x ← x - ηv`` (Nesterov: ``x ← x - η(g + μv)``), as a
    semidefinite program over the Gram matrix of gradients, biases and noise, for functions of any dimension. Without
    noise it is exact. With noise it is exact for noise ±n_v, equally likely, with ‖n_v‖² ≤ σ² at each state: a lower
    bound of the worst case over all noise of variance σ².

    Parameters
    ----------
    assumptions : Assumptions
        Λ, Δ > 0, σ², ζ² and m; the bias satisfies ‖b‖² ≤ m‖∇f‖² + ζ² at each state.
    step : float
        η > 0; no upper limit, since finitely many steps have a finite worst case.
    steps : int
        T: at most 64, with noise 5. T = 16 takes about half a second, T = 32 ten
        seconds, and five steps with noise half a minute.
    criterion : {"average", "best"}
        The average over t < T, or min over t < T of E‖∇f(x_t)‖².
    momentum : float
        μ in [0, 1).
    nesterov : bool
        Whether momentum is Nesterov's.

    Returns
    -------
    WorstCase
        In units of the squared gradient norm.

    Raises
    ------
    ImportError
        Without clarabel, the extra ``sdp``.
    ValueError
        If an argument is out of its range.
    RuntimeError
        If the solver fails.

    Notes
    -----
    Drori & Teboulle 2014, arXiv 1206.3209; interpolation of smooth functions: Taylor, Hendrickx & Glineur 2017,
    arXiv 1502.05666; with their infimum: Drori & Shamir 2020, arXiv 1910.01845.

    Examples
    --------
    >>> worst = worst_case(Assumptions(smoothness=1, gap=1, noise=0, bias=1), 0.5, 8)
    >>> round(worst.value, 4), worst.certificate.check(), worst.gap < 1e-6
    (1.237, True, True)
    """
    noisy = isinstance(assumptions, Assumptions) and assumptions.noise > 0
    check_arguments("worst_case", assumptions, step, steps, criterion, momentum, nesterov, most=MOST[noisy])
    method = Method(
        steps=int(steps), step=Fraction(assumptions.smoothness) * Fraction(float(step)),
        momentum=Fraction(float(momentum)), nesterov=bool(nesterov),
        biased=assumptions.bias > 0 or assumptions.relative_bias > 0, noisy=noisy,
    )  # fmt: skip
    program = _Program(method, right_sides(assumptions), Fraction(assumptions.relative_bias), criterion)
    for margin in (MARGIN, 10 * MARGIN, 100 * MARGIN):
        solution = program.solve(margin)
        if program.room(solution.multipliers) > margin / 10:
            break
    certificate = program.certificate(solution.multipliers)
    instance = program.instance(solution.matrices[0], solution.values, assumptions)
    value = instance.value(criterion)
    return WorstCase(
        value=value, gap=certificate.bound - value, instance=instance, certificate=certificate,
        assumptions=assumptions, step=float(step), steps=steps, criterion=criterion, momentum=float(momentum),
        nesterov=nesterov,
    )  # fmt: skip


class _Program:
    """The program in units in which Λ = 1: its data, its solution and what the solution means."""

    def __init__(
        self,
        method: Method,
        right_sides: tuple[Fraction, Fraction, Fraction],
        relative_bias: Fraction,
        criterion: Criterion,
    ) -> None:
        self.method, self.right_sides, self.relative, self.criterion = method, right_sides, relative_bias, criterion
        nodes, inner, steps = method.nodes, method.inner, method.steps
        # Multipliers in this order; pairs (i, j) with i ≠ j row by row.
        counts = {
            "interpolation": nodes * (nodes - 1), "lower": nodes, "start": 1, "bias": inner * method.biased,
            "noise": inner * method.noisy, "weights": 1 if criterion == "average" else steps,
        }  # fmt: skip
        ends = np.cumsum(list(counts.values()))
        self.parts = {name: slice(end - n, end) for (name, n), end in zip(counts.items(), ends, strict=True)}
        self.count = int(ends[-1])
        self.first, self.second = np.nonzero(~np.eye(nodes, dtype=bool))
        # The largest right side is the unit, so that the solver meets numbers of order one.
        self.unit = float(max(right_sides))

    def solve(self, margin: float) -> Solution:
        method, parts = self.method, self.parts
        gap, bias, noise = (float(r) / self.unit for r in self.right_sides)
        cost = np.zeros(self.count)
        cost[parts["start"]], cost[parts["bias"]], cost[parts["noise"]] = gap, bias, noise
        forms = (self._forms, np.zeros(self._forms.shape[0]))
        return minimise(cost, self._equalities(), forms, [method.dimension], margin=margin)

    def room(self, multipliers: Array) -> float:
        """The least multiplier or eigenvalue of S, in floating point: positive if there is room for rounding."""
        slack = unpack(self._forms @ multipliers, self.method.dimension)
        return min(float(multipliers.min()), float(np.linalg.eigvalsh(slack)[0]))

    def _equalities(self) -> tuple[Any, Array]:
        """The values f_v cancel, and the weights of the criterion sum to one."""
        nodes, pairs = self.method.nodes, len(self.first)
        last = self.parts["weights"]
        columns = np.arange(pairs)
        after = np.arange(pairs, pairs + nodes)
        weights = np.arange(last.start, last.stop)
        rows = np.concatenate([self.second, self.first, np.arange(nodes), [0], np.full(len(weights), nodes)])
        where = np.concatenate([columns, columns, after, [self.parts["start"].start], weights])
        sign = np.concatenate([np.ones(pairs), -np.ones(pairs + nodes), [1.0], np.ones(len(weights))])
        total = np.zeros(nodes + 1)
        total[-1] = 1.0
        return sparse.csc_array((sign, (rows, where)), shape=(nodes + 1, self.count)), total

    @cached_property
    def _forms(self) -> Any:
        """The quadratic forms, one packed triangle for each multiplier."""
        points = self.method.points()
        rows, columns, weight = triangle(self.method.dimension)

        def product(u: Array, v: Array) -> Array:
            return (u[:, rows] * v[:, columns] + u[:, columns] * v[:, rows]) * (weight / 2)

        g, x, b, n = points.gradient, points.position, points.bias, points.noise
        i, j = self.first, self.second
        difference, shift = g[i] - g[j], x[i] - x[j]
        squares = product(g, g)
        tau = product(b, b) - float(self.relative) * squares[: len(b)]
        forms = [
            product(g[i] + g[j], shift) / 2 + product(difference, difference) / 4 - product(shift, shift) / 4,
            squares / 2, np.zeros((1, len(rows))), tau, product(n, n), -self._criteria() @ squares,
        ]  # fmt: skip
        return sparse.csc_array(np.concatenate(forms).T)

    def _criteria(self) -> Array:
        """E‖g_t‖² of each time as weights of the nodes, or their average."""
        times = np.arange(self.method.steps)[:, None]
        each = np.where(self.method.depth == times, self.method.probability, 0.0)
        return each.mean(axis=0, keepdims=True) if self.criterion == "average" else each

    def certificate(self, multipliers: Array) -> Certificate:
        """The multipliers as fractions, with the equalities repaired exactly.

        What flows into f_v leaves by its lower bound, and the start provides what leaves f_0.
        """
        nodes, steps = self.method.nodes, self.method.steps
        exact = {name: [rounded(y) for y in multipliers[part].tolist()] for name, part in self.parts.items()}
        flow = np.zeros((nodes, nodes), dtype=object)
        flow[self.first, self.second] = exact["interpolation"]
        into = flow.sum(axis=0) - flow.sum(axis=1)
        lower = [exact["lower"][0], *(Fraction(f) for f in into[1:])]
        start = lower[0] - Fraction(into[0])
        if self.criterion == "average":
            weights = [Fraction(1, steps)] * steps
        else:
            weights = exact["weights"]
            weights[int(np.argmax(multipliers[self.parts["weights"]]))] += 1 - sum(weights)
        return Certificate(
            method=self.method, right_sides=self.right_sides, relative_bias=self.relative,
            average=self.criterion == "average", interpolation=tuple(tuple(map(Fraction, row)) for row in flow),
            lower=tuple(lower), start=start, bias=tuple(exact["bias"]), noise=tuple(exact["noise"]),
            weights=tuple(weights),
        )  # fmt: skip

    def instance(self, gram: Array, values: Array, assumptions: Assumptions) -> Instance:
        """Vectors with this Gram matrix; directions that carry nothing are dropped."""
        sizes, vectors = np.linalg.eigh(gram * self.unit)
        kept = sizes > 1e-7 * max(float(sizes[-1]), 0.0)
        factor = (vectors[:, kept] * np.sqrt(sizes[kept]))[:, ::-1]
        points = self.method.points()
        lam = assumptions.smoothness
        return Instance(
            method=self.method, smoothness=lam, gradients=points.gradient @ factor, biases=points.bias @ factor,
            noises=points.noise @ factor, positions=points.position @ factor / lam,
            values=-values[: self.method.nodes] * self.unit / lam,
        )  # fmt: skip
