r"""The terms of the theory of stochastic gradient descent.

Scalars are SymPy's real expressions over symbols of five kinds (real, nonnegative, positive, and the integers from 0
or 1). Vectors are formal combinations, with scalar coefficients, of the atoms below; they live in a real inner-product
space of any dimension.

====================  ========================================  ======
term                  meaning                                   kind
====================  ========================================  ======
``Vector(y)``         a fixed vector                            vector
``At(x, t)``          a random process at step t                vector
``Random(q)``         a random vector                           vector
``Random(J, y)``      a random function of the vector y         vector
``Gradient(f, y)``    the gradient of the objective f at y      vector
``Value(f, y)``       its value there                           scalar
``Value(f, y, u)``    of an objective that u is given to        scalar
``Inner(u, v)``       the inner product                         scalar
``Mean(e)``           the expectation                           scalar
``Entry(q, i)``       the entry of class i, or of step i        scalar
``Entry(…, t, n)``    that of each t and n                      scalar
``Derivative(e, s)``  the derivative in s, real or positive     scalar
====================  ========================================  ======

Sums run over a natural index from 0 to n-1, steps, or over a counting index from 1 to n, classes.

Trusted: :func:`kind` says what is a term. Where it has a value, its sign, and when two terms are equal is said in
:mod:`.forms`.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import Any, Literal, Self, cast

from sympy import (
    Abs,
    Add,
    AtomicExpr,
    Derivative,
    Expr,
    Integer,
    Max,
    Min,
    Mul,
    Pow,
    Rational,
    Sum,
    Symbol,
    Tuple,
    default_sort_key,
    exp,
    false,
    log,
    preorder_traversal,
    sympify,
    tanh,
    true,
)
from sympy.core.symbol import Str

from rdml_theory.symbolic.kernel.expansion import expand

__all__ = [
    "At", "Entry", "Gradient", "Inner", "Mean", "Random", "Term", "TermError", "Value", "Vector", "bound_symbols",
    "derivative", "free_symbols", "is_random", "kind", "require_given", "square", "symbol_kind",
]  # fmt: skip

Term = Any

_KINDS: dict[str, dict[str, bool]] = {
    "real": {"real": True},
    "nonnegative": {"nonnegative": True},
    "positive": {"positive": True},
    "natural": {"integer": True, "nonnegative": True},
    "counting": {"integer": True, "positive": True},
}


class TermError(TypeError):
    """An expression is not a term of the theory.

    >>> kind(Vector("u") * Vector("v"))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.terms.TermError: u*v multiplies two vectors: write Inner(u, v)
    """


class _Printed(Expr):
    """A term that says itself how it is printed, in text and in LaTeX."""

    _form: Any

    def _sympystr(self, printer: Any) -> str:
        return self._form(printer, latex=False)

    _rdmltext = _sympystr

    def _latex(self, printer: Any) -> str:
        return self._form(printer, latex=True)


class _Named(_Printed):
    """A term whose first argument is a name."""

    def __new__(cls, name: str | Str, *parts: Any) -> Self:
        """The name as SymPy's, which equal ones are."""
        return cast(Self, Expr.__new__(cls, name if isinstance(name, Str) else Str(name), *parts))

    @property
    def name(self) -> str:
        """Its name: of a process, a random vector, an objective, or a family of entries."""
        return cast(Str, self.args[0]).name

    def _indexed(self, printer: Any, indices: tuple[Term, ...], *, latex: bool) -> str:
        within = ", ".join(map(printer._print, indices))
        plain = len(indices) == 1 and indices[0].is_Atom and not latex
        return f"{self.name}_{within}" if plain else f"{self.name}_{{{within}}}"


class Vector(_Printed, AtomicExpr):
    """A fixed vector, named.

    >>> Vector("y") + 2 * Vector("y")
    3*y
    """

    name: str

    def __new__(cls, name: str) -> Vector:
        """Equal names make equal vectors."""
        self = AtomicExpr.__new__(cls)
        self.name = name
        return self

    def __getnewargs__(self) -> Any:
        return (self.name,)

    def _hashable_content(self) -> Any:
        return (self.name,)

    @property
    def free_symbols(self) -> set[Any]:
        """The vector itself."""
        return {self}

    def _form(self, printer: Any, *, latex: bool) -> str:
        return self.name


