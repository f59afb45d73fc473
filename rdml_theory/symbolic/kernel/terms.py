r"""The terms of the theory of stochastic gradient descent, and their normal form.

Scalars are SymPy's real expressions over symbols of five kinds (real, nonnegative, positive, and the integers from 0
or 1). Vectors are formal combinations, with scalar coefficients, of the atoms below; they live in a real inner-product
space of any dimension.

==================  ====================================  ======
term                meaning                               kind
==================  ====================================  ======
``Vector(y)``       a fixed vector                        vector
``At(x, t)``        a random process at step t            vector
``Gradient(f, y)``  the gradient of the objective f at y  vector
``Value(f, y)``     its value there                       scalar
``Inner(u, v)``     the inner product                     scalar
``Mean(e)``         the expectation                       scalar
==================  ====================================  ======

Everything here is trusted: :func:`kind` says what is a term, :func:`normal` when two terms are equal, :func:`sign`
what is manifestly positive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Literal, cast

from sympy import (
    Abs,
    Add,
    AtomicExpr,
    Expr,
    Integer,
    Max,
    Min,
    Mul,
    Pow,
    Rational,
    Sum,
    Symbol,
    cancel,
    default_sort_key,
    exp,
    expand,
    factor,
    fraction,
    log,
    together,
)  # fmt: skip
from sympy.core.symbol import Str

__all__ = [
    "At", "Gradient", "Inner", "Mean", "TermError", "Value", "Vector", "denominators", "is_random", "is_zero", "kind",
    "normal", "sign", "square", "symbol_kind",
]  # fmt: skip

Term = Any
Sign = Literal["positive", "nonnegative"]

_KINDS: dict[str, dict[str, bool]] = {
    "real": {"real": True},
    "nonnegative": {"nonnegative": True},
    "positive": {"positive": True},
    "natural": {"integer": True, "nonnegative": True},
    "counting": {"integer": True, "positive": True},
}


class TermError(TypeError):
    """An expression is no term of the theory.

    >>> kind(Vector("u") * Vector("v"))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.terms.TermError: u*v multiplies two vectors: write Inner(u, v)
    """


class Vector(AtomicExpr):
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

    def _sympystr(self, printer: object) -> str:
        return self.name

    _rdmltext = _sympystr
    _latex = _sympystr


class At(Expr):
    """A random vector process at a step.

    >>> t = Symbol("t", integer=True, nonnegative=True)
    >>> At("x", t + 1)
    x_{t + 1}
    """

    def __new__(cls, name: str | Str, step: Term) -> At:
        """The process ``name`` at ``step``."""
        return cast(At, Expr.__new__(cls, name if isinstance(name, Str) else Str(name), step))

    @property
    def process(self) -> str:
        """The name of the process."""
        return cast(Str, self.args[0]).name

    @property
    def step(self) -> Term:
        """The step."""
        return self.args[1]

    def _sympystr(self, printer: Any) -> str:
        index = printer._print(self.step)
        return f"{self.process}_{index}" if self.step.is_Atom else f"{self.process}_{{{index}}}"

    _rdmltext = _sympystr

    def _latex(self, printer: Any) -> str:
        return f"{self.process}_{{{printer._print(self.step)}}}"


class _OfObjective(Expr):
    """A quantity of an objective at a point, whose point is kept expanded, so that equal points look equal."""

    def __new__(cls, objective: str | Str, point: Term) -> Any:
        return Expr.__new__(cls, objective if isinstance(objective, Str) else Str(objective), expand(point))

    @property
    def objective(self) -> str:
        """The name of the objective."""
        return cast(Str, self.args[0]).name

    @property
    def point(self) -> Term:
        """The point."""
        return self.args[1]


class Value(_OfObjective):
    """The value of an objective at a point.

    >>> Value("f", Vector("y"))
    f(y)
    """

    is_real = True

    def _sympystr(self, printer: Any) -> str:
        return f"{self.objective}({printer._print(self.point)})"

    _rdmltext = _sympystr

    def _latex(self, printer: Any) -> str:
        return rf"{self.objective}({printer._print(self.point)})"


class Gradient(_OfObjective):
    """The gradient of an objective at a point.

    >>> Gradient("f", Vector("y"))
    ∇f(y)
    """

    def _sympystr(self, printer: Any) -> str:
        return f"∇{self.objective}({printer._print(self.point)})"

    _rdmltext = _sympystr

    def _latex(self, printer: Any) -> str:
        return rf"\nabla {self.objective}({printer._print(self.point)})"


class Inner(Expr):
    """The inner product of two vectors; with itself, the squared norm.

    >>> Inner(Vector("v"), Vector("u")), square(Vector("u"))
    (⟨u, v⟩, ‖u‖²)
    """

    is_real = True

    def __new__(cls, first: Term, second: Term) -> Inner:
        """Symmetric: the arguments are kept in one order, expanded."""
        pair = sorted((expand(first), expand(second)), key=default_sort_key)
        return cast(Inner, Expr.__new__(cls, *pair))

    def _form(self, printer: Any, marks: tuple[str, str, str, str, str]) -> str:
        first, second = (printer._print(a) for a in self.args)
        left, right, square_left, square_right, comma = marks
        same = self.args[0] == self.args[1]
        return f"{square_left}{first}{square_right}" if same else f"{left}{first}{comma}{second}{right}"

    def _sympystr(self, printer: Any) -> str:
        return self._form(printer, ("⟨", "⟩", "‖", "‖²", ", "))

    _rdmltext = _sympystr

    def _latex(self, printer: Any) -> str:
        return self._form(printer, (r"\langle ", r"\rangle", r"\Vert ", r"\Vert^{2}", ", "))


class Mean(Expr):
    """The expectation.

    >>> Mean(square(At("n", Symbol("t", integer=True, nonnegative=True))))
    E[‖n_t‖²]
    """

    is_real = True

    def __new__(cls, body: Term) -> Mean:
        """The expectation of ``body``."""
        return cast(Mean, Expr.__new__(cls, body))

    def _sympystr(self, printer: Any) -> str:
        return f"E[{printer._print(self.args[0])}]"

    _rdmltext = _sympystr

    def _latex(self, printer: Any) -> str:
        return rf"\mathbb{{E}}\left[{printer._print(self.args[0])}\right]"


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
    for name, declared in _KINDS.items():
        if type(symbol) is Symbol and symbol == Symbol(symbol.name, **declared):
            return name
    raise TermError(f"the symbol {symbol} is none of: {', '.join(_KINDS)}")


def _index(limits: Any) -> Symbol:
    """The index of a sum, if it runs over all steps 0..n-1."""
    index, low, high = limits
    natural = isinstance(index, Symbol) and symbol_kind(index) == "natural"
    _require(high, "scalar", "the end of a sum", ())
    if not natural or low is not Integer(0) or (high + 1).is_integer is not True or (high + 1).is_positive is not True:
        raise TermError(f"a sum over {index} from {low} to {high}: expected a step from 0 to n-1, n a counting number")
    return index


Known = Collection[tuple[Any, "Sign"]]


def _name(term: Any) -> Any:
    return term.process if isinstance(term, At) else term.objective if isinstance(term, _OfObjective) else term.name


def kind(term: Term, known: Known = ()) -> Literal["scalar", "vector", "zero"]:
    """Whether a term is a scalar or a vector; the zero is both.

    Parameters
    ----------
    term : Expr
        The term.
    known : collection of (Expr, {"positive", "nonnegative"})
        Scalars whose sign was proved: roots and logarithms are taken of such alone.

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
    if isinstance(term, Symbol | Vector | At | _OfObjective) and type(_name(term)) is not str:
        raise TermError(f"the name of {term} is a {type(_name(term)).__name__}")
    of = _KIND_OF.get(type(term))
    if of is not None:
        return of(term, known)
    if isinstance(term, Rational) and type(term).__module__ == "sympy.core.numbers":
        return "zero" if term == 0 else "scalar"
    raise TermError(f"{term} ({type(term).__name__}) is no term of the theory")


