"""When two terms are equal, what is manifestly positive, and where a term has a value.

All of it is trusted: :func:`normal` multiplies out and :func:`is_zero` compares, :func:`sign` reads signs off, and
:func:`require_value` refuses a division by what may be zero and the root of what may be negative.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache, reduce
from typing import Any, Literal

from sympy import (
    Abs,
    Add,
    Derivative,
    Integer,
    Max,
    Mul,
    Pow,
    Rational,
    Sum,
    Symbol,
    Tuple,
    cancel,
    default_sort_key,
    exp,
    factor,
    fraction,
    log,
    oo,
    preorder_traversal,
    tanh,
    together,
)  # fmt: skip

from rdml_theory.symbolic.kernel.expansion import expand
from rdml_theory.symbolic.kernel.terms import (
    At,
    Entry,
    Gradient,
    Inner,
    Mean,
    Random,
    Term,
    TermError,
    Value,
    Vector,
    bound_symbols,
    derivative,
    free_symbols,
    is_random,
    kind,
    symbol_kind,
)  # fmt: skip

__all__ = [
    "Known", "Sign", "canonical", "is_open", "is_zero", "normal", "require_near", "require_value", "sign",
    "usable",
]  # fmt: skip

Sign = Literal["positive", "nonnegative"]
"""What can be known of the sign of a scalar."""

Known = Collection[tuple[Any, "Sign"]]
"""Scalars whose sign was proved."""


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


def _mean(body: Term) -> Term:
    """An expectation, that of a sum as the sum of expectations."""
    if not isinstance(body, Sum) or len(body.limits) != 1:
        return Mean(body)
    return Sum(_linear(_mean, body.function, lambda f: not is_random(f), Integer(1)), *body.limits)


@lru_cache(maxsize=20_000, typed=True)
def normal(term: Term) -> Term:
    """A term with inner products, expectations and sums multiplied out; kept, for proofs meet the same parts often.

    >>> from rdml_theory.symbolic.kernel.terms import square
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
        return expand(_linear(_mean, normal(term.args[0]), lambda f: not is_random(f), Integer(1)))
    if isinstance(term, Sum):
        if len(term.limits) != 1:  # a sum of sums, which SymPy has made one of
            return term
        index, low, high = term.limits[0]
        count = high - low + 1
        if isinstance(count, Integer):
            return expand(Add(*(normal(term.function.xreplace({index: low + n})) for n in range(int(count)))))
        return expand(
            _linear(
                lambda e: Sum(e, (index, low, high)),
                normal(term.function),
                lambda f: index not in free_symbols(f),
                count,
            )
        )
    if isinstance(term, Vector | At | Random | Gradient | Value | Entry | Derivative) or not term.args:
        return term
    if isinstance(term, Abs):
        return _absolute(factor(normal(term.args[0])))
    if isinstance(term, Pow) and isinstance(term.base, Abs) and term.exp.is_even:
        return normal(term.base.args[0] ** term.exp)
    if isinstance(term, tanh):
        twice = exp(2 * normal(term.args[0]))
        return (twice - 1) / (twice + 1)
    if isinstance(term, exp):
        return expand(Mul(*(_exponential(part) for part in Add.make_args(normal(term.args[0])))))
    flat = expand(term.func(*(normal(part) for part in term.args)))
    return expand(_split(flat)) if isinstance(flat, Pow | log) else flat


def _exponential(part: Term) -> Term:
    """``exp(c log x)`` as ``x**c``: the logarithm has a value, so that x is positive."""
    logarithms = [f for f in Mul.make_args(part) if isinstance(f, log)]
    return exp(part) if len(logarithms) != 1 else logarithms[0].args[0] ** (part / logarithms[0])


def _split(term: Term) -> Term:
    """A power, or the logarithm, of a product of what is manifestly positive, factor by factor."""
    if isinstance(term, Pow) and term.exp.is_integer:
        return term
    base: Any = factor(term.args[0]) if isinstance(term.args[0], Add) else term.args[0]
    if sign(base) != "positive":
        return term
    out = []
    for part in Mul.make_args(base):
        inner, power = part.as_base_exp() if sign(part.as_base_exp()[0]) == "positive" else (part, Integer(1))
        out.append(power * log(inner) if isinstance(term, log) else inner ** (power * term.exp))
    return Add(*out) if isinstance(term, log) else Mul(*out)