class At(_Named):
    """A random vector process at a step.

    >>> t = Symbol("t", integer=True, nonnegative=True)
    >>> At("x", t + 1)
    x_{t + 1}
    """

    def __new__(cls, name: str | Str, step: Term) -> Self:
        """The process ``name`` at ``step``."""
        return super().__new__(cls, name, step)

    @property
    def step(self) -> Term:
        """The step."""
        return self.args[1]

    def _form(self, printer: Any, *, latex: bool) -> str:
        return self._indexed(printer, (self.step,), latex=latex)


class _OfVectors(_Named):
    """A quantity of vectors, which are kept expanded, so that equal ones look equal."""

    def __new__(cls, name: str | Str, *vectors: Term) -> Self:
        """The quantity ``name`` of these vectors."""
        return super().__new__(cls, name, *map(expand, vectors))

    def _form(self, printer: Any, *, latex: bool) -> str:
        vectors = "; ".join(map(printer._print, self.args[1:]))
        return f"{self.name}({vectors})" if vectors else self.name


class Random(_OfVectors):
    """A random vector, or a random vector for each vector, such as a random matrix applied to it.

    >>> Random("q"), Random("J", Vector("y"))
    (q, J(y))
    """


class Value(_OfVectors):
    """The value of an objective at a point.

    The objective may be another for each vector that is given to it, such as the state of others.

    >>> Value("f", Vector("y")), Value("F", Vector("y"), Vector("u"))
    (f(y), F(y; u))
    """

    is_real = True


class Gradient(_OfVectors):
    """The gradient of an objective at a point.

    >>> Gradient("f", Vector("y"))
    ∇f(y)
    """

    def _form(self, printer: Any, *, latex: bool) -> str:
        return (r"\nabla " if latex else "∇") + super()._form(printer, latex=latex)


class Inner(_Printed):
    """The inner product of two vectors; with itself, the squared norm.

    >>> Inner(Vector("v"), Vector("u")), square(Vector("u"))
    (⟨u, v⟩, ‖u‖²)
    """

    is_real = True

    def __new__(cls, first: Term, second: Term) -> Inner:
        """Symmetric: the arguments are kept in one order, expanded."""
        pair = sorted((expand(first), expand(second)), key=default_sort_key)
        return cast(Inner, Expr.__new__(cls, *pair))

    def _form(self, printer: Any, *, latex: bool) -> str:
        first, second = (printer._print(a) for a in self.args)
        if self.args[0] == self.args[1]:
            return rf"\Vert {first}\Vert^{{2}}" if latex else f"‖{first}‖²"
        return rf"\langle {first}, {second}\rangle" if latex else f"⟨{first}, {second}⟩"


class Mean(_Printed):
    """The expectation.

    >>> Mean(square(At("n", Symbol("t", integer=True, nonnegative=True))))
    E[‖n_t‖²]
    """

    is_real = True

    def __new__(cls, body: Term) -> Mean:
        """The expectation of ``body``."""
        return cast(Mean, Expr.__new__(cls, body))

    def _form(self, printer: Any, *, latex: bool) -> str:
        body = printer._print(self.args[0])
        return rf"\mathbb{{E}}\left[{body}\right]" if latex else f"E[{body}]"


class Entry(_Named):
    """An entry of a family of real numbers, all of them positive if it says so; the family may be random.

    There may be a family for each value of further indices, such as the distributions of each step and input.

    >>> i = Symbol("i", integer=True, positive=True)
    >>> Entry("q", i, positive=True), Entry("v", 2), Entry("q", i, True, False, 3, i + 1)
    (q_i, v_2, q_{3, i + 1, i})
    """

    is_real = True

    def __new__(cls, name: str | Str, index: Term, positive: Any = False, random: Any = False, *of: Term) -> Self:
        """The entry ``index`` of the family ``name``, or of that family of its ``of``."""
        return super().__new__(cls, name, *map(sympify, (index, positive, random, *of)))

    @property
    def index(self) -> Term:
        """Which entry."""
        return self.args[1]

    @property
    def of(self) -> tuple[Term, ...]:
        """The further indices."""
        return self.args[4:]

    @property
    def traits(self) -> tuple[bool, bool, int]:
        """Whether the family is positive, whether it is random, and how many further indices it has."""
        return self.args[2] is true, self.args[3] is true, len(self.of)

    def at(self, index: Term, *of: Term) -> Entry:
        """Another entry, of the family of these further indices."""
        return Entry(cast(Str, self.args[0]), index, *self.args[2:4], *of)

    def _eval_is_positive(self) -> bool | None:
        return True if self.traits[0] else None

    def _form(self, printer: Any, *, latex: bool) -> str:
        return self._indexed(printer, (*self.of, self.index), latex=latex)