def _require(term: Term, wanted: str, what: str, known: Any) -> None:
    if kind(term, known) not in (wanted, "zero"):
        raise TermError(f"{what} is {term}, a {kind(term, known)}: expected a {wanted}")


def _kind_of_symbol(term: Any, known: Any) -> Any:
    symbol_kind(term)
    return "scalar"


def _kind_of_process(term: Any, known: Any) -> Any:
    _require(term.step, "scalar", "a step", known)
    if term.step.is_integer is not True or term.step.is_nonnegative is not True:
        raise TermError(f"the step {term.step} of {term.process} is not known to be one of 0, 1, 2, ...")
    return "vector"


def _kind_of_objective(term: Any, known: Any) -> Any:
    _require(term.point, "vector", "the point of an objective", known)
    return "vector" if type(term) is Gradient else "scalar"


def _kind_of_sum(term: Any, known: Any) -> Any:
    if len(term.limits) != 1:
        raise TermError(f"{term} runs over more than one index")
    _index(term.limits[0])
    _require(term.function, "scalar", "the summand", ())
    return "scalar"


def _kind_of_add(term: Any, known: Any) -> Any:
    kinds = {kind(part, known) for part in term.args}
    if len(kinds) > 1:
        raise TermError(f"{term} adds a vector and a scalar")
    return kinds.pop()


def _kind_of_product(term: Any, known: Any) -> Any:
    vectors = [kind(part, known) for part in term.args].count("vector")
    if vectors > 1:
        raise TermError(f"{term} multiplies two vectors: write Inner(u, v)")
    return "vector" if vectors else "scalar"


