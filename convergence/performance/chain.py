"""Worst cases that look at one step at a time: a program linear in T, whose certificate is a quadratic potential."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from convergence.performance.conic import REMEDY, minimise, triangle
from convergence.performance.rational import is_positive_definite, rounded

__all__ = ["Chain", "ChainCertificate", "solve_chain"]

Exact = tuple[Fraction, ...]
Forms = dict[str, NDArray[Any]]

G, V, B, N, NEXT = range(5)

_MARGINS = (1e-9, 3e-8, 1e-6, 3e-5)
"""How strictly multipliers satisfy their inequalities, to survive rounding: it costs about as much, relatively."""


@dataclass(frozen=True)
class Chain:
    """What one step of SGD on a Λ-smooth function keeps, at Λ = 1, as quadratic forms in (g, v, b, n, g').

    The step is v' = μv + g + b + n, x' = x - hv' (Nesterov: x' = x - h(g + b + n + μv')), and g' = ∇f(x'). In the
    forms (1-μ)v, which is of the size of a gradient, stands for v.

    Parameters
    ----------
    step, momentum, relative_bias : Fraction
        h, μ and m.
    nesterov, biased, noisy : bool
        Which update, and whether there is bias and noise.
    coupling, infimum : Fraction
        In f(x) ≥ f(x') + <g + g', x - x'>/2 + ``coupling`` ‖g - g'‖² - ‖x - x'‖²/4 and f(x) ≥ inf f + ``infimum`` ‖g‖².
        A quarter and a half for smooth functions; a false twin takes others.
    """

    step: Fraction
    momentum: Fraction = Fraction(0)
    nesterov: bool = False
    relative_bias: Fraction = Fraction(0)
    biased: bool = False
    noisy: bool = False
    coupling: Fraction = Fraction(1, 4)
    infimum: Fraction = Fraction(1, 2)

    def basis(self, *, first: bool = False) -> list[int]:
        """Which of g, v, b, n, g' occur: no velocity without momentum, nor before the first step."""
        there = {G: True, V: self.momentum > 0 and not first, B: self.biased, N: self.noisy, NEXT: True}
        return [index for index, occurs in there.items() if occurs]

    @cached_property
    def forms(self) -> Forms:
        """What each multiplier weighs, as exact 5 x 5 matrices.

        ``forward`` and ``backward`` go with the values φ' - φ and φ - φ', ``infimum`` with -φ; ``bias`` is at most ζ²
        and ``noise`` at most σ² in expectation; the noise is orthogonal to what came before; and the potential is
        quadratic in (g, v) before the step, in (g', v') after it.
        """
        g, v, b, n, after = np.eye(5, dtype=int).astype(object)
        oracle = g + b + n
        velocity = self.momentum * v + (1 - self.momentum) * oracle
        ahead = oracle * (1 - self.momentum) + self.momentum * velocity if self.nesterov else velocity
        move = self.step / (1 - self.momentum) * ahead

        def inner(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
            return (np.multiply.outer(left, right) + np.multiply.outer(right, left)) * Fraction(1, 2)

        slope = inner(g + after, move) * Fraction(1, 2)
        bend = self.coupling * inner(g - after, g - after) - inner(move, move) * Fraction(1, 4)
        return {
            "forward": bend + slope, "backward": bend - slope, "infimum": self.infimum * inner(g, g),
            "bias": inner(b, b) - self.relative_bias * inner(g, g), "noise": inner(n, n),
            "noise, gradient": inner(n, g), "noise, velocity": inner(n, v), "noise, bias": inner(n, b),
            "weights": -inner(g, g),
            "before gg": inner(g, g), "before gv": inner(g, v), "before vv": inner(v, v),
            "after gg": -inner(after, after), "after gv": -inner(after, velocity),
            "after vv": -inner(velocity, velocity),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ChainCertificate:
    """Multipliers and a potential that prove a bound for T steps.

    The potential V_t = c_t φ_t - p_t‖g_t‖² - r_t<g_t, v_t> - q_t‖v_t‖², in expectation, with φ = f - inf f, satisfies
    ``w_t ‖g_t‖² + V_{t+1} ≤ V_t + τ_t ζ² + κ_t σ²`` at each step, because a quadratic form in (g, v, b, n, g') is
    positive definite; and V_0 = c_0 φ_0. So Σ w_t E‖g_t‖² ≤ c_0 ΛΔ + ζ² Σ τ_t + σ² Σ κ_t.

    Attributes
    ----------
    chain : Chain
        The inequalities used.
    right_sides : tuple of Fraction
        ΛΔ, ζ² and σ².
    average : bool
        Whether the weights w_t must all be 1/T, or any that sum to one.
    steps : tuple of mapping
        The multipliers of each step, by the names of :attr:`Chain.forms`; of the last gradient, ``infimum``,
        ``weights`` and the potential alone.
    """

    chain: Chain
    right_sides: tuple[Fraction, Fraction, Fraction]
    average: bool
    steps: tuple[dict[str, Fraction], ...]

    def _net(self, time: int) -> Fraction:
        """What the values after ``time`` owe: the coefficient of φ_{t+1} in the steps up to t."""
        return self.steps[time].get("forward", Fraction(0)) - self.steps[time].get("backward", Fraction(0))

    @cached_property
    def start(self) -> Fraction:
        """c_0."""
        return self._net(0) + self.steps[0]["infimum"]

    @cached_property
    def exact_bound(self) -> Fraction:
        """The proved bound of the (weighted) mean of E‖∇f(x_t)‖²."""
        gap, bias, noise = self.right_sides
        paid = sum(
            (s.get("bias", Fraction(0)) * bias + s.get("noise", Fraction(0)) * noise for s in self.steps), gap * 0
        )
        return self.start * gap + paid

    @property
    def bound(self) -> float:
        """The proved bound, rounded up."""
        nearest = float(self.exact_bound)
        return nearest if Fraction(nearest) >= self.exact_bound else float(np.nextafter(nearest, np.inf))

    @property
    def digest(self) -> str:
        """SHA-256 of every number."""
        return hashlib.sha256(repr(self).encode()).hexdigest()

    def check(self) -> bool:
        """Whether the certificate proves its bound, by exact rational arithmetic and without the solver."""
        sides, chain = self.right_sides, self.chain
        if min(*sides, chain.relative_bias) < 0 or (not chain.noisy and sides[2]):
            return False
        if not chain.biased and (sides[1] or chain.relative_bias):
            return False  # ζ² without a bias that it bounds
        numbers = [x for step in self.steps for x in step.values()]
        if not all(isinstance(x, Fraction) for x in (*numbers, *sides)):
            return False
        if any(name.startswith("after") for step in self.steps for name in step):
            return False  # what a step leaves is what the next one begins with
        if any(name.startswith("before") for name in self.steps[0]):
            return False  # V_0 is c_0 φ_0
        if any(not name.startswith(("infimum", "weights", "before")) for name in self.steps[-1]):
            return False  # no step follows the last gradient
        signed = ("forward", "backward", "infimum", "bias", "noise", "weights")
        weights = [s["weights"] for s in self.steps]
        if min(s[name] for s in self.steps for name in signed if name in s) < 0 or self.start < 0:
            return False
        if sum(weights) != 1 or (self.average and len(set(weights)) > 1):
            return False
        # The values cancel: what the steps before t leave of φ_t goes into the next step and the infimum.
        owed = [self._net(t) if t + 1 < len(self.steps) else Fraction(0) for t in range(len(self.steps))]
        if any(owed[t - 1] != owed[t] + self.steps[t]["infimum"] for t in range(1, len(self.steps))):
            return False
        return all(is_positive_definite(self.slack(time)) for time in range(len(self.steps)))

    def slack(self, time: int) -> NDArray[Any]:
        """The quadratic form of a step, in what occurs there of (g, v, b, n, g')."""
        last = time + 1 == len(self.steps)
        after = {} if last else self.steps[time + 1]
        total = sum(self.steps[time][name] * self.chain.forms[name] for name in self.steps[time])
        for part in ("gg", "gv", "vv"):
            if f"before {part}" in after:
                total = total + after[f"before {part}"] * self.chain.forms[f"after {part}"]
        kept = self.chain.basis(first=time == 0)
        if last:
            kept = [index for index in kept if index in (G, V)]
        return np.asarray(total)[np.ix_(kept, kept)]


def solve_chain(
    chain: Chain, right_sides: tuple[Fraction, Fraction, Fraction], steps: int, *, average: bool = True
) -> ChainCertificate:
    """The least bound that the chain gives, with its certificate, in time about linear in T.

    Parameters
    ----------
    chain : Chain
        The method, and what a step keeps.
    right_sides : tuple of Fraction
        ΛΔ, ζ² and σ².
    steps : int
        T.
    average : bool
        Whether the average or the best iterate is bounded.

    Raises
    ------
    RuntimeError
        If the solver fails, or no certificate withstands the exact check.

    Examples
    --------
    >>> chain = Chain(Fraction(1, 2), biased=True)
    >>> round(solve_chain(chain, (Fraction(1), Fraction(1), Fraction(0)), 8).bound, 4)
    1.237
    """
    program = _ChainProgram(chain, right_sides, steps, average)
    for margin, turned in product(_MARGINS, (True, False)):
        with suppress(RuntimeError):
            certificate = program.certificate(margin, turned=turned)
            if certificate.check():
                return certificate
    raise RuntimeError(f"no certificate for steps = {steps!r} withstands the exact check: {REMEDY}")


class _ChainProgram:
    """Columns are multipliers, named by form and time; the blocks of the matrix inequality are the steps."""

    def __init__(
        self, chain: Chain, right_sides: tuple[Fraction, Fraction, Fraction], steps: int, average: bool
    ) -> None:
        self.chain, self.right_sides, self.steps, self.average = chain, right_sides, steps, average
        inner, moving = range(steps - 1), chain.momentum > 0
        times: dict[str, range] = {"forward": inner, "backward": inner, "infimum": range(steps)}
        if chain.biased:
            times["bias"] = inner
        if chain.noisy:
            times["noise"] = inner
        times["weights"] = range(1) if average else range(steps)
        self.signed = sum(map(len, times.values()))
        # The rest may have either sign.
        if chain.noisy:
            times["noise, gradient"] = inner
            if moving:
                times["noise, velocity"] = inner[1:]
            if chain.biased:
                times["noise, bias"] = inner
        for part in ("gg", "gv", "vv") if moving else ("gg",):
            times[f"before {part}"] = range(1, steps)
        self.times, self.first, self.count = times, {}, 0
        for name, span in times.items():
            self.first[name] = self.count - span.start
            self.count += len(span)

    def at(self, name: str, times: range) -> NDArray[np.intp]:
        """The columns of a form at given times; one weight serves all times of an average."""
        if name == "weights" and self.average:
            return np.full(len(times), self.first[name])
        return self.first[name] + np.arange(times.start, times.stop)

    def certificate(self, margin: float, *, turned: bool = True) -> ChainCertificate:
        """Solve, round, and let the infimum take what rounding has left of the values."""
        gap, bias, noise = (float(r / max(self.right_sides)) for r in self.right_sides)
        cost = np.zeros(self.count)
        cost[self.first["infimum"]] = gap
        if self.steps > 1:
            cost[self.first["forward"]], cost[self.first["backward"]] = gap, -gap
        for name, price in (("bias", bias), ("noise", noise)):
            if name in self.times:
                cost[self.at(name, self.times[name])] = price
        forms, sizes = self._blocks(turned)
        free = self.count - self.signed
        found = minimise(
            cost, self._equalities(), (forms, np.zeros(forms.shape[0])), sizes, free=free, margin=margin, judged=True
        ).multipliers / self.steps  # fmt: skip
        return self._exactly(found)

    def _equalities(self) -> tuple[Any, NDArray[np.float64]]:
        """The values cancel; the weights have mean one, which keeps multipliers of order one at every T."""
        inner, later, steps = range(self.steps - 1), range(1, self.steps), self.steps
        weights = self.at("weights", self.times["weights"])
        entries = [
            (self.at("forward", inner), np.arange(1, steps), 1.0),
            (self.at("backward", inner), np.arange(1, steps), -1.0),
            (self.at("infimum", later), np.arange(1, steps), -1.0),
            (self.at("forward", inner[1:]), np.arange(1, steps - 1), -1.0),
            (self.at("backward", inner[1:]), np.arange(1, steps - 1), 1.0),
            (weights, np.zeros(len(weights), dtype=int), 1.0),
        ]  # fmt: skip
        columns = np.concatenate([c for c, _, _ in entries])
        rows = np.concatenate([r for _, r, _ in entries])
        data = np.concatenate([np.full(len(c), value) for c, _, value in entries])
        total = np.zeros(steps)
        total[0] = 1.0 if self.average else steps
        return sparse.csc_array((data, (rows, columns)), shape=(steps, self.count)), total

    def _blocks(self, turned: bool) -> tuple[Any, list[int]]:
        """The forms packed block below block: the first step, all steps between, and the last gradient."""
        steps, data, rows, columns = self.steps, [], [], []
        sizes: list[int] = []
        offset = 0
        # g' differs from g by about h, so that (g' - g)/√h is the better coordinate, but for steps near one.
        turn = np.eye(5)
        if turned:
            turn[NEXT, [G, NEXT]] = 1.0, min(float(self.chain.step / (1 - self.chain.momentum)) ** 0.5, 1.0)
        spans = [(range(1), True), (range(1, steps - 1), False)] if steps > 1 else []
        for span, first in [*spans, (range(steps - 1, steps), steps == 1)]:
            last = span.start == steps - 1
            kept = [k for k in self.chain.basis(first=first) if not last or k in (G, V)]
            r, c, scale = triangle(len(kept))
            for name, form in self.chain.forms.items():
                kind, _, part = name.partition(" ")
                source, shifted = (f"before {part}", 1) if kind == "after" else (name, 0)
                if source not in self.times or (last and kind not in ("infimum", "weights", "before")):
                    continue
                defined = self.times[source] if not (source == "weights" and self.average) else range(steps)
                there = range(max(span.start, defined.start - shifted), min(span.stop, defined.stop - shifted))
                vector = (turn.T @ form.astype(float) @ turn)[np.ix_(kept, kept)][r, c] * scale
                entries = np.nonzero(vector)[0]
                if not len(there) or not len(entries):
                    continue
                where = self.at(source, range(there.start + shifted, there.stop + shifted))
                starts = offset + (np.arange(there.start, there.stop) - span.start) * len(r)
                rows.append((starts[:, None] + entries).ravel())
                columns.append(np.repeat(where, len(entries)))
                data.append(np.tile(vector[entries], len(there)))
            sizes += [len(kept)] * len(span)
            offset += len(r) * len(span)
        merged = (np.concatenate(data), (np.concatenate(rows), np.concatenate(columns)))
        return sparse.csc_array(merged, shape=(offset, self.count)), sizes

    def _exactly(self, found: NDArray[np.float64]) -> ChainCertificate:
        exact = [rounded(y) for y in found.tolist()]
        rows: list[dict[str, Fraction]] = []
        for t in range(self.steps):
            there = {n: exact[self.first[n] + t] for n, span in self.times.items() if t in span and n != "weights"}
            there["weights"] = Fraction(1, self.steps) if self.average else exact[self.first["weights"] + t]
            rows.append(there)
        total = sum((row["weights"] for row in rows), Fraction(0))
        net = [row.get("forward", Fraction(0)) - row.get("backward", Fraction(0)) for row in rows]
        for t, row in enumerate(rows):
            row["weights"] /= total
            if t:
                row["infimum"] = net[t - 1] - net[t]
        return ChainCertificate(chain=self.chain, right_sides=self.right_sides, average=self.average, steps=tuple(rows))