def square(vector: Term) -> Inner:
    """The squared norm of a vector.

    >>> square(Vector("u"))
    ‖u‖²
    """
    return Inner(vector, vector)


def symbol_kind(symbol: Symbol) -> str:
    """Which of the five kinds a symbol is of.

    Raises
    ------
    TermError
        If it carries other assumptions than those of its kind, or if it need not be real.

    Examples
    --------
    >>> symbol_kind(Symbol("h", positive=True))
    'positive'
    >>> symbol_kind(Symbol("x"))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.terms.TermError: the symbol x is none of: real, nonnegative, positive, natural, counting
    """
    _plain(symbol.name, str, symbol)
    found = _declared(symbol) if type(symbol) is Symbol else None
    if found is None:
        raise TermError(f"the symbol {symbol} is none of: {', '.join(_KINDS)}")
    return found


@lru_cache(maxsize=1_000)
def _declared(symbol: Symbol) -> str | None:
    """The kind that a symbol of SymPy's own class declares; of two that are equal the declarations are."""
    kinds = (name for name, declared in _KINDS.items() if symbol == Symbol(symbol.name, **declared))
    return next(kinds, None)


def _index(limits: Any) -> Symbol:
    """The index of a sum, if it runs over all steps 0..n-1, or over all classes 1..n."""
    index, low, high = limits
    _require(index, "scalar", "the index of a sum")
    first = _FIRST.get(symbol_kind(index)) if isinstance(index, Symbol) else None
    _require(low, "scalar", "the start of a sum")
    _require(high, "scalar", "the end of a sum")
    count = None if first is None else high + 1 - first
    if count is None or low != first or count.is_integer is not True or count.is_nonnegative is not True:
        raise TermError(
            f"a sum over {index} from {low} to {high}: expected a step from 0 to n-1, or a class from 1 to n, for an n "
            "of 0, 1, 2, ..."
        )
    if index in high.free_symbols:
        raise TermError(f"the end {high} of a sum over {index} depends on it")
    return index


_FIRST = {"natural": Integer(0), "counting": Integer(1)}
"""Where an index starts."""


@lru_cache(maxsize=50_000, typed=True)
def free_symbols(term: Term) -> frozenset[Any]:
    """The free symbols and vectors of a term, as SymPy finds them; kept, for it looks for them anew each time.

    >>> i = Symbol("i", integer=True, positive=True)
    >>> free_symbols(Sum(Entry("v", i) * Symbol("x", real=True), (i, 1, 3)))
    frozenset({x})
    """
    return frozenset(term.free_symbols)


@lru_cache(maxsize=20_000, typed=True)
def derivative(term: Term, variable: Any) -> Term:
    """The derivative in a real or positive variable, rule by rule; kept, for a proof that runs again asks again.

    >>> x, p = Symbol("x", real=True), Symbol("p", positive=True)
    >>> derivative(log(p) * p**x * x, x)
    p**x*x*log(p)**2 + p**x*log(p)
    """
    if variable not in free_symbols(term):
        return Integer(0)
    if isinstance(term, Symbol):
        return Integer(1)
    if isinstance(term, Derivative):
        return Derivative(term, variable)
    if isinstance(term, Sum) and all(variable not in free_symbols(limits) for limits in term.limits):
        return Sum(derivative(term.function, variable), *term.limits)
    inner = [derivative(part, variable) for part in term.args]
    if isinstance(term, Add):
        return Add(*inner)
    if isinstance(term, Mul):
        return Add(*(Mul(*term.args[:n], slope, *term.args[n + 1 :]) for n, slope in enumerate(inner)))
    if isinstance(term, Pow):
        return term * (inner[1] * log(term.base) + inner[0] * term.exp / term.base)
    return _OUTER[type(term)](term) * inner[0]


