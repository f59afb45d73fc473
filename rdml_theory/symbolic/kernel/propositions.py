"""What a theorem can say: relations of terms, statements for every step or vector, limits, and named properties."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sympy import Basic, Eq, Le, Limit, Lt, Symbol, oo, preorder_traversal, sympify

from rdml_theory.symbolic.kernel.terms import (
    At,
    Entry,
    Term,
    TermError,
    Vector,
    bound_symbols,
    free_symbols,
    is_random,
    kind,
    symbol_kind,
)  # fmt: skip
from rdml_theory.symbolic.printing import to_latex, to_text

__all__ = [
    "PROPOSITIONS", "AtMost", "Centred", "Equal", "Finite", "ForAll", "Less", "Proposition", "Smooth", "SubGaussian",
    "Tends",
]  # fmt: skip


@dataclass(frozen=True)
class Proposition(ABC):
    """Base of all propositions."""

    def __str__(self) -> str:
        return self.text()

    def terms(self) -> tuple[Term, ...]:
        """The terms it speaks of."""
        return ()

    def map(self, change: Callable[[Term], Term]) -> Proposition:
        """The same with its terms changed."""
        return self

    def bound(self) -> set[Term]:
        """Its bound variables: indices of sums, variables of derivatives and of "for all"."""
        return set().union(*(bound_symbols(term) for term in self.terms()))

    def free(self) -> set[Term]:
        """Its free symbols and vectors."""
        return set().union(*(free_symbols(term) for term in self.terms()))

    @abstractmethod
    def check(self) -> None:
        """Raise :class:`TermError` unless it is well formed."""

    @abstractmethod
    def text(self) -> str:
        """One line of Unicode text."""

    @abstractmethod
    def latex(self) -> str:
        """LaTeX."""


@dataclass(frozen=True)
class _Relation(Proposition):
    left: Term
    right: Term

    signs = ("", "", Eq)

    def __post_init__(self) -> None:
        """Numbers of Python become SymPy's."""
        for name in ("left", "right"):
            object.__setattr__(self, name, sympify(getattr(self, name), strict=True))

    def terms(self) -> tuple[Term, ...]:
        return self.left, self.right

    def map(self, change: Callable[[Term], Term]) -> Proposition:
        return type(self)(change(self.left), change(self.right))

    def check(self) -> None:
        kinds = {kind(self.left), kind(self.right)} - {"zero"}
        if len(kinds) > 1 or (kinds == {"vector"} and not isinstance(self, Equal)):
            raise TermError(f"{self.text()} does not relate scalars")

    def text(self) -> str:
        return f"{to_text(self.left)} {self.signs[0]} {to_text(self.right)}"

    def latex(self) -> str:
        return f"{to_latex(self.left)} {self.signs[1]} {to_latex(self.right)}"

    def relation(self) -> Basic:
        """The relation as SymPy's, not evaluated."""
        return self.signs[2](self.left, self.right, evaluate=False)


@dataclass(frozen=True)
class Equal(_Relation):
    """``left = right``.

    >>> from sympy import Symbol
    >>> Equal(Symbol("h", positive=True), Symbol("Lambda", positive=True)).text()
    'h = Λ'
    """

    signs = ("=", "=", Eq)


@dataclass(frozen=True)
class AtMost(_Relation):
    r"""``left ≤ right``.

    >>> from sympy import Integer
    >>> print(AtMost(Integer(0), Integer(1)).latex())
    0 \le 1
    """

    signs = ("≤", r"\le", Le)


@dataclass(frozen=True)
class Less(_Relation):
    """``left < right``.

    >>> from sympy import Integer
    >>> Less(Integer(0), Integer(1)).text()
    '0 < 1'
    """

    signs = ("<", "<", Lt)


