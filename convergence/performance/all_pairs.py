"""The exact worst case of SGD with biased gradients: what smooth functions keep between all pairs of iterates."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from convergence.assumptions import Assumptions
from convergence.performance.arguments import Criterion, pose
from convergence.performance.certificate import DualCertificate, Program, RightSides, between, prove
from convergence.performance.conic import REMEDY
from convergence.performance.instance import Instance
from convergence.performance.method import Method

__all__ = ["AllPairs", "WorstCase", "worst_case"]

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
    certificate : DualCertificate
        Multipliers that prove ``certificate.bound``; ``certificate.check()`` does so in exact arithmetic.
    assumptions, step, steps, criterion, momentum, nesterov
        As asked.
    """

    value: float
    gap: float
    instance: Instance
    certificate: DualCertificate
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
    most = MOST[isinstance(assumptions, Assumptions) and assumptions.noise > 0]
    method, right_sides = pose(
        "the exact worst case", assumptions, step, steps, criterion, momentum, nesterov, most=most
    )
    certificate, solution = prove(AllPairs(method), right_sides, average=criterion == "average")
    lam = assumptions.smoothness
    instance = Instance.of(method, solution.matrices[0], -solution.values[:-1], smoothness=lam)
    value = instance.value(criterion)
    if not abs(certificate.bound - value) < 0.1 * certificate.bound:
        raise RuntimeError(
            f"the semidefinite program was not solved (from {value:g} to {certificate.bound:g}): {REMEDY}"
        )
    return WorstCase(
        value=value, gap=certificate.bound - value, instance=instance, certificate=certificate,
        assumptions=assumptions, step=float(step), steps=steps, criterion=criterion, momentum=float(momentum),
        nesterov=nesterov,
    )  # fmt: skip


@dataclass(frozen=True)
class AllPairs:
    """All that Λ-smooth functions and the oracle satisfy at the nodes i, j, v of a method, at Λ = 1 and inf f = 0.

    - f_j - f_i + <g_i + g_j, x_i - x_j>/2 + ‖g_i - g_j‖²/4 - ‖x_i - x_j‖²/4 ≤ 0 (``interpolation``, i ≠ j row by row),
    - ‖g_v‖²/2 - f_v ≤ 0 (``infimum``) and f_0 ≤ Δ (``start``),
    - ‖b_v‖² - m‖g_v‖² ≤ ζ² (``bias``) and ‖n_v‖² ≤ σ² (``noise``).

    Attributes
    ----------
    method : Method
        Whose iterates these are.
    """

    method: Method

    def program(self, right_sides: RightSides, *, average: bool) -> Program:
        """The program of their multipliers, for ΛΔ, ζ² and σ²."""
        method, (gap, bias, noise) = self.method, right_sides
        nodes, inner, points = method.nodes, method.inner, method.points
        g, x, b, n = points.gradient, points.position, points.bias, points.noise
        i, j = np.nonzero(~np.eye(nodes, dtype=bool))
        program = Program(nodes)
        pairs, below = program.weigh("interpolation", len(i)), program.weigh("infimum", nodes)
        program.flow(pairs, out=i, into=j)
        program.flow(below, out=np.arange(nodes), repairs=True)
        # Of the first value the start takes up what is left.
        program.flow(program.weigh("start", 1, gap), into=0, repairs=True)
        squared_bias = program.weigh("bias", inner * method.biased, bias)
        squared_noise = program.weigh("noise", inner * method.noisy, noise)
        weights, share = program.criterion(method.steps, average)
        likely = np.array([Fraction(1, 2**t if method.noisy else 1) for t in method.depth.tolist()], dtype=object)
        terms = [
            *((pairs, product) for product in between(g[i], g[j], x[i] - x[j])), (below, (Fraction(1, 2), g, g)),
            (squared_bias, (1, b, b)), (squared_bias, (-method.relative_bias, g[: len(b)], g[: len(b)])),
            (squared_noise, (1, n, n)), (weights[method.depth], (-share * likely, g, g)),
        ]  # fmt: skip
        program.require((columns[None], product) for columns, product in terms)
        return program