_OUTER = {exp: lambda term: term, log: lambda term: 1 / term.args[0], tanh: lambda term: 1 - term**2}
"""The derivatives of functions in their argument; :func:`kind` refuses that of any other."""


def bound_symbols(term: Term) -> set[Any]:
    """The indices of its sums, and the variables of its derivatives.

    >>> i, x = Symbol("i", integer=True, positive=True), Symbol("x", real=True)
    >>> bound_symbols(Derivative(Sum(Entry("v", i) * x**2, (i, 1, 3)), x)) == {i, x}
    True
    """
    return set(_bound(term))


@lru_cache(maxsize=20_000, typed=True)
def _bound(term: Term) -> frozenset[Any]:
    parts = term.atoms(Sum, Derivative)
    return frozenset().union(*(part.bound_symbols if isinstance(part, Sum) else part.variables for part in parts))


def kind(term: Term) -> Literal["scalar", "vector", "zero"]:
    """Whether a term is a scalar or a vector; the zero is both.

    Parameters
    ----------
    term : Expr
        The term.

    Raises
    ------
    TermError
        If it is neither.

    Examples
    --------
    >>> kind(Inner(Vector("u"), Vector("v"))), kind(2 * Vector("u"))
    ('scalar', 'vector')
    >>> kind(Vector("u") + 1)
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.terms.TermError: 1 + u adds a vector and a scalar
    """
    if of := _KIND_OF.get(type(term)):
        return of(term)
    if _is_rational(term):
        return "zero" if term == 0 else "scalar"
    raise TermError(f"{term} ({type(term).__name__}) is not a term of the theory")


def _is_rational(term: Any) -> bool:
    """Whether a term is a rational number of SymPy's own class, in lowest terms."""
    return type(term) in _RATIONAL and type(term.p) is type(term.q) is int and term.q > 0 and gcd(term.p, term.q) == 1


def _require(term: Term, wanted: str, what: str) -> None:
    if kind(term) not in (wanted, "zero"):
        raise TermError(f"{what} is {term}, a {kind(term)}: expected a {wanted}")


def _plain(name: Any, wanted: type, term: Any) -> None:
    """Refuse a name of a class of one's own, which could be equal to any."""
    if type(name) is not wanted:
        raise TermError(f"the name of {term} is a {type(name).__name__}")


def _plain_str(term: Any) -> None:
    _plain(term.args[0], Str, term)
    _plain(term.args[0].name, str, term)


def _kind_of_symbol(term: Any) -> Any:
    symbol_kind(term)
    if term.name.startswith("_"):
        raise TermError(f"the name {term.name} is kept for the indices of sums in a normal form")
    return "scalar"


def _kind_of_process(term: Any) -> Any:
    _plain_str(term)
    _require(term.step, "scalar", "a step")
    if term.step.is_integer is not True or term.step.is_nonnegative is not True:
        raise TermError(f"the step {term.step} of {term.name} is not known to be one of 0, 1, 2, ...")
    return "vector"


def _kind_of_entry(term: Any) -> Any:
    _plain_str(term)
    for index in (term.index, *term.of):
        _require(index, "scalar", "an index")
        if index.is_integer is not True or index.is_nonnegative is not True:
            raise TermError(f"the index {index} of {term.name} is not known to be one of 0, 1, 2, ...")
    if any(trait is not true and trait is not false for trait in term.args[2:4]):
        raise TermError(f"whether {term} is positive, and random, is {term.args[2:4]}: expected true or false")
    return "scalar"


_SMOOTH = (Add, Mul, Pow, exp, log, tanh, Sum, Derivative)


def _kind_of_derivative(term: Any) -> Any:
    _require(term.expr, "scalar", "what is differentiated")
    if [type(part) for part in term.args[1:]] != [Tuple] or symbol_kind(term.variables[0]) not in ("real", "positive"):
        raise TermError(f"{term} is not a derivative in one real or positive variable")
    kind(term.args[1][1])  # how often
    for part in preorder_traversal(term.expr):
        if term.variables[0] in free_symbols(part) and not isinstance(part, (*_SMOOTH, Symbol)):
            raise TermError(f"{part} has no known derivative in {term.variables[0]}")
    return "scalar"