@dataclass(frozen=True)
class ForAll(Proposition):
    """``body`` for every value of a variable: a step 0, 1, 2, ..., all or those below a number, a class, or a vector.

    >>> from sympy import Symbol
    >>> t = Symbol("t", integer=True, nonnegative=True)
    >>> ForAll(t, AtMost(t, t)).text(), ForAll(t, AtMost(t, t), Symbol("T", integer=True, positive=True)).text()
    ('t ≤ t for every t', 't ≤ t for every t < T')
    """

    variable: Term
    body: Proposition
    below: Term | None = None

    def terms(self) -> tuple[Term, ...]:
        return self.body.terms() if self.below is None else (*self.body.terms(), self.below)

    def map(self, change: Callable[[Term], Term]) -> Proposition:
        return ForAll(self.variable, self.body.map(change), None if self.below is None else change(self.below))

    def bound(self) -> set[Term]:
        return {self.variable} | self.body.bound() | super().bound()

    def free(self) -> set[Term]:
        return (self.body.free() - {self.variable}) | (set() if self.below is None else self.below.free_symbols)

    def check(self) -> None:
        of = kind(self.variable) if type(self.variable) is Vector else symbol_kind(self.variable)
        if of not in ("vector", "natural", "counting"):
            raise TermError(f"for every {self.variable}: expected a step, a class (an integer from 0 or 1) or a vector")
        if type(self.body) not in PROPOSITIONS or type(self.body) is Tends:
            raise TermError(f"{self.body!r} is not a proposition of the kernel that is said for every value")
        if self.variable in self.body.bound():
            raise TermError(f"{self.variable} is bound twice in {self.text()}")
        self.body.check()
        if self.below is not None:
            if kind(self.below) == "vector" or self.below.is_integer is not True or type(self.variable) is Vector:
                raise TermError(f"{self.text()}: expected a step below an integer")
            if self.variable in self.below.free_symbols:
                raise TermError(f"the end of {self.text()} depends on {self.variable}")

    def text(self) -> str:
        end = "" if self.below is None else f" < {to_text(self.below)}"
        return f"{self.body.text()} for every {to_text(self.variable)}{end}"

    def latex(self) -> str:
        end = "" if self.below is None else f" < {to_latex(self.below)}"
        return rf"{self.body.latex()} \quad \forall\, {to_latex(self.variable)}{end}"


@dataclass(frozen=True)
class Tends(Proposition):
    r"""A scalar has a limit as a variable tends to a point, through values of its kind, or to ∞, maybe by integers.

    >>> from sympy import Symbol
    >>> x = Symbol("x", real=True)
    >>> Tends((x**2 - x) / x, x, 0, -1).text()
    '(x² - x)/x → -1 as x → 0'
    """

    term: Term
    variable: Symbol
    point: Term
    limit: Term

    def __post_init__(self) -> None:
        """Numbers of Python become SymPy's."""
        for name in ("term", "point", "limit"):
            object.__setattr__(self, name, sympify(getattr(self, name), strict=True))

    def terms(self) -> tuple[Term, ...]:
        return (self.term, self.limit) if self.point is oo else (self.term, self.limit, self.point)

    def map(self, change: Callable[[Term], Term]) -> Proposition:
        point = oo if self.point is oo else change(self.point)
        return Tends(change(self.term), self.variable, point, change(self.limit))

    def bound(self) -> set[Term]:
        return {self.variable} | super().bound()

    def free(self) -> set[Term]:
        return super().free() - {self.variable}

    def check(self) -> None:
        kinds = ("real", "positive", "natural", "counting") if self.point is oo else ("real", "positive")
        if symbol_kind(self.variable) not in kinds:
            raise TermError(f"the variable {self.variable} of a limit is none of: {', '.join(kinds)}")
        if any(kind(part) == "vector" for part in self.terms()):
            raise TermError(f"{self.text()} does not relate scalars")
        if ({self.variable} | self.point.free_symbols) & bound_symbols(self.term):
            raise TermError(f"a variable of {self.text()} is bound twice")
        if any(self.variable in part.free_symbols for part in self.terms()[1:]):
            raise TermError(f"the limit, or the point, of {self.text()} depends on {self.variable}")
        positive = symbol_kind(self.variable) == "positive"
        if positive and self.point is not oo and self.point.is_nonnegative is not True:
            raise TermError(f"{self.variable} is positive: it is not known to come near {self.point}")

    def text(self) -> str:
        limit = f"{to_text(self.variable)} → {to_text(self.point)}"
        return f"{to_text(self.term)} → {to_text(self.limit)} as {limit}"

    def latex(self) -> str:
        limit = rf"{to_latex(self.variable)} \to {to_latex(self.point)}"
        return rf"{to_latex(self.term)} \to {to_latex(self.limit)} \quad ({limit})"

    def relation(self) -> Basic:
        """The limit as SymPy's, not evaluated."""
        from_above = symbol_kind(self.variable) == "positive" and self.point.is_zero is True
        side = "+" if from_above or self.point is oo else "+-"
        return Eq(Limit(self.term, self.variable, self.point, side), self.limit, evaluate=False)


@dataclass(frozen=True)
class Smooth(Proposition):
    """The objective is differentiable, and its gradient Lipschitz continuous with a constant, whatever is given to it.

    >>> from sympy import Symbol
    >>> Smooth("f", Symbol("Lambda", positive=True)).text()
    'f is Λ-smooth'
    """

    objective: str
    constant: Term

    def terms(self) -> tuple[Term, ...]:
        return (self.constant,)

    def map(self, change: Callable[[Term], Term]) -> Proposition:
        return Smooth(self.objective, change(self.constant))

    def check(self) -> None:
        if type(self.objective) is not str:
            raise TermError(f"the name of an objective is a {type(self.objective).__name__}")
        if kind(self.constant) == "vector":
            raise TermError(f"a smoothness constant is a scalar, not {self.constant}")

    def text(self) -> str:
        return f"{self.objective} is {to_text(self.constant)}-smooth"

    def latex(self) -> str:
        return rf"{self.objective}\text{{ is }}{to_latex(self.constant)}\text{{-smooth}}"