def _kind_of_power(term: Any, known: Any) -> Any:
    for part in term.args:
        _require(part, "scalar", "a part of a power", known)
    if not term.exp.is_integer and sign(term.base, known) is None:
        raise TermError(f"the base of {term} is not known to be nonnegative")
    return "scalar"


def _scalar_of(wanted: str, what: str) -> Any:
    def of(term: Any, known: Any) -> Any:
        for part in term.args:
            _require(part, wanted, what, known)
        if type(term) is log and sign(term.args[0], known) != "positive":
            raise TermError(f"the argument of {term} is not known to be positive")
        return "scalar"

    return of


_KIND_OF: dict[type, Any] = {
    Symbol: _kind_of_symbol,
    Vector: lambda term, known: "vector",
    At: _kind_of_process,
    Gradient: _kind_of_objective,
    Value: _kind_of_objective,
    Inner: _scalar_of("vector", "a side of an inner product"),
    Mean: _scalar_of("scalar", "what has an expectation"),
    Sum: _kind_of_sum,
    Add: _kind_of_add,
    Mul: _kind_of_product,
    Pow: _kind_of_power,
    **{function: _scalar_of("scalar", "an argument of a function") for function in (Abs, Max, Min, exp, log)},
}


def is_random(term: Term) -> bool:
    """Whether a term depends on chance: it holds a process outside every expectation.

    >>> x = At("x", Integer(0))
    >>> is_random(square(x)), is_random(Mean(square(x)))
    (True, False)
    """
    if isinstance(term, At):
        return True
    return not isinstance(term, Mean) and any(is_random(part) for part in getattr(term, "args", ()))


def _parts(vector: Term) -> Iterable[tuple[Term, Term]]:
    """Coefficients and atoms of a vector."""
    for part in Add.make_args(expand(vector)):
        factors = Mul.make_args(part)
        atoms = [f for f in factors if kind(f) == "vector"]
        if atoms:
            yield Mul(*(f for f in factors if f is not atoms[0])), atoms[0]


def _linear(operator: Any, body: Term, constant: Any, total: Any) -> Term:
    """A linear operator applied to a sum of terms: what is constant is taken out."""
    out: Term = Integer(0)
    for part in Add.make_args(expand(body)):
        factors = Mul.make_args(part)
        outer = Mul(*(f for f in factors if constant(f)))
        inner = Mul(*(f for f in factors if not constant(f)))
        out += outer * (total if inner == 1 else operator(inner))
    return out


def normal(term: Term) -> Term:
    """A term with inner products, expectations and sums multiplied out.

    >>> t, eta = Symbol("t", integer=True, nonnegative=True), Symbol("eta", positive=True)
    >>> normal(square(At("x", t) - eta * At("g", t)))
    eta**2*‖g_t‖² - 2*eta*⟨g_t, x_t⟩ + ‖x_t‖²
    >>> T = Symbol("T", integer=True, positive=True)
    >>> normal(Sum(eta * Mean(square(At("x", t))) + 1, (t, 0, T - 1)))
    T + eta*Sum(E[‖x_t‖²], (t, 0, T - 1))
    """
    if isinstance(term, Inner):
        first, second = (tuple(_parts(side)) for side in term.args)
        return expand(Add(*(normal(a * b) * Inner(u, v) for a, u in first for b, v in second)))
    if isinstance(term, Mean):
        return expand(_linear(Mean, normal(term.args[0]), lambda f: not is_random(f), Integer(1)))
    if isinstance(term, Sum):
        if len(term.limits) != 1:  # a sum of sums, which SymPy has made one of
            return term
        index, low, high = term.limits[0]
        return expand(
            _linear(
                lambda e: Sum(e, (index, low, high)),
                normal(term.function),
                lambda f: index not in f.free_symbols,
                high - low + 1,
            )
        )
    if isinstance(term, Vector | At | Gradient | Value) or not term.args:
        return term
    if isinstance(term, Abs):
        return _absolute(factor(normal(term.args[0])))
    if isinstance(term, Pow) and isinstance(term.base, Abs) and term.exp.is_even:
        return normal(term.base.args[0] ** term.exp)
    return expand(term.func(*(normal(part) for part in term.args)))


def _absolute(product: Term) -> Term:
    """The absolute value of a product, factor by factor."""
    out: Term = Integer(1)
    for part in Mul.make_args(product):
        base, exponent = part.as_base_exp()
        if sign(part) is not None:
            out *= part
        elif sign(-part) is not None:
            out *= -part
        else:
            out *= Abs(min(base, -base, key=default_sort_key)) ** exponent
    return expand(out)


