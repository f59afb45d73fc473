"""The formulas of a statement as functions of numbers: the objects that are printed and proved, evaluated.

And the check that the functions which users call compute them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from typing import Any, Literal, TypeVar

import numpy as np
from sympy import Basic, Dummy, lambdify

from convergence import Assumptions
from rdml_theory.symbolic import as_function
from rdml_theory.symbolic.notation import Formula, k, l
from rdml_theory.symbolic.sgd import descent
from rdml_theory.symbolic.sgd.refinements import relative_bias
from rdml_theory.symbolic.sgd.setting import smoothness
from verify.checks.comparisons import Worst
from verify.claim import Check, Found, check
from verify.context import Context

__all__ = ["differences", "entries", "evaluate", "function_of", "implementation_check", "letters", "value"]

S = TypeVar("S")
Modules = Literal["numpy", "mpmath"]


@cache
def function_of(formula: Basic | tuple[Basic, ...], *quantities: Basic, modules: str = "numpy") -> Callable[..., Any]:
    """A formula, or several at once, as a function of numbers in the place of some symbols or other quantities.

    Raises
    ------
    ValueError
        If it holds a symbol for which there is no number.

    Examples
    --------
    >>> from rdml_theory.symbolic.divergence.names import DISTANCE
    >>> from rdml_theory.symbolic.divergence.pinsker import PINSKER
    >>> from rdml_theory.symbolic.notation import alpha
    >>> function_of(PINSKER, alpha, DISTANCE)(0.5, 2.0)
    1.0
    """
    stand_ins = [Dummy() for _ in quantities]
    several = formula if isinstance(formula, tuple) else (formula,)
    plain = tuple(one.xreplace(dict(zip(quantities, stand_ins, strict=True))) for one in several)
    if left := set().union(*(one.free_symbols for one in plain)) - set(stand_ins):
        raise ValueError(f"{formula} holds {', '.join(sorted(map(str, left)))}, for which there is no number")
    return lambdify(stand_ins, plain if isinstance(formula, tuple) else plain[0], modules)


def evaluate(formula: Basic | tuple[Basic, ...], numbers: Mapping[Basic, Any]) -> Any:
    """A formula, or several at once, at numbers, which may be arrays and more than it holds.

    >>> from rdml_theory.symbolic.notation import alpha
    >>> evaluate(3 * alpha, {alpha: 2.0})
    6.0
    """
    return function_of(formula, *numbers)(*numbers.values())


def letters(assumptions: Assumptions, step: float, steps: float) -> dict[Any, float]:
    """A run's constants by the letters of the theory, where σ and Z are no squares.

    >>> found = letters(Assumptions(smoothness=2.0, gap=1.0, noise=0.25, bias=0.0), 0.5, 10)
    >>> {str(letter): number for letter, number in found.items()}
    {'h': 1.0, 'eta': 0.5, 'Lambda': 2.0, 'Delta': 1.0, 'sigma': 0.5, 'Z': 0.0, 'm': 0.0, 'T': 10.0}
    """
    s, a = descent, assumptions
    return {
        s.h: a.smoothness * step, s.eta: step, smoothness: a.smoothness, s.gap: a.gap, s.sigma: float(np.sqrt(a.noise)),
        s.Z: float(np.sqrt(a.bias)), relative_bias: a.relative_bias, s.horizon: float(steps),
    }  # fmt: skip


@lru_cache(maxsize=4096)
def _compiled(formula: Formula, classes: int, modules: Modules) -> Callable[..., Any]:
    return as_function(formula, classes, modules=modules)


@lru_cache(maxsize=4096)
def _at(formula: Formula, index: Any, number: int) -> Formula:
    return formula.subs(index, number)


def value(formula: Formula, classes: int, /, *, modules: Modules = "mpmath", **known: Any) -> Any:
    """A formula without a free class index; of the known quantities those that it holds are used.

    >>> from rdml_theory.symbolic.notation import C, i, p
    >>> from sympy import Sum
    >>> value(Sum(p[i] ** 2, (i, 1, C)), 2, modules="numpy", p=[0.5, 0.5], q=[0.2, 0.8])
    np.float64(0.5)
    """
    function: Any = _compiled(formula, classes, modules)
    return function(**{name: known[name] for name in function.names})


def entries(formula: Formula, classes: int, /, *, modules: Modules = "mpmath", **known: Any) -> list[Any]:
    """A formula with the free class index k, for each class.

    >>> from rdml_theory.symbolic.notation import k, q, w
    >>> entries(q[k] - w[k], 2, modules="numpy", q=[0.5, 0.5], w=[0.25, 0.75])
    [np.float64(0.25), np.float64(-0.25)]
    """
    return [value(_at(formula, k, n), classes, modules=modules, **known) for n in range(1, classes + 1)]


def differences(formula: Formula, classes: int, /, **known: Any) -> list[list[Any]]:
    """A formula with the free class indices k and l, for each two classes."""
    return [entries(_at(formula, l, n), classes, **known) for n in range(1, classes + 1)]


def implementation_check(
    pairs: Callable[[S, np.random.Generator], Iterable[tuple[float, float]]], *, quick: int, full: int, allowed: float,
    name: str = "relative difference from the formula",
    question: str = "Does the function that users call compute the formula that was derived?", cost: float = 0.5,
) -> Check[S]:  # fmt: skip
    """A check of the functions that users call against what a subject states, at random points.

    Parameters
    ----------
    pairs : callable
        What functions compute and what the subject states, at one random point of the domain.
    quick, full : int
        How many points, in either profile.
    allowed : float
        The relative difference that rounding explains.
    name, question, cost
        As of :class:`Check` and its comparison.
    """

    @check("numeric", question=question, cost=cost)
    def implementation(subject: S, context: Context) -> Found:
        rng, count = context.rng("points"), context.pick(quick=quick, full=full)
        worst = Worst()
        for _ in worst.over(range(count)):
            for computed, stated in pairs(subject, rng):
                worst.see(name, abs(computed - stated) / abs(stated) if stated else np.inf, allowed)
        yield from worst.comparisons()

    return implementation