def _check_given(told: Centred | SubGaussian, allowed: tuple[type, ...]) -> None:
    """The noise is a process at a step, and what is given is of the classes that are allowed."""
    if type(told.given) is not tuple:
        raise TermError(f"what is given is a {type(told.given).__name__}, no tuple")
    for part in told.terms():
        kind(part)
    for part, classes in ((told.noise, (At,)), *((part, allowed) for part in told.given)):
        if type(part) not in classes:
            expected = " or ".join(one.__name__ for one in classes)
            raise TermError(f"in {told.text()}, {part} is a {type(part).__name__}; expected {expected}")


@dataclass(frozen=True)
class Centred(Proposition):
    """The noise has mean zero given the processes named: ``E[n_t | x_t, b_t] = 0``.

    >>> from sympy import Symbol
    >>> t = Symbol("t", integer=True, nonnegative=True)
    >>> Centred(At("n", t), (At("x", t), At("b", t))).text()
    'E[n_t | x_t, b_t] = 0'
    """

    noise: Term
    given: tuple[Term, ...]

    def terms(self) -> tuple[Term, ...]:
        return (self.noise, *self.given)

    def map(self, change: Callable[[Term], Term]) -> Proposition:
        return Centred(change(self.noise), tuple(change(g) for g in self.given))

    def check(self) -> None:
        _check_given(self, (At,))

    def _form(self, show: Callable[[Term], str], marks: tuple[str, str]) -> str:
        return f"{marks[0]}{show(self.noise)} {marks[1]} {', '.join(show(g) for g in self.given)}] = 0"

    def text(self) -> str:
        return self._form(to_text, ("E[", "|"))

    def latex(self) -> str:
        return self._form(to_latex, (r"\mathbb{E}[", r"\mid"))


@dataclass(frozen=True)
class SubGaussian(Proposition):
    """``E[exp⟨v, n_t⟩ | ...] ≤ exp(s²‖v‖²/2)`` for all v, given processes, and random numbers, of the same step.

    The noise lies in a subspace of r dimensions, which is given with them.

    >>> from sympy import Symbol
    >>> t = Symbol("t", integer=True, nonnegative=True)
    >>> r = Symbol("r", integer=True, positive=True)
    >>> SubGaussian(At("n", t), (At("x", t), At("b", t)), Symbol("s", positive=True), r).text()
    'n_t given x_t, b_t is sub-Gaussian of proxy s² in r dimensions'
    """

    noise: Term
    given: tuple[Term, ...]
    deviation: Term
    rank: Term

    def terms(self) -> tuple[Term, ...]:
        return (self.noise, *self.given, self.deviation, self.rank)

    def map(self, change: Callable[[Term], Term]) -> Proposition:
        given = tuple(change(g) for g in self.given)
        return SubGaussian(change(self.noise), given, change(self.deviation), change(self.rank))

    def check(self) -> None:
        _check_given(self, (At, Entry))
        if "vector" in (kind(self.deviation), kind(self.rank)) or is_random(self.deviation) or is_random(self.rank):
            raise TermError(f"{self.text()}: expected a proxy and a dimension that are numbers, not random")

    def _form(self, show: Callable[[Term], str], given: str, proxy: str, rank: str) -> str:
        told = ", ".join(show(g) for g in self.given)
        return f"{show(self.noise)}{given}{told}{proxy}{show(self.deviation**2)}{rank}{show(self.rank)}"

    def text(self) -> str:
        return self._form(to_text, " given ", " is sub-Gaussian of proxy ", " in ") + " dimensions"

    def latex(self) -> str:
        words = (r"\text{ given }", r"\text{ is sub-Gaussian of proxy }", r"\text{ in }")
        return self._form(to_latex, *words) + r"\text{ dimensions}"


@dataclass(frozen=True)
class Finite(Proposition):
    """Every expectation that occurs is finite.

    >>> Finite().text()
    'all expectations are finite'
    """

    def check(self) -> None:
        """Always."""

    def text(self) -> str:
        return "all expectations are finite"

    def latex(self) -> str:
        return r"\text{all expectations are finite}"


PROPOSITIONS = (Equal, AtMost, Less, ForAll, Tends, Smooth, Centred, SubGaussian, Finite)
"""All there are."""


def walk(proposition: Proposition) -> Iterator[Any]:
    """Every subterm of a proposition.

    >>> from sympy import Symbol
    >>> sorted(str(e) for e in walk(Equal(Symbol("a", real=True), Symbol("b", real=True))))
    ['a', 'b']
    """
    for term in proposition.terms():
        yield from preorder_traversal(term)
    if isinstance(proposition, ForAll | Tends):
        yield proposition.variable