def _kind_of_random(term: Any) -> Any:
    _plain_str(term)
    if len(term.args) > 2:
        raise TermError(f"{term} is a function of more than one vector")
    for point in term.args[1:]:
        _require(point, "vector", f"the point of {term.name}")
    return "vector"


def _kind_of_objective(term: Any) -> Any:
    _plain_str(term)
    if len(term.args) not in (2, 3):
        raise TermError(f"{term} has no point, or is of an objective that more than one vector is given to")
    for vector in term.args[1:]:
        _require(vector, "vector", "the point of an objective, or what is given to it,")
    return "vector" if type(term) is Gradient else "scalar"


def _kind_of_sum(term: Any) -> Any:
    if [type(part) for part in term.args[1:]] != [Tuple]:
        raise TermError(f"{term} does not run over one index, in a tuple")
    _index(term.limits[0])
    _require(term.function, "scalar", "the summand")
    return "scalar"


def _kind_of_add(term: Any) -> Any:
    kinds = {kind(part) for part in term.args}
    if len(kinds) > 1:
        raise TermError(f"{term} adds a vector and a scalar")
    return kinds.pop()


def _kind_of_product(term: Any) -> Any:
    vectors = [kind(part) for part in term.args].count("vector")
    if vectors > 1:
        raise TermError(f"{term} multiplies two vectors: write Inner(u, v)")
    return "vector" if vectors else "scalar"


def _kind_of_power(term: Any) -> Any:
    for part in term.args:
        _require(part, "scalar", "a part of a power")
    if term.base == 0:
        raise TermError(f"{term} is a power of zero, which is not a continuous function of the exponent")
    return "scalar"


def _scalar_of(wanted: str, what: str, count: int | None = 1) -> Any:
    def of(term: Any) -> Any:
        if count is not None and len(term.args) != count:
            raise TermError(f"{term} has {len(term.args)} arguments: expected {count}")
        for part in term.args:
            _require(part, wanted, what)
        return "scalar"

    return of


_RATIONAL = {Rational, *(type(number) for number in (Integer(-1), Integer(0), Integer(1), Integer(2), Rational(1, 2)))}

_KIND_OF: dict[type, Any] = {
    Symbol: _kind_of_symbol,
    Vector: lambda term: _plain(term.name, str, term) or "vector",
    At: _kind_of_process,
    Random: _kind_of_random,
    Gradient: _kind_of_objective,
    Value: _kind_of_objective,
    Entry: _kind_of_entry,
    Derivative: _kind_of_derivative,
    Inner: _scalar_of("vector", "a side of an inner product", 2),
    Mean: _scalar_of("scalar", "what has an expectation"),
    Sum: _kind_of_sum,
    Add: _kind_of_add,
    Mul: _kind_of_product,
    Pow: _kind_of_power,
    **{function: _scalar_of("scalar", "an argument of a function") for function in (Abs, exp, log, tanh)},
    **{function: _scalar_of("scalar", "one of several", None) for function in (Max, Min)},
}


def is_random(term: Term) -> bool:
    """Whether a term depends on chance: it holds a process outside every expectation.

    >>> x = At("x", Integer(0))
    >>> is_random(square(x)), is_random(Mean(square(x)))
    (True, False)
    """
    if isinstance(term, At | Random):
        return True
    if isinstance(term, Entry):
        return term.traits[1]
    return not isinstance(term, Mean) and any(is_random(part) for part in getattr(term, "args", ()))


def require_given(term: Term, given: tuple[Term, ...]) -> None:
    """Refuse a term that depends on chance otherwise than by what is given.

    >>> x, n = At("x", Integer(0)), At("n", Integer(0))
    >>> require_given(square(x), (x,))
    >>> require_given(Inner(x, n), (x,))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.terms.TermError: ⟨n_0, x_0⟩ depends on n_0, which is not given
    """
    if term.atoms(Sum):
        raise TermError(f"{term} has a bound variable, which a step could meet")
    strange = {part for part in term.atoms(At, Random, Entry) if is_random(part)} - set(given)
    if strange:
        raise TermError(f"{term} depends on {', '.join(map(str, strange))}, which is not given")