def canonical(term: Term) -> Term:
    """A normal form in which the index of a sum is called by its depth, so that sums which differ in it alone are one.

    >>> i, j, C = (Symbol(name, integer=True, positive=True) for name in "ijC")
    >>> first, second = (Sum(Entry("q", index), (index, 1, C)) for index in (i, j))
    >>> canonical(first) == canonical(second)
    True
    """
    return expand(_by_depth(normal(term))[0])


def _by_depth(term: Term) -> tuple[Term, int]:
    if not term.args or not term.has(Sum):
        return term, 0
    parts = [_by_depth(part) for part in term.args]
    depth = max(level for _, level in parts)
    out = term.func(*(part for part, _ in parts))
    if not isinstance(term, Sum) or len({index for index, *_ in out.limits}) < len(out.limits):
        return out, depth
    # A sum of sums that SymPy has made one of, the inner ones first: an end may speak of the indices further out.
    names: dict[Any, Any] = {}
    limits: list[Any] = []
    for place, (index, *ends) in reversed([*enumerate(out.limits)]):
        name = Symbol(f"_{depth + place}", **index.assumptions0)
        limits.insert(0, (name, *(end.xreplace(names) for end in ends)))
        names[index] = name
    return Sum(out.function.xreplace(names), *limits), depth + len(limits)


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
            others = (p.as_independent(index, as_Add=False)[1] for p in Add.make_args(expand(body)))
            if function != 1 and earlier in others:
                body += coefficient * (earlier - function)
                rest += coefficient * (function.subs(index, high) - earlier.subs(index, low))
        rest += normal(Sum(body, (index, low, high))) if expand(body) != 0 else 0
    return rest


def require_value(term: Term, known: Known, what: object) -> None:
    """Refuse a term that may have no value: what is divided by, or taken the root or logarithm of, has a known sign.

    Parameters
    ----------
    term : Expr
        The term. Of a variable that it binds only what :func:`usable` keeps tells anything.
    known : collection of (Expr, {"positive", "nonnegative"})
        Scalars whose sign was proved.
    what : str or Proposition
        What the term is called in the error, which prints it, or what it stands in.

    Raises
    ------
    TermError
        If it may have none.

    Examples
    --------
    >>> h = Symbol("h", positive=True)
    >>> require_value(1 / (2 - h), [(2 - h, "positive")], "the bound")
    >>> require_value(1 / (2 - h), [], "the bound")
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.terms.TermError: the bound 1/(2 - h) divides by 2 - h, which is not known to ...
    """
    facts = usable(known, bound_symbols(term)) if (partial := _may_lack_a_value(term)) else []
    for part in partial:
        if isinstance(part, Derivative):
            require_value(reduce(derivative, part.variables, part.expr), known, what)
        elif lacks := _lacks(part, facts):
            raise TermError(f"{what} {term} {lacks}" if isinstance(what, str) else f"{what} {lacks}")


@lru_cache(maxsize=20_000, typed=True)
def _may_lack_a_value(term: Term) -> tuple[Term, ...]:
    """The derivatives in a term, its logarithms, and its powers but those of a number 0, 1, 2, ..."""
    return tuple(p for p in term.atoms(Pow, log, Derivative) if not isinstance(p, Pow) or not _natural(p.exp))


def _lacks(part: Term, facts: Known) -> str:
    """Why a power or a logarithm, of what has a value, may have none."""
    if isinstance(part, log) and sign(part.args[0], facts) != "positive":
        return f"has {part}, whose argument is not known to be positive"
    base, exponent = part.as_base_exp()
    if not exponent.is_integer and sign(base, facts) is None:
        return f"has {part}, whose base is not known to be nonnegative"
    if exponent.is_nonnegative is not True and not _differs_from_zero(base, facts):
        return f"divides by {base}, which is not known to differ from zero"
    return ""


def _differs_from_zero(term: Term, facts: Known) -> bool:
    return "positive" in (sign(t, facts) for t in (term, -term, term**2))