def _telescoped(term: Term) -> Term:
    """Sums over s of differences a(s+1) - a(s), given by their ends."""
    sums: dict[tuple[Any, ...], Term] = {}
    rest: Term = Integer(0)
    for part in Add.make_args(term):
        totals = [f for f in Mul.make_args(part) if isinstance(f, Sum)]
        if len(totals) != 1 or len(totals[0].limits) != 1:
            rest += part
            continue
        limits = totals[0].limits[0]
        coefficient = Mul(*(f for f in Mul.make_args(part) if f is not totals[0]))
        inside = {i for total in part.atoms(Sum) - {totals[0]} for i in total.bound_symbols}
        if limits[0] in coefficient.free_symbols or inside & (limits[2].free_symbols | {limits[0]}):
            rest += part  # the index means another thing outside, or a sum within would capture the end
            continue
        sums[limits] = sums.get(limits, Integer(0)) + coefficient * totals[0].function
    for (index, low, high), body in sums.items():
        # Each summand that is another one, one step later, is replaced by it and by what is left at the ends.
        for piece in Add.make_args(expand(body)):
            coefficient, function = piece.as_independent(index, as_Add=False)
            earlier = function.subs(index, index - 1)
            if function == 1 or not any(
                Mul.make_args(p) and p.as_independent(index, as_Add=False)[1] == earlier
                for p in Add.make_args(expand(body))
            ):
                continue
            body += coefficient * (earlier - function)
            rest += coefficient * (function.subs(index, high) - earlier.subs(index, low))
        rest += normal(Sum(body, (index, low, high))) if expand(body) != 0 else 0
    return rest


def denominators(term: Term) -> set[Term]:
    """What a term divides by.

    >>> h = Symbol("h", positive=True)
    >>> denominators(1 / (2 - h) + h)
    {2 - h}
    """
    return {p.base for p in term.atoms(Pow) if p.exp.is_nonnegative is not True}


def is_zero(term: Term, known: Known = ()) -> bool:
    """Whether a term is zero wherever it has a value, by its normal form.

    >>> t, T = Symbol("t", integer=True, nonnegative=True), Symbol("T", integer=True, positive=True)
    >>> x = At("x", t)
    >>> later, first, last = (Mean(square(At("x", s))) for s in (t + 1, Integer(0), T))
    >>> is_zero(Sum(later - Mean(square(x)), (t, 0, T - 1)) - last + first)
    True
    """
    if kind(term, known) == "vector":
        return expand(term) == 0
    flat = normal(term)
    if flat == 0:
        return True
    numerator, _ = fraction(together(_telescoped(flat)))
    return expand(numerator) == 0 or cancel(normal(numerator)) == 0


def sign(term: Term, known: Known = ()) -> Sign | None:
    """The manifest sign of a scalar: from declared signs, squares, norms, sums and products, and from what is known.

    Parameters
    ----------
    term : Expr
        The scalar.
    known : collection of (Expr, {"positive", "nonnegative"})
        Scalars whose sign was proved.

    Examples
    --------
    >>> h, x = Symbol("h", positive=True), Symbol("x", real=True)
    >>> sign(h + x**2), sign(h * square(Vector("u"))), sign(2 - h), sign(1 / (2 - h), [(2 - h, "positive")])
    ('positive', 'nonnegative', None, 'positive')
    """
    for other, proved in known:
        if other.free_symbols == term.free_symbols and other != 0:
            ratio = cancel(normal(term) / normal(other))
            if isinstance(ratio, Rational) and ratio > 0:
                return proved
    if isinstance(term, Rational):
        return "positive" if term > 0 else "nonnegative" if term == 0 else None
    if isinstance(term, Symbol):
        name = symbol_kind(term)
        return None if name == "real" else "positive" if name in ("positive", "counting") else "nonnegative"
    if isinstance(term, Inner):
        return "nonnegative" if term.args[0] == term.args[1] else None
    if isinstance(term, Abs):
        return "nonnegative"
    if isinstance(term, exp):
        return "positive"
    if isinstance(term, Mean):
        return _weak(sign(term.args[0], known))
    if isinstance(term, Sum):
        return _weak(sign(term.function))
    if isinstance(term, Add):
        signs = [sign(part, known) for part in term.args]
        return None if None in signs else "positive" if "positive" in signs else "nonnegative"
    if isinstance(term, Mul):
        signs = [sign(part, known) for part in term.args]
        return None if None in signs else "nonnegative" if "nonnegative" in signs else "positive"
    if isinstance(term, Pow):
        base = sign(term.base, known)
        if base == "positive":
            return "positive"
        if term.exp.is_positive is True and base == "nonnegative":
            return "nonnegative"
        return "nonnegative" if term.exp.is_even and term.exp.is_positive else None
    return None


def _weak(found: Sign | None) -> Sign | None:
    """A mean or a sum of what is positive is nonnegative at least."""
    return None if found is None else "nonnegative"
