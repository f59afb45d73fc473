"""Instances of the kernel's hypotheses: numbers, functions and runs in which a proposition holds or not.

Nothing here is trusted: an instance shows that the hypotheses of a theorem can all hold at once, and that then its
conclusion does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Abs, Add, Derivative, Max, Min, Mul, Pow, Sum, Symbol, exp, log, oo, tanh

from rdml_theory.symbolic.kernel.propositions import (
    AtMost,
    Centred,
    Equal,
    Finite,
    ForAll,
    Less,
    Proposition,
    Smooth,
    SubGaussian,
    Tends,
    walk,
)  # fmt: skip
from rdml_theory.symbolic.kernel.terms import At, Entry, Gradient, Inner, Mean, Random, Term, Value, Vector, symbol_kind
from rdml_theory.symbolic.kernel.theorem import Theorem

__all__ = ["Model", "Objective", "outcomes"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Objective:
    """A function with its gradient and a proved smoothness constant; points, and what is given, on the last axis."""

    value: Callable[..., Array]
    gradient: Callable[..., Array]
    smoothness: float


@dataclass(frozen=True)
class Model:
    """An instance: what symbols, objectives and processes stand for.

    Parameters
    ----------
    name : str
        What it is called in a report.
    values : mapping of Symbol or Vector to float or array
        The numbers and fixed vectors; numbers that a hypothesis defines (``A² = ...``) are computed.
    objectives : mapping of str to Objective
        The functions.
    processes : mapping of str to array, shape (outcomes, T, d)
        The random vectors.
    random : mapping of str to array, shape (outcomes, d), or to a function from vectors to such
        The random vectors, and the random functions of a vector.
    families : mapping of str to array, shape (classes,) or (outcomes, classes)
        The entries of families, by class; further indices have axes before that of the classes.
    chance : array, shape (outcomes,)
        The probabilities.
    points : array, shape (points, d)
        Where "for every vector" is tried, with the points of the runs.
    tolerance : float
        Relative error allowed in a comparison.

    Examples
    --------
    >>> from rdml_theory.symbolic.kernel import AtMost, assume, combine
    >>> a, b = Symbol("a", nonnegative=True), Symbol("b", nonnegative=True)
    >>> theorem = combine(AtMost(a, 2 * b), [(1, assume(AtMost(a, b)))], slack=b)
    >>> Model("numbers", {a: 1.0, b: 2.0}).satisfies(theorem)
    True
    >>> Model("others", {a: 3.0, b: 2.0}).satisfies(theorem) is None
    True
    """

    name: str
    values: Mapping[Term, Any]
    objectives: Mapping[str, Objective] = field(default_factory=dict)
    processes: Mapping[str, Array] = field(default_factory=dict)
    random: Mapping[str, Any] = field(default_factory=dict)
    families: Mapping[str, Array] = field(default_factory=dict)
    chance: Array = field(default_factory=lambda: np.ones(1))
    points: Array = field(default_factory=lambda: np.zeros((0, 1)))
    tolerance: float = 1e-9
    _assumed: dict[Any, bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    def satisfies(self, theorem: Theorem) -> bool | None:
        """Whether the conclusion holds here; None where a hypothesis does not, or speaks of what has no value here."""
        if any(name not in getattr(self, kept) for kept, name in _named(theorem)):
            return None
        values = dict(self.values)
        try:
            with np.errstate(divide="raise", invalid="raise"):
                self._define(theorem, values)
                if not all(self._admits(hypothesis, values) for hypothesis in _shortest_first(theorem)):
                    return None
                return self._holds(self._closed(theorem), values)
        except (KeyError, FloatingPointError):
            return None

    def _closed(self, theorem: Theorem) -> Proposition:
        """The conclusion for every step and vector that no hypothesis speaks of."""
        assumed = set().union(*(h.free() for h in theorem.hypotheses)) | set(self.values)
        out = theorem.conclusion
        for variable in sorted(out.free() - assumed, key=str):
            if isinstance(variable, Vector) or symbol_kind(variable) in ("natural", "counting"):
                out = ForAll(variable, out)
        return out

    def _define(self, theorem: Theorem, values: dict[Term, float]) -> None:
        """The symbols that hypotheses define, ``s = ...`` or ``s² = ...``."""
        pending = [h for h in theorem.hypotheses if isinstance(h, Equal)]
        for _ in pending:
            for told in pending:
                base, power = told.left.as_base_exp()
                if not isinstance(base, Symbol) or base in values or power not in (1, 2):
                    continue
                try:
                    found = float(np.max(self._evaluate(told.right, values)))
                except KeyError:
                    continue
                if found > 0 or not base.is_positive:
                    values[base] = found if power == 1 else float(np.sqrt(found))

    def _admits(self, hypothesis: Proposition, values: dict[Term, Any]) -> bool:
        """Whether a hypothesis holds; kept for the numbers that are defined for it, as many theorems share it."""
        defined = (values.keys() - self.values.keys()) & hypothesis.free()
        key = hypothesis, frozenset((symbol, values[symbol]) for symbol in defined)
        if key not in self._assumed:
            self._assumed[key] = self._holds(hypothesis, values)
        return self._assumed[key]

    def _holds(self, proposition: Proposition, values: dict[Term, Any]) -> bool:
        if isinstance(proposition, Finite):
            return True
        if isinstance(proposition, Smooth):
            f, constant = self.objectives[proposition.objective], self._evaluate(proposition.constant, values)
            return bool(f.smoothness <= np.min(constant) * (1 + self.tolerance))
        if isinstance(proposition, Tends):
            return self._approaches(proposition, values)
        if isinstance(proposition, ForAll):
            body, outer = proposition.body, (At, Entry, Mean, Random)
            plain = isinstance(body, Equal | AtMost | Less) and not any(isinstance(e, outer) for e in walk(body))
            if plain and isinstance(proposition.variable, Vector):
                # Where nothing else has an axis, all points are tried at once.
                return self._holds(body, {**values, proposition.variable: self._vectors()})
            tried = ({**values, proposition.variable: value} for value in self._range(proposition, values))
            return all(self._holds(body, inside) for inside in tried)
        if isinstance(proposition, Centred):
            return self._centred(proposition, values)
        if isinstance(proposition, SubGaussian):
            return self._sub_gaussian(proposition, values)
        left, right = (self._evaluate(side, values) for side in proposition.terms())
        size = self.tolerance * (1 + _size(left) + _size(right))
        if isinstance(proposition, Equal):
            if np.ndim(left) == np.ndim(right) == 2 and left.shape[1] != right.shape[1]:
                return False  # vectors of different spaces
            return bool(np.all(np.abs(left - right) <= size))
        if isinstance(proposition, AtMost):
            return bool(np.all(left <= right + size))
        assert isinstance(proposition, Less)
        return bool(np.all(left < right))

    def _approaches(self, told: Tends, values: dict[Term, Any]) -> bool:
        """Whether at a tenth of a small distance from the point less than a third of the error is left.

        Of a sequence, whether the last step that the processes and families have is nearer than the first.
        """
        limit = self._evaluate(told.limit, values)
        steps = [self.processes[e.name].shape[1] for e in walk(told) if isinstance(e, At)]
        if symbol_kind(told.variable) == "natural":
            entries = (e for e in walk(told) if isinstance(e, Entry) and not e.index.is_positive)  # of steps
            steps += [self._family(e.name, 1 + len(e.of)).shape[-1] for e in entries]
        if steps:
            near, enough = [0, min(steps) - 1], 1.0
        else:
            start = 0 if told.point is oo else self._evaluate(told.point, values)
            near, enough = [start + d for d in ((10, 100) if told.point is oo else (0.03, 0.003))], 0.3
        first, last = (
            np.max(np.abs(self._evaluate(told.term, {**values, told.variable: at}) - limit)) for at in near
        )  # fmt: skip
        return bool(last <= enough * first + 1e-6)

    def _range(self, proposition: ForAll, values: Mapping[Term, Any]) -> Iterator[Any]:
        """Where "for every" is tried: at the points, the classes, or the steps that all its processes have."""
        if isinstance(proposition.variable, Vector):
            yield from self._vectors()
            return
        if symbol_kind(proposition.variable) == "counting":
            named = [(e.name, (*e.of, e.index)) for e in walk(proposition) if isinstance(e, Entry)]
            sizes = (
                self._family(name, len(indices)).shape[place - len(indices)]
                for name, indices in named
                for place, index in enumerate(indices)
                if proposition.variable in index.free_symbols
            )
            yield from range(1, min(sizes, default=3) + 1)
            return
        named = {e.name for e in walk(proposition) if isinstance(e, At)}
        later = any(isinstance(e, At) and e.step != proposition.variable for e in walk(proposition))
        most = min(self.processes[name].shape[1] for name in named) - later if named else 3
        end = most if proposition.below is None else int(self._evaluate(proposition.below, values))
        yield from range(min(most, end))

    def _vectors(self) -> Array:
        if not len(self.points):
            raise KeyError("there is no vector here")
        return self.points

    def _centred(self, told: Centred, values: dict[Term, Any]) -> bool:
        means = (chance @ noise for chance, noise in self._given(told, values))
        return all(np.max(np.abs(mean)) <= self.tolerance for mean in means)

    def _given(self, told: Centred | SubGaussian, values: dict[Term, Any]) -> Iterator[tuple[Array, Array]]:
        """The probabilities and the noise of the outcomes in each case of what is given."""
        noise = self._evaluate(told.noise, values)
        found = (np.asarray(self._evaluate(g, values)) for g in told.given)
        parts = [part if part.ndim == 2 else part[:, None] for part in found]
        given = np.round(np.concatenate(parts, axis=1), 9)
        for case in np.unique(given, axis=0):
            here = np.all(given == case, axis=1)
            yield self.chance[here], noise[here]

    def _sub_gaussian(self, told: SubGaussian, values: dict[Term, Any]) -> bool:
        """Whether it is along some vectors, of several lengths, and in as many dimensions as it says."""
        proxy, rank = (self._evaluate(part, values) for part in (told.deviation**2, told.rank))
        for chance, noise in self._given(told, values):
            ways = np.concatenate([noise, np.eye(noise.shape[1])])
            for size in (0.1, 1.0, 10.0):
                moments = chance / chance.sum() @ np.exp(noise @ (size * ways).T)
                if np.any(moments > np.exp(proxy * size**2 * np.sum(ways**2, axis=1) / 2) * (1 + self.tolerance)):
                    return False
            if np.linalg.matrix_rank(noise, tol=self.tolerance) > rank:
                return False
        return True

    def _evaluate(self, term: Term, values: Mapping[Term, Any]) -> Any:
        """A number, one for each outcome, or a vector for each."""
        if operation := _OPERATIONS.get(type(term)):
            return operation(_aligned([self._evaluate(part, values) for part in term.args]))
        if isinstance(term, Symbol | Vector):
            value = values[term]
            return np.atleast_2d(value) if isinstance(term, Vector) else value
        if isinstance(term, At):
            return self.processes[term.name][:, int(self._evaluate(term.step, values))]
        if isinstance(term, Entry):
            places = (int(self._evaluate(index, values)) - 1 for index in (*term.of, term.index))
            return self._family(term.name, len(term.of) + 1)[(..., *places)]
        if isinstance(term, Derivative):
            return self._slope(term, values)
        if isinstance(term, Random):
            value = self.random[term.name]
            return value(*(self._evaluate(point, values) for point in term.args[1:])) if callable(value) else value
        if isinstance(term, Value | Gradient):
            f, vectors = self.objectives[term.name], [self._evaluate(vector, values) for vector in term.args[1:]]
            return f.value(*vectors) if isinstance(term, Value) else f.gradient(*vectors)
        if isinstance(term, Sum):
            index, low, high = term.limits[0]
            steps = range(int(low), int(self._evaluate(high, values)) + 1)
            return sum((self._evaluate(term.function, {**values, index: s}) for s in steps), 0.0)
        parts = [self._evaluate(part, values) for part in term.args]
        if isinstance(term, Inner):
            return np.sum(parts[0] * parts[1], axis=-1)
        if isinstance(term, Mean):
            return self.chance @ np.broadcast_to(parts[0], self.chance.shape)
        return term.p / term.q

    def _family(self, name: str, indices: int) -> Array:
        """The family, of each outcome where it has an axis for them.

        One with another number of indices is another, of the same letter, and has no value here.
        """
        family = self.families[name]
        if family.ndim != indices and (family.ndim, len(family)) != (indices + 1, len(self.chance)):
            raise KeyError(name)
        return family

    def _slope(self, term: Any, values: Mapping[Term, Any]) -> Any:
        """The first derivative by a complex step, which rounds nothing away, and a second one by differences of it."""
        count: Any = term.variable_count[0]
        variable, order = count
        step = 1e-30j
        if order == 1:
            return np.imag(self._evaluate(term.expr, {**values, variable: values[variable] + step})) / step.imag
        lower: Any = Derivative(term.expr, (variable, order - 1))
        width = 1e-3
        near = {n: self._evaluate(lower, {**values, variable: values[variable] + n * width}) for n in (-2, -1, 1, 2)}
        return (near[-2] - 8 * near[-1] + 8 * near[1] - near[2]) / (12 * width)


@lru_cache(maxsize=500)
def _shortest_first(theorem: Theorem) -> list[Proposition]:
    """The hypotheses of a theorem in the order in which an instance that lacks one is soon known to."""
    return sorted(theorem.hypotheses, key=lambda told: sum(1 for _ in walk(told)))


@lru_cache(maxsize=500)
def _named(theorem: Theorem) -> frozenset[tuple[str, str]]:
    """The processes, families, objectives and random vectors that a theorem speaks of, and where a model keeps them."""
    kept: dict[type, str] = {
        At: "processes", Entry: "families", Value: "objectives", Gradient: "objectives", Random: "random"
    }  # fmt: skip
    parts = (part for told in (*theorem.hypotheses, theorem.conclusion) for part in walk(told))
    return frozenset((kept[type(part)], part.args[0].name) for part in parts if type(part) in kept)


def outcomes(count: int, values: tuple[float, float] = (-1.0, 1.0)) -> Array:
    """All outcomes of some coins, shape (coins, outcomes), for the processes of a model.

    >>> outcomes(2).tolist()
    [[-1.0, -1.0, 1.0, 1.0], [-1.0, 1.0, -1.0, 1.0]]
    """
    return np.array(np.meshgrid(*[values] * count, indexing="ij")).reshape(count, -1)


def _size(side: Any) -> Any:
    """How large a side is at each outcome or point, so that one far out excuses no error at another; finite."""
    sizes = np.max(np.abs(side), axis=-1, keepdims=True) if np.ndim(side) == 2 else np.abs(side)
    if not np.all(np.isfinite(sizes)):
        raise FloatingPointError("a side is beyond float64")
    return sizes


def _aligned(parts: Sequence[Any]) -> list[Any]:
    """Scalars of each outcome beside vectors of each outcome."""
    vectors = any(np.ndim(part) == 2 for part in parts)
    return [part[:, None] if vectors and np.ndim(part) == 1 else part for part in parts]


def _product(parts: Sequence[Any]) -> Any:
    out = 1.0
    for part in parts:
        out = out * part
    return out


_OPERATIONS: dict[type, Callable[[list[Any]], Any]] = {
    Add: lambda parts: sum(parts[1:], parts[0]),
    Mul: _product,
    Pow: lambda parts: np.power(np.asarray(parts[0]) + 0.0, parts[1]),
    Abs: lambda parts: np.abs(parts[0]),
    Max: lambda parts: np.maximum.reduce(np.broadcast_arrays(*parts)),
    Min: lambda parts: np.minimum.reduce(np.broadcast_arrays(*parts)),
    exp: lambda parts: np.exp(parts[0]),
    log: lambda parts: np.log(parts[0]),
    tanh: lambda parts: np.tanh(parts[0]),
}