def require_near(term: Term, variable: Any, point: Any, known: Known, what: object, *, hole: bool) -> None:
    """Refuse a term that may have no value at some points near a point of a variable, or beyond all bounds for ∞.

    At a finite point and near it the term is analytic, unless there is a ``hole``: then it may have poles there, powers
    of what is proportional to the distance.

    Raises
    ------
    TermError
        If that is not known.

    Examples
    --------
    >>> x = Symbol("x", real=True)
    >>> require_near(log(1 + x) / x, x, Integer(0), [], "the slope", hole=True)
    >>> require_near(log(1 + x) / x, x, Integer(0), [], "the slope", hole=False)
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.terms.TermError: the slope has 1/x, which may have no value near x = 0
    """
    facts = [fact for fact in known if not free_symbols(fact[0]) & (bound_symbols(term) | {variable})]
    if symbol_kind(variable) in ("natural", "counting"):  # a sequence: each of its terms has a value
        require_value(term, facts, what)
        return
    require_value(point if point is not oo else Integer(0), facts, what)
    for part in preorder_traversal(term):
        if isinstance(part, Derivative | Mean):
            raise TermError(f"{what} has {part}, which has no place in a limit")
        if variable not in free_symbols(part) or isinstance(part, Symbol | Add | Mul | Sum | Tuple | exp | tanh):
            if isinstance(part, Pow | log) and (lacks := _lacks(part, facts)):
                raise TermError(f"{what} {lacks}")
        elif not isinstance(part, Pow | log) or not _has_value_near(part, variable, point, facts, hole=hole):
            raise TermError(f"{what} has {part}, which may have no value near {variable} = {point}")


def _has_value_near(part: Term, variable: Any, point: Any, facts: Known, *, hole: bool) -> bool:
    """Whether a power or a logarithm has a value near a point."""
    base = part.args[0]
    whole = isinstance(part, Pow) and part.exp.is_integer and variable not in part.exp.free_symbols
    if whole and _natural(part.exp):
        return True
    if point is oo:
        slope = cancel(expand(base).diff(variable)) if whole else Integer(0)
        return (slope.is_Rational and slope != 0) or sign(base) == "positive"
    if whole and hole and isinstance(ratio := cancel(base / (variable - point)), Rational) and ratio != 0:
        return True
    there = base.xreplace({variable: point})
    return _differs_from_zero(there, facts) if whole else sign(there, facts) == "positive"


def usable(known: Known, inside: Collection[Any]) -> list[tuple[Any, Sign]]:
    """What is known of none of the bound variables, or strictly, and of a polynomial in one that a derivative binds.

    Such a polynomial is positive near every point where it is, and the derivative at the point is taken there.
    """
    return [fact for fact in known if all(is_open(fact, s) for s in free_symbols(fact[0]).intersection(inside))]


def is_open(fact: tuple[Any, Sign], variable: Any) -> bool:
    """Whether a fact says that a polynomial in a real or positive variable is positive."""
    term, proved = fact
    inside = (part for part in preorder_traversal(term) if variable in free_symbols(part))
    return (
        proved == "positive"
        and isinstance(variable, Symbol)
        and symbol_kind(variable) in ("real", "positive")
        and all(isinstance(p, Symbol | Add | Mul) or (isinstance(p, Pow) and _natural(p.exp)) for p in inside)
    )


def _natural(exponent: Any) -> bool:
    return isinstance(exponent, Integer) and exponent >= 0


@lru_cache(maxsize=20_000, typed=True)
def is_zero(term: Term, *, vector: bool = False) -> bool:
    """Whether a scalar, or a vector, is zero wherever it has a value, by its normal form; kept, as replays ask again.

    >>> from rdml_theory.symbolic.kernel.terms import square
    >>> t, T = Symbol("t", integer=True, nonnegative=True), Symbol("T", integer=True, positive=True)
    >>> x = At("x", t)
    >>> later, first, last = (Mean(square(At("x", s))) for s in (t + 1, Integer(0), T))
    >>> is_zero(Sum(later - Mean(square(x)), (t, 0, T - 1)) - last + first)
    True
    """
    if vector:
        return expand(term) == 0
    flat = normal(term)
    if flat == 0:
        return True
    same = canonical(flat)
    numerator = _numerator(same)
    if numerator == 0:
        return True
    shorter = _telescoped(flat)
    if shorter != same:
        numerator = _numerator(shorter)
        if numerator == 0:
            return True
    same = canonical(numerator)
    return same == 0 or cancel(same) == 0


def _numerator(term: Term) -> Term:
    """What stands above the common denominator of a term, multiplied out."""
    return expand(fraction(together(term))[0])


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
    >>> from rdml_theory.symbolic.kernel.terms import square
    >>> h, x = Symbol("h", positive=True), Symbol("x", real=True)
    >>> sign(h + x**2), sign(h * square(Vector("u"))), sign(2 - h), sign(1 / (2 - h), [(2 - h, "positive")])
    ('positive', 'nonnegative', None, 'positive')
    """
    for other, proved in sorted(known, key=lambda fact: fact[1] != "positive"):
        if free_symbols(other) == free_symbols(term) and other != 0 and _primitive(other) == _primitive(term):
            return proved
    if isinstance(term, Rational):
        return "positive" if term > 0 else "nonnegative" if term == 0 else None
    if isinstance(term, Symbol):
        name = symbol_kind(term)
        return None if name == "real" else "positive" if name in ("positive", "counting") else "nonnegative"
    if isinstance(term, Inner):
        return "nonnegative" if term.args[0] == term.args[1] else None
    if isinstance(term, Abs):
        return "positive" if sign(term.args[0] ** 2, known) == "positive" else "nonnegative"
    if isinstance(term, exp):
        return "positive"
    if isinstance(term, Entry):
        return "positive" if term.traits[0] else None
    if isinstance(term, tanh):
        return sign(term.args[0], known)
    if isinstance(term, Mean):
        return None if sign(term.args[0], known) is None else "nonnegative"
    if isinstance(term, Sum):
        indices = {index for index, *_ in term.limits}
        summand = sign(term.function, [fact for fact in known if not indices & free_symbols(fact[0])])
        some = all(sign(high - low + 1) == "positive" for _, low, high in term.limits)
        return summand if summand is None or some else "nonnegative"
    if isinstance(term, Add):
        return _sign_of_sum(term, known)
    if isinstance(term, Max):
        signs = {sign(part, known) for part in term.args}
        return "positive" if "positive" in signs else "nonnegative" if "nonnegative" in signs else None
    if isinstance(term, Mul):
        signs = [sign(part, known) for part in term.args]
        return None if None in signs else "nonnegative" if "nonnegative" in signs else "positive"
    if isinstance(term, Pow):
        base = sign(term.base, known)
        if base == "positive" or (term.exp.is_negative and sign(term.base**-term.exp, known) == "positive"):
            return "positive"
        if term.exp.is_nonnegative is True and base == "nonnegative":
            return "nonnegative"
        return "nonnegative" if term.exp.is_even and term.exp.is_positive else None
    return None


@lru_cache(maxsize=20_000, typed=True)
def _primitive(term: Term) -> Term:
    """The normal form over a positive number, the same for all positive multiples."""
    return normal(term).primitive()[1]


def _sign_of_sum(term: Term, known: Known) -> Sign | None:
    """The sign of a sum from those of its parts; T - 1, for T = 1, 2, ..., is one of 0, 1, 2, ..."""
    signs = [sign(part, known) for part in term.args]
    if None not in signs:
        return "positive" if "positive" in signs else "nonnegative"
    free = term.free_symbols - bound_symbols(term)
    counting = [s for s in free if isinstance(s, Symbol) and symbol_kind(s) == "counting"]
    if not counting:
        return None
    above, below = fraction(together(term))
    if below != 1:
        return sign(above, known) if sign(below, known) == "positive" else None
    from_zero = {s: 1 + Symbol(f"{s.name}'", integer=True, nonnegative=True) for s in counting}
    signs = [sign(part, known) for part in Add.make_args(expand(term.xreplace(from_zero)))]
    return None if None in signs else "positive" if "positive" in signs else "nonnegative"
