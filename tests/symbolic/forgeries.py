"""Attempts to make the kernel prove what is false or what means nothing: each must be refused."""

import pickle
import sys

from sympy import (
    Abs,
    Basic,
    Derivative,
    Dummy,
    Eq,
    Expr,
    Float,
    I,
    Integer,
    Interval,
    Le,
    Lt,
    Mul,
    Ne,
    Rational,
    Sum,
    Symbol,
    Tuple,
    exp,
    false,
    floor,
    log,
    oo,
    pi,
    sqrt,
    tanh,
    true,
)  # fmt: skip
from sympy.core.symbol import Str

from rdml_theory.symbolic.certificates import Certificate, Chain, Domain, SmtScript, calculus, smt
from rdml_theory.symbolic.certificates.calculus import Link
from rdml_theory.symbolic.certificates.smt import encode
from rdml_theory.symbolic.kernel import (
    RULES,
    At,
    AtMost,
    Centred,
    Entry,
    Equal,
    ForAll,
    Gradient,
    Inner,
    Less,
    Mean,
    Random,
    Smooth,
    SubGaussian,
    Tends,
    Theorem,
    Value,
    Vector,
    absolute,
    assume,
    axiom,
    cases,
    certified,
    combine,
    differentiate,
    discharge,
    expectation,
    generalise,
    identity,
    induct,
    inner,
    instantiate,
    last_term,
    limit,
    magnitude,
    nonnegative,
    one_term,
    orthogonal,
    rewrite,
    rising,
    root,
    specialise,
    square,
    squeeze,
    sum_over,
    taylor,
)  # fmt: skip

a, c, d = (Symbol(name, real=True) for name in "acd")
p = Symbol("p", positive=True)
r = Symbol("r", nonnegative=True)
t, s = (Symbol(name, integer=True, nonnegative=True) for name in "ts")
T = Symbol("T", integer=True, positive=True)
x, b, n = At("x", t), At("b", t), At("n", t)
FIRST = At("x", Integer(0))
u, v, y = Vector("u"), Vector("v"), Vector("y")
noise = assume(ForAll(t, Centred(n, (x, b))))
i, j, k, C = (Symbol(name, integer=True, positive=True) for name in "ijkC")
q, z = (lambda index: Entry("q", index, positive=True)), (lambda index: Entry("z", index))


class EvilAtMost(AtMost):
    """A relation that tells nobody of its terms."""

    def terms(self):
        return ()

    def check(self, known=()):
        """Accept."""


class EvilSymbol(Symbol):
    """A symbol of another class."""


class EvilRational(Rational):
    """A number of another class."""


EvilRational.__module__ = "sympy.core.numbers"


class EvilInteger(Integer):
    """A zero that is -1 for a loop."""

    def __int__(self):
        return -1


EVIL_ZERO = object.__new__(EvilInteger)
EVIL_ZERO.p, EVIL_ZERO.q = 0, 1


class EvilOne(type(Integer(1))):
    """A five that is equal to one."""

    def __eq__(self, other):
        return other == 1 or self is other

    __ne__ = lambda self, other: other != 1 and self is not other  # noqa: E731
    __hash__ = lambda self: hash(Integer(1))  # noqa: E731


EVIL_ONE = Expr.__new__(EvilOne)
EVIL_ONE.p, EVIL_ONE.q = 5, 1


class EvilTrue(type(true)):
    """True, and not: equal to it, and another."""

    __eq__ = lambda self, other: other is true or self is other  # noqa: E731
    __hash__ = lambda self: hash(true)  # noqa: E731


EVIL = Basic.__new__(EvilTrue)


class EvilCount(Symbol):
    """A number of steps that is T to those who compare, and 2 T in a sum."""

    def __eq__(self, other):
        return other == T or self is other

    def __hash__(self):
        return hash(T)

    def __sub__(self, other):
        return 2 * T - other


class EvilNumber:
    """The same, of no class of SymPy's."""

    def __repr__(self):
        return "T"  # no address, which would be another in each kernel that is tried

    def _sympy_(self):
        return T

    def __sub__(self, other):
        return 2 * T - other


EVIL_COUNT = Symbol.__new__(EvilCount, "T", integer=True, positive=True)


class EvilInterval(Interval):
    """An interval that ends elsewhere for the kernel than for those who check."""

    @property
    def end(self):
        """One, or infinity."""
        return oo if sys._getframe(1).f_globals["__name__"].endswith(".analysis") else Integer(1)


class EvilText(str):
    """A text that is equal to every other."""

    __ne__ = lambda self, other: False  # noqa: E731
    __hash__ = str.__hash__


class EvilTuple(tuple):
    """A tuple that may hold other things later."""


class EvilEvidence(SmtScript):
    """Evidence that is content with everything."""

    def check(self, relation, domain):
        """Accept."""
        return True


class EvilLink(Link):
    """A link of a chain that nobody made."""


class EvilDomain(Domain):
    """A domain of another class."""


class EvilRange(Tuple):
    """A range that may end elsewhere later."""


class EvilEntry(Entry):
    """An entry of another class."""


class EvilName(str):
    """A name that may read otherwise later."""


def squares(step):
    """A square of a sum over s that holds another step."""
    return Sum(Mean(Inner(At("x", step), At("b", s))), (s, 0, T - 1)) ** 2


def told(proposition):
    return assume(proposition)


def total(summand, index=i):
    """A sum over classes."""
    return Sum(summand, (index, 1, C))


SLOPE = differentiate(identity(Equal(3 * a, 3 * a)), a)
SLOPE_OF_SQUARE = differentiate(identity(Equal(a**2, a**2)), a)
FALLS = differentiate(identity(Equal(2 * a - a**2, 2 * a - a**2)), a)
SLOPE_OF_CUBE = differentiate(identity(Equal(a**3, a**3)), a)
CURVATURE = differentiate(SLOPE_OF_CUBE, a)
POLE = combine(Equal(-1 / a, -1 / a), [], known=[told(Less(0, a**2))])
POLES = differentiate(combine(Equal(a**-2, a**-2), [], known=[told(Less(0, a**2))]), a)
SLOPE_OF_LOG = differentiate(identity(Equal(log(p), log(p))), p)
RISES = combine(AtMost(0, SLOPE.conclusion.left), [(-1, SLOPE)], slack=Integer(3))
SHRINKS = combine(AtMost(Abs(c) / (p + 1), Abs(c) / p), [], slack=Abs(c) / (p * (p + 1)))
LOW = Le(-(a**2), 0, evaluate=False)
P = Symbol("P", positive=True)
LOG = log(1 + 1 / p)
ASCENT, FROM = axiom("ascent", ("f",)), Vector("w")
POLYAK, SHARE = axiom("Polyak's lemma"), Entry("w", t, positive=True)


def double(step):
    """A double sum, which a normal form writes as one sum over two indices, and the inner sum alone."""
    inner_sum = 2 * total(q(j) ** step, j)
    return total(inner_sum, step), inner_sum


def number(over, under, cls=Rational):
    """A rational number past its constructor."""
    made = Expr.__new__(cls)
    made.p, made.q = over, under
    return made


def entry(name):
    """An entry past its constructor."""
    return Expr.__new__(Entry, name, i, false, false)


def sum_over_range(limits):
    """A sum past its constructor."""
    made = Expr.__new__(Sum, q(i), limits)
    made.is_commutative = True
    return made


def slope(variable):
    """A derivative past its constructor."""
    return Expr.__new__(Derivative, a**3, variable)


def named(name, interval):
    """A certificate of ``a² ≤ -1`` with one more variable, whose name writes the solver's text."""
    relation = Le(a**2, -1, evaluate=False)
    plain, evil = (
        Domain(((a, Interval(-oo, oo)), (Symbol(word, **traits), interval)))
        for traits in ({"positive": True} if interval.start == 0 else {"real": True},)
        for word in ("zzz", name)
    )
    return shown(SmtScript(encode(relation, plain).replace("zzz", name)), relation, evil)


def power_of_two(term):
    """``log(p) = log(p, P) log(P)``, for a logarithm of two arguments that has a value at P = 1."""
    first = identity(Equal(term * log(P), log(p)))
    return combine(Equal(0, log(p)), [(1, first), (term, told(Equal(0, log(P))))])


def moments(vector, factor):
    """Moments of the noise given x and b."""
    return axiom("sub-Gaussian moments", (n, (x, b), vector, factor))


def above_every_outcome():
    """``1 → 0``, of a square with moments above mᵐ, such as a log-normal one: no s is above it in every outcome."""
    below, m = told(AtMost(square(FIRST), s)), Symbol("m", integer=True, nonnegative=True)
    one_more = combine(
        AtMost(square(FIRST) ** (m + 1), s ** (m + 1)),
        [(square(FIRST), told(AtMost(square(FIRST) ** m, s**m))), (s**m, below)],
    )
    powers = specialise(induct(combine(AtMost(square(FIRST) ** 0, s**0), []), one_more, m), s + 1)
    grows = specialise(told(ForAll(m, AtMost(1 + m ** (m + 1), Mean(square(FIRST) ** (m + 1))))), s)
    absurd = combine(AtMost(1, 0), [(1, expectation(powers)), (1, grows)])
    return squeeze(combine(AtMost(1, 1 / (s + 1)), [(1, absurd)], slack=1 / (s + 1)), Tends(1, s, oo, 0), Integer(-1))


UNEQUAL = Domain.of([a], conditions=(Ne(a, 0, evaluate=False),))


def shown(evidence, relation=None, domain=None, counterexample=None):
    """A certificate of ``a² ≤ -1`` that nobody made."""
    relation = Le(a**2, -1, evaluate=False) if relation is None else relation
    where = Domain.of([a]) if domain is None else domain
    return certified(Certificate("smt", "", relation, where, evidence, counterexample))


FORGERIES = {
    # what is no theorem
    "made by hand": lambda: Theorem(),
    "made with arguments": lambda: Theorem(frozenset(), AtMost(1, 0)),
    "made by a subclass": lambda: type("Mine", (Theorem,), {}),
    "changed": lambda: setattr(told(AtMost(a, c)), "conclusion", AtMost(c, a)),
    "attribute deleted": lambda: delattr(told(AtMost(a, c)), "hypotheses"),
    "pickled": lambda: pickle.dumps(told(AtMost(a, c))),
    "arguments changed": lambda: told(AtMost(a, c)).arguments.update(proposition=AtMost(c, a)),
    "a rule of one's own": lambda: RULES.update(mine=lambda: None),
    "something else for a theorem": lambda: combine(AtMost(a, c), [(1, AtMost(a, c))]),
    "a proposition for a theorem": lambda: specialise(ForAll(t, AtMost(0, t)), t),
    "a proposition as what is known": lambda: nonnegative(a, known=[AtMost(0, a)]),
    # what is no proposition or term
    "a smoothness that is a vector": lambda: assume(Smooth("f", u)),
    "a proposition of one's own class": lambda: assume(EvilAtMost(Integer(1), Integer(0))),
    "a symbol of one's own class": lambda: assume(AtMost(EvilSymbol("e", real=True), 0)),
    "a symbol that need not be real": lambda: assume(AtMost(Symbol("z"), 0)),
    "a dummy": lambda: assume(AtMost(Dummy("e", real=True), 0)),
    "a symbol with one more property": lambda: assume(AtMost(Symbol("e", real=True, nonzero=True), 0)),
    "a symbol that is zero": lambda: assume(AtMost(Symbol("e", zero=True), 0)),
    "a float": lambda: assume(AtMost(Float("0.1"), a)),
    "pi, which no rule knows": lambda: identity(Equal(pi, pi)),
    "infinity": lambda: assume(AtMost(a, oo)),
    "not a number": lambda: assume(AtMost(a, Integer(0) / 0)),
    "a product of vectors": lambda: assume(Equal(u * v, u * v)),
    "a square of a vector": lambda: identity(Equal(u**2, u**2)),
    "a vector plus a number": lambda: identity(Equal(u + 1, u + 1)),
    "an order of vectors": lambda: assume(AtMost(u, v)),
    "a vector and a number": lambda: assume(Equal(u, a)),
    "the root of what may be negative": lambda: assume(AtMost(sqrt(a), 0)),
    "the logarithm of what may be zero": lambda: assume(AtMost(log(r), 0)),
    "a division by what may be zero": lambda: assume(AtMost(1 / a, 1)),
    "a division by what may be zero, hidden in a power": lambda: assume(AtMost(r ** (-Rational(1, 2)), 1)),
    "one name for two symbols": lambda: assume(AtMost(Symbol("a", real=True), Symbol("a", positive=True))),
    "one name for a symbol and a process": lambda: assume(AtMost(Symbol("x", real=True), Mean(square(x)))),
    "a sum from one": lambda: assume(AtMost(Sum(Mean(square(x)), (t, 1, T)), 0)),
    "a sum without an end": lambda: assume(AtMost(Sum(Mean(square(x)), (t, 0, oo)), 0)),
    "a double sum": lambda: assume(AtMost(Sum(Mean(square(x)), (t, 0, T - 1), (s, 0, T - 1)), 0)),
    "a step before the first": lambda: assume(Equal(At("x", t - 1), x)),
    "for every number": lambda: assume(ForAll(a, AtMost(a**2, a))),
    "bound twice": lambda: assume(ForAll(t, ForAll(t, AtMost(t, t)))),
    "noise that is no process": lambda: assume(Centred(u, (x,))),
    "an axiom that nobody wrote": lambda: axiom("descent lemma, twice as good"),
    # identity, sign
    "a false identity": lambda: identity(Equal((a + c) ** 2, a**2 + c**2)),
    "a true inequality as an identity": lambda: identity(AtMost(a, a)),
    "a false identity of means": lambda: identity(Equal(Mean(square(x)) ** 2, Mean(square(x) ** 2))),
    "a mean of a product": lambda: identity(Equal(Mean(Inner(x, b) ** 2), Mean(Inner(x, b)) ** 2)),
    "a sum of a product": lambda: identity(
        Equal(Sum(Mean(square(x)) ** 2, (t, 0, T - 1)), Sum(Mean(square(x)), (t, 0, T - 1)) ** 2)
    ),
    "a sum that does not telescope": lambda: identity(
        Equal(Sum(Mean(square(At("x", t + 1))) - Mean(square(x)), (t, 0, T - 1)), Mean(square(At("x", T))))
    ),
    "an inner product with itself reversed": lambda: identity(Equal(Inner(u, v), square(u))),
    "the sign of a real symbol": lambda: nonnegative(a),
    "the sign of an inner product": lambda: nonnegative(Inner(u, v)),
    "the sign of a difference": lambda: nonnegative(p - r),
    "the sign of a product of two unknown signs": lambda: nonnegative(Mul(a, c)),
    "the sign of a mean of unknown sign": lambda: nonnegative(Mean(Inner(x, b))),
    "a magnitude of unknown sign": lambda: magnitude(a),
    "the absolute value of a vector": lambda: absolute(u),
    # combinations
    "a combination that is not one": lambda: combine(AtMost(a, d), [(1, told(AtMost(a, c)))]),
    "a weight of unknown sign": lambda: combine(AtMost(a * c, a * d), [(a, told(AtMost(c, d)))]),
    "a negative weight": lambda: combine(AtMost(d, c), [(-1, told(AtMost(c, d)))]),
    "an equality from an inequality": lambda: combine(Equal(a, c), [(1, told(AtMost(a, c)))]),
    "a strict relation from a weak one": lambda: combine(Less(a, c), [(1, told(AtMost(a, c)))]),
    "a strict relation from weight zero": lambda: combine(Less(0, 0), [(0, told(Less(a, c)))]),
    "a strict relation from a weight that may vanish": lambda: combine(Less(r * a, r * c), [(r, told(Less(a, c)))]),
    "a slack of unknown sign": lambda: combine(AtMost(a, a + c), [], slack=c),
    "a slack in an equality": lambda: combine(Equal(a, a + p), [], slack=p),
    "a weight with a pole": lambda: combine(AtMost(0, 0), [(1 / a, told(AtMost(0, 0)))]),
    "a vector as the weight of an inequality": lambda: combine(Equal(u, u), [(u, told(AtMost(0, 0)))]),
    "a combination of properties": lambda: combine(AtMost(a, c), [(1, told(Smooth("f", p)))]),
    "a property as a combination": lambda: combine(Smooth("f", p), []),
    # instances
    "a negative number for a positive symbol": lambda: instantiate(told(AtMost(0, p)), {p: Integer(-1)}),
    "zero for a positive symbol": lambda: instantiate(told(AtMost(0, 1 / p)), {p: Integer(0)}),
    "a real symbol for a positive one": lambda: instantiate(told(AtMost(0, p)), {p: a}),
    "a real symbol for a nonnegative one": lambda: instantiate(told(AtMost(0, r)), {r: a}),
    "a half for a step": lambda: instantiate(told(AtMost(0, t)), {t: Rational(1, 2)}),
    "zero for a horizon": lambda: instantiate(told(AtMost(0, T)), {T: Integer(0)}),
    "a number for a vector": lambda: instantiate(told(AtMost(0, square(u))), {u: a}),
    "a vector for a number": lambda: instantiate(told(AtMost(0, a)), {a: u}),
    "something that is no variable": lambda: instantiate(told(AtMost(0, a + c)), {a + c: d}),
    "a random value after an expectation": lambda: instantiate(
        expectation(told(AtMost(a, square(x)))), {a: Inner(x, b)}
    ),
    "a random vector after an expectation": lambda: instantiate(
        combine(AtMost(0, Mean(square(u + x))), [(1, expectation(nonnegative(square(u + x))))]), {u: b}
    ),
    "a value that a sum captures": lambda: instantiate(
        told(AtMost(Sum(a * Mean(square(x)), (t, 0, T - 1)), 0)), {a: t}
    ),
    "a bound variable": lambda: instantiate(told(AtMost(Sum(t + s, (t, 0, T - 1)) + t, 0)), {t: Integer(0)}),
    "a number for a process": lambda: instantiate(told(AtMost(0, square(x))), {x: a}),
    "a process at one step only": lambda: instantiate(told(AtMost(0, square(x))), {At("x", Integer(0)): u}),
    "a noise replaced by what is not centred": lambda: instantiate(specialise(noise, t), {n: x + b}),
    "a process with a bound step": lambda: instantiate(
        told(AtMost(0, square(x))), {x: Sum(Mean(square(At("n", s))), (s, 0, T - 1)) * At("b", t)}
    ),
    # for every
    "a special case as the general one": lambda: specialise(told(AtMost(0, t)), t + 1),
    "a half step": lambda: specialise(told(ForAll(t, AtMost(0, t))), Rational(1, 2)),
    "a number at a vector's place": lambda: specialise(told(ForAll(y, AtMost(0, square(y)))), a),
    "a random point after an expectation": lambda: specialise(
        told(ForAll(y, AtMost(Mean(Inner(y, x)), 0))), At("x", t)
    ),
    "from one step to all": lambda: generalise(told(AtMost(Mean(square(x)), 1)), t),
    "for every number, derived": lambda: generalise(nonnegative(a**2), a),
    "a sum over a step that is assumed": lambda: sum_over(told(AtMost(Mean(square(x)), 1)), t, T),
    "a sum of as many terms as the index": lambda: sum_over(nonnegative(square(x)), t, t + 1),
    "a sum of strict relations": lambda: sum_over(combine(Less(0, p), [], slack=p), t, T),
    "a sum of vectors": lambda: sum_over(identity(Equal(x, x)), t, T),
    "a sum over a real number": lambda: sum_over(nonnegative(a**2), a, T),
    "a sum of half a step": lambda: sum_over(nonnegative(square(x)), t, T / 2),
    "a sum inside a sum of the same step": lambda: sum_over(
        nonnegative(Sum(Mean(square(x)), (t, 0, T - 1))), t, T
    ),
    "induction from a base elsewhere": lambda: induct(
        nonnegative(Integer(1)), combine(AtMost(0, t + 1), [(1, told(AtMost(0, t)))], slack=Integer(1)), t
    ),
    "induction under a hypothesis about the step": lambda: induct(
        combine(AtMost(0, 0), []),
        combine(AtMost(a * (t + 1), 0), [(1, told(AtMost(a * t, 0))), (1, told(AtMost(a + t, t)))]),
        t,
    ),
    "induction without a base": lambda: induct(told(AtMost(1, 2)), told(AtMost(t + 1, 5)), t),
    "induction from another base": lambda: induct(
        nonnegative(Integer(0)), combine(AtMost(t + 1, 5), [(1, told(AtMost(t, 5)))], slack=0), t
    ),
    "induction with a premise about the step": lambda: induct(
        combine(AtMost(0, 0), []),
        combine(AtMost(a * (t + 1), 0), [(1, told(AtMost(a * t, 0))), (1, told(AtMost(a, t * 0)))]),
        s,
    ),
    # chance
    "the mean of a strict relation": lambda: expectation(told(Less(0, square(x)))),
    "the mean of vectors": lambda: expectation(identity(Equal(x, x))),
    "noise orthogonal to itself": lambda: orthogonal(specialise(noise, t), n),
    "noise orthogonal to the next iterate": lambda: orthogonal(specialise(noise, t), At("x", t + 1)),
    "noise orthogonal to the next gradient": lambda: orthogonal(specialise(noise, t), Gradient("f", At("x", t + 1))),
    "noise orthogonal to a bias it was not centred for": lambda: orthogonal(
        specialise(told(ForAll(t, Centred(n, (x,)))), t), b
    ),
    "noise orthogonal to another step's bias": lambda: orthogonal(specialise(noise, t), At("b", t + 1)),
    "noise times a scalar of the noise": lambda: orthogonal(specialise(noise, t), Inner(n, b) * b),
    "orthogonality from nothing": lambda: orthogonal(told(AtMost(0, a)), x),
    "noise and a number": lambda: orthogonal(specialise(noise, t), a),
    "cases on what depends on chance": lambda: cases(
        told(AtMost(0, square(x))), told(AtMost(0, square(x))), Inner(x, b), Integer(0)
    ),
    "cases with two conclusions": lambda: cases(told(AtMost(a, c)), told(AtMost(c, a)), a, c),
    # the rest
    "the root of no square": lambda: root(told(AtMost(a, c)), a),
    "the root of another square": lambda: root(told(AtMost(a**2, p)), c),
    "a hypothesis removed by another": lambda: discharge(told(AtMost(a, c)), told(AtMost(c, a))),
    "a hypothesis removed by a weaker one": lambda: discharge(
        told(Less(a, c)), combine(AtMost(a, c), [(1, told(Less(a, c)))])
    ),
    "a rewrite by an inequality": lambda: rewrite(told(AtMost(a, c)), told(AtMost(a, d))),
    "a rewrite of what is not there": lambda: rewrite(told(AtMost(a, c)), told(Equal(d, c))),
    "a rewrite of a bound step": lambda: rewrite(told(ForAll(t, AtMost(t, c))), told(Equal(t, Integer(0)))),
    "an inner product of an inequality": lambda: inner(told(AtMost(a, c)), u),
    "an inner product of numbers": lambda: inner(told(Equal(a, c)), u),
    "a limit from a start at infinity": lambda: squeeze(combine(AtMost(Abs(p), p), []), Tends(p, p, oo, 0), oo),
    "the sign of the opposite of what is known": lambda: nonnegative(a - c, [told(AtMost(a, c))]),
    "a limit over a number that may be zero": lambda: limit(Tends(a / c, a, 0, 0), a / c, Integer(0)),
    "a limit by no derivative": lambda: limit(Tends(a + 1, a, 0, 5), a + 1, EVIL_ZERO),
    "a sum over more steps than there are": lambda: sum_over(
        combine(AtMost(t, T), [(1, told(Less(t, T)))]), t, EVIL_COUNT
    ),
    "a sum over more steps than there are, which SymPy does not see": lambda: sum_over(
        combine(AtMost(t, T), [(1, told(Less(t, T)))]), t, EvilNumber()
    ),
    "a value whose own sum captures the index": lambda: instantiate(
        combine(
            AtMost(2 * q(j), Sum(2 * q(k), (k, 1, C))),
            [(2, one_term(nonnegative(q(k)), k, C, j, known=[told(AtMost(j, C))]))],
        ),
        {q(i): Sum(Entry("w", i, positive=True) * Entry("s", j, positive=True), (i, 1, C))},
    ),
    "a process and a family with one name": lambda: told(AtMost(Entry("x", t), square(x))),
    "a family of another number of indices": lambda: told(AtMost(q(i), Entry("q", i, True, False, j))),
    "a family of families given a value": lambda: instantiate(
        told(AtMost(0, Entry("z", i, False, False, j))), {Entry("z", i, False, False, j): Integer(-1)}
    ),
    "a family of families defined by one of them": lambda: combine(
        Equal(Entry("z", k, False, False, C), a), [],
        where=[told(ForAll(i, Equal(Entry("z", i, False, False, j), a)))],
    ),
    "a further index that is half a number": lambda: told(AtMost(0, Entry("z", i, False, False, Rational(1, 2)))),
    "a further index that is captured": lambda: instantiate(
        told(AtMost(Sum(Entry("z", i, False, False, j), (i, 1, C)), a)), {j: i}
    ),
    "double sums over other triangles": lambda: identity(
        Equal(
            Sum(2 * Sum(2 ** (s * t), (s, 0, t)), (t, 0, T - 1)),
            Sum(2 * Sum(2 ** (s * t), (s, 0, T - 1)), (t, 0, T - 1)),
        )
    ),
    "a positive double sum that may have no terms": lambda: combine(
        Less(0, Sum(2 * Sum(q(i), (i, 1, C)), (t, 0, s - 1))), [], slack=Sum(2 * Sum(q(i), (i, 1, C)), (t, 0, s - 1))
    ),
    "a sign of a sum by what is known of its index": lambda: nonnegative(
        Sum(2 * Sum(z(i) * z(j), (i, 1, C)), (j, 1, C)), known=[told(AtMost(0, z(j))), told(AtMost(0, z(i)))]
    ),
    "a sequence without a value": lambda: squeeze(
        combine(AtMost(Abs(1 / (t - 3)), 1 / (t - 3)), [], known=[told(Less(3, t))]), Tends(1 / (t - 3), t, oo, 0), 3
    ),
    "the limit of a sequence at a point": lambda: told(Tends(t, t, 0, 0)),
    "a sequence that is bounded up to a step": lambda: squeeze(
        combine(AtMost(Abs(1 - 0), 1), [(1, told(AtMost(t, 5)))], slack=Integer(0)), Tends(1, t, oo, 0), 0
    ),
    # found by a forger
    "the root of -1, squared": lambda: root(combine(AtMost(-1, 0), [], slack=Integer(1)), I),
    "a value that divides by zero and cancels": lambda: instantiate(told(Equal(a * c, 1)), {c: 1 / a}),
    "a vector that divides by zero and cancels": lambda: specialise(told(ForAll(y, Equal(a * y, 0))), u / a),
    "a process that divides by zero and cancels": lambda: instantiate(told(Equal(a * x, u)), {x: u / a}),
    "a sum that takes an index from outside": lambda: identity(
        Equal(t * Sum(t, (t, 0, T - 1)), Sum(t**2, (t, 0, T - 1)))
    ),
    "a sum of a sum, which loses the outer one": lambda: identity(
        Equal(Sum(2 * Sum(2 ** (s * t), (s, 0, T - 1)), (t, 0, T - 1)), 2 * Sum(2 ** (s * t), (s, 0, T - 1)))
    ),
    "an end captured by a sum within": lambda: identity(
        Equal(Sum(squares(t + 1) - squares(t), (t, 0, s)), squares(s + 1) - squares(Integer(0)))
    ),
    "noise orthogonal to a sum over all steps": lambda: orthogonal(
        specialise(noise, t), Sum(Inner(x, v), (t, 0, T - 1)) * v
    ),
    "a slack with a pole": lambda: combine(
        Less(0, a**2 / (a**2 + square(u))), [], slack=1 / (1 + square(u / a)), known=[told(Less(0, a**2 + square(u)))]
    ),
    "a slack that is a vector": lambda: combine(AtMost(0, 0), [], slack=u),
    "a bound step that divides": lambda: combine(
        Equal(Sum(t * (1 + 1 / t), (t, 0, T - 1)), Sum(1 + t, (t, 0, T - 1))), [], known=[told(Less(0, t))]
    ),
    "a sum with an end that is no term": lambda: assume(AtMost(Sum(t, (t, 0, floor(p) ** 2)), 0)),
    "a set of parts": lambda: combine(AtMost(c, a), {(Integer(1), told(AtMost(a, c)))}),
    "a name that is a number": lambda: assume(Less(0, Symbol("-1", positive=True))),
    "a name that is another term's": lambda: assume(Equal(Inner(Vector("x_t"), v), 0)),
    "two names of one letter": lambda: assume(AtMost(Symbol("eta", positive=True), Symbol("η", nonnegative=True))),
    "an objective and a symbol of one name": lambda: assume(AtMost(Value("f", u), Symbol("f", real=True))),
    "a proposition of one's own within": lambda: assume(ForAll(t, EvilAtMost(Integer(1), Integer(0)))),
    "cases on what is no term": lambda: cases(told(AtMost(a, c)), told(AtMost(a, c)), I, Integer(0)),
    "given as a tuple of one's own class": lambda: assume(Centred(n, EvilTuple((x, b)))),
    "the root of the square of a vector": lambda: root(told(AtMost(a**2, p)), u),
    "cases on vectors": lambda: cases(told(AtMost(a, c)), told(AtMost(a, c)), u, v),
    "below half a step": lambda: assume(ForAll(t, AtMost(t, a), T / 2)),
    "a vector below a number": lambda: assume(ForAll(y, AtMost(0, square(y)), T)),
    "below a vector": lambda: assume(ForAll(t, AtMost(t, a), u)),
    "below an end that moves along": lambda: assume(ForAll(t, AtMost(t, a), t + 1)),
    "a step that may not be below the end": lambda: specialise(told(ForAll(t, AtMost(t, a), T)), t),
    "the first step that is not below the end": lambda: specialise(told(ForAll(t, AtMost(t, a), T)), T),
    "a sum over steps below another end": lambda: sum_over(
        combine(AtMost(t, s), [(1, told(Less(t, s)))]), t, s + 1
    ),
    "an objective given a number": lambda: assume(AtMost(Value("F", u, a), 0)),
    "an objective given two vectors": lambda: assume(AtMost(Value("F", u, v, y), 0)),
    "an objective with and without what is given": lambda: assume(AtMost(Value("F", u), Value("F", u, v))),
    "a descent lemma given a number": lambda: axiom("descent lemma", ("F", p, a)),
    "a descent lemma given what moves along": lambda: identity(
        Equal(axiom("descent lemma", ("F", p, u)).conclusion.left, Value("F", y + v, y + v))
    ),
    "noise orthogonal to the gradient of what it was not centred for": lambda: orthogonal(
        specialise(noise, t), Gradient("F", x, At("u", t))
    ),
    "a random vector given after an expectation": lambda: instantiate(
        expectation(combine(AtMost(0, square(x)), [], slack=square(x), known=[told(AtMost(0, Value("F", u, v)))])),
        {v: b},
    ),
    "a random function of a number": lambda: assume(Equal(Random("J", a), u)),
    "a random function of two vectors": lambda: assume(Equal(Random("J", u, v), u)),
    "noise orthogonal to a random vector": lambda: orthogonal(specialise(noise, t), Random("q")),
    "noise orthogonal to a random function": lambda: orthogonal(specialise(noise, t), Random("J", x)),
    "a random vector and a random function of one name": lambda: assume(Equal(Random("q"), Random("q", u))),
    "a random vector and a process of one name": lambda: assume(Equal(Random("x"), x)),
    "a random vector put in after an expectation": lambda: instantiate(
        expectation(nonnegative(square(u))), {u: Random("q")}
    ),
    "a random vector that is constant": lambda: identity(Equal(Mean(square(Random("q"))), square(Random("q")))),
    "the last term of no sum": lambda: last_term(a),
    "the last term of a sum that may be empty": lambda: last_term(Sum(Mean(square(x)), (t, 0, T - 2))),
    "a last step that a sum within would bind": lambda: last_term(Sum(squares(t), (t, 0, s))),
    "a sum of one step less than none": lambda: assume(AtMost(Sum(Mean(square(x)), (t, 0, T - 3)), 0)),
    "the sign of two steps less than some": lambda: nonnegative(T - 2),
    "the sign of one minus two parts": lambda: nonnegative(1 - 2 / T),
    "cases on what may have no value": lambda: cases(told(AtMost(a, c)), told(AtMost(a, c)), 1 / d, c),
    "an objective's name of one's own class": lambda: assume(Smooth(EvilName("f"), p)),
    "a process with a name of one's own class": lambda: assume(AtMost(0, Mean(Value(EvilName("g"), u)))),
    "a sum from a number of one's own class": lambda: assume(AtMost(sum_over_range(Tuple(i, EVIL_ONE, C)), 0)),
    "a derivative as often as a number of one's own class": lambda: assume(AtMost(slope(Tuple(a, EVIL_ONE)), 0)),
    "a derivative in a variable of a name of one's own class": lambda: assume(
        AtMost(slope(Tuple(Symbol(EvilName("other"), real=True), Integer(1))), 0)
    ),
    "an entry with a trait of one's own class": lambda: assume(
        AtMost(Expr.__new__(Entry, Str("q"), i, EVIL, false), 0)
    ),
    "every vector of a name of one's own class": lambda: assume(ForAll(Vector(EvilName("w")), AtMost(0, p))),
    "a limit in a variable of a name of one's own class": lambda: assume(
        Tends(p, Symbol(EvilName("evil"), real=True), 0, p)
    ),
    # entries and sums over classes
    "an entry of one's own class": lambda: assume(AtMost(0, EvilEntry("q", i))),
    "an entry before the first": lambda: assume(AtMost(0, Entry("q", t - 1))),
    "an entry that is positive, perhaps": lambda: assume(AtMost(0, Entry("q", i, positive=Symbol("p")))),
    "one family that is positive, and not": lambda: assume(AtMost(q(i), Entry("q", j))),
    "a symbol that reads as an entry": lambda: assume(AtMost(q(i), Symbol("q_i", real=True))),
    "a family whose name reads as a term": lambda: assume(AtMost(0, Entry("q + r", i))),
    "a name that is kept for normal forms": lambda: combine(
        AtMost(total(i * Symbol("_0", integer=True, positive=True)), total(i**2)), []
    ),
    "an index that is kept for normal forms": lambda: assume(
        AtMost(total(1, Symbol("_0", integer=True, positive=True)), 0)
    ),
    "sums that differ in more than the index": lambda: identity(Equal(total(q(i) ** 2), total(q(j)))),
    "a product of sums as a sum of products": lambda: identity(
        Equal(total(q(i)) * total(z(j), j), total(q(i) * z(i)))
    ),
    "a sum of the powers as the power of the sum": lambda: identity(Equal(total(sqrt(q(i))), sqrt(total(q(i))))),
    "the logarithm of a sum": lambda: identity(Equal(log(q(1) + q(2)), log(q(1)) + log(q(2)))),
    "the sign of an entry": lambda: nonnegative(z(i)),
    "the sign of a sum that may be empty": lambda: combine(
        Less(0, Sum(p, (s, 0, t - 1))), [], slack=Sum(p, (s, 0, t - 1))
    ),
    "the sign of a tangent of unknown sign": lambda: nonnegative(tanh(a)),
    "the root of an entry": lambda: assume(AtMost(0, sqrt(z(i)))),
    "a class that is assumed, not summed": lambda: sum_over(told(AtMost(z(i), 1)), i, C),
    "the last class left out": lambda: sum_over(told(Less(i, C)), i, C),
    "the last term of no classes": lambda: last_term(Sum(q(i), (i, 1, t))),
    "the only class": lambda: identity(Equal(total(q(i)), q(1))),
    # a part of a sum
    "a term that may be negative": lambda: one_term(
        specialise(told(ForAll(j, AtMost(-1, z(j)))), i), i, C, k, known=[told(AtMost(k, C))]
    ),
    "a term that is assumed to be nonnegative": lambda: one_term(
        told(AtMost(0, z(i))), i, C, k, known=[told(AtMost(k, C))]
    ),
    "a term that is not in the sum": lambda: one_term(nonnegative(q(i)), i, C, C + 1),
    "a term of any class": lambda: one_term(nonnegative(q(i)), i, C, k),
    "the term before the first": lambda: one_term(nonnegative(q(i)), i, C, Integer(0)),
    "a term that a sum within would bind": lambda: one_term(
        nonnegative(total(q(j) * i, j)), i, C, j, known=[told(AtMost(j, C))]
    ),
    # families given
    "a real family for a positive one": lambda: instantiate(told(AtMost(0, q(i))), {q(i): z(i)}),
    "a family that is positive at one index": lambda: instantiate(
        told(AtMost(0, log(q(j)))), {q(i): z(i)}, known=[told(Less(0, z(i)))]
    ),
    "an entry before the first, given": lambda: instantiate(
        told(AtMost(0, Entry("q", 0, positive=True))), {q(i): i}
    ),
    "an entry before the first, by a definition": lambda: combine(
        Equal(Entry("q", 0), 1), [], where=[told(ForAll(i, Equal(Entry("q", i), 1)))]
    ),
    "noise orthogonal to a vector times a random entry": lambda: orthogonal(
        specialise(noise, t), Entry("y", i, random=True) * x
    ),
    "an entry given alone": lambda: instantiate(told(AtMost(0, q(1))), {q(1): Integer(2)}),
    "a family that a sum captures": lambda: instantiate(told(AtMost(total(z(i) * q(i)), 0)), {z(j): j * q(i)}),
    "an index that a sum within captures": lambda: instantiate(
        told(AtMost(total(q(i)), 1)), {q(j): total(z(i) ** 2 + j + 1)}
    ),
    "a random family after an expectation": lambda: instantiate(
        combine(AtMost(0, Mean(square(b)) + z(i) ** 2), [(1, expectation(nonnegative(square(b) + z(i) ** 2)))]),
        {z(i): Entry("y", i, random=True)},
    ),
    "a random entry that is constant": lambda: identity(
        Equal(Mean(Entry("y", i, random=True) ** 2), Entry("y", i, random=True) ** 2)
    ),
    # equations used in a combination
    "an equation that is none": lambda: combine(AtMost(a, c), [], where=[told(AtMost(a, c))]),
    "an equation of numbers among vectors": lambda: combine(Equal(a * u, c * u), [], where=[told(Equal(a, c))]),
    "an equation of a product": lambda: combine(Equal(a * c, d), [], where=[told(Equal(a * c, d))]),
    "a definition at one index": lambda: combine(
        Equal(total(q(i)), C), [], where=[told(Equal(q(i), 1))]
    ),
    "a definition that a sum captures": lambda: combine(
        Equal(total(q(i)), total(z(i))), [], where=[told(Equal(a, i)), told(ForAll(j, Equal(q(j), z(i))))]
    ),
    "a definition below a number": lambda: combine(
        Equal(Entry("y", 9), 1), [], where=[told(ForAll(t, Equal(Entry("y", t), 1), T))]
    ),
    "an equation at one point, differentiated": lambda: combine(
        Equal(Derivative(a * c, a), 0), [], where=[told(Equal(a, 0))]
    ),
    "a value put in under a derivative": lambda: combine(
        Equal(Derivative(a * c, a), Derivative(a**2, a)), [], where=[told(Equal(c, a))]
    ),
    # derivatives
    "the derivative of an absolute value": lambda: differentiate(identity(Equal(Abs(a), Abs(a))), a),
    "the derivative in a number that may be zero": lambda: differentiate(identity(Equal(r**2, r**2)), r),
    "the derivative of what holds where every outcome is smaller": lambda: differentiate(
        combine(Equal(a, a), [], known=[told(Less(square(b), a))]), a
    ),
    "the derivative of what holds from a point on": lambda: differentiate(
        combine(Equal(a**2, a**2), [], known=[told(AtMost(0, a))]), a
    ),
    "the derivative of what holds where a power of zero is positive": lambda: differentiate(
        combine(Equal(a**2, a**2), [], known=[told(Less(0, r ** (a**2)))]), a
    ),
    "the derivative of what holds where a sum is positive": lambda: differentiate(
        combine(Equal(a**2, a**2), [], known=[told(Less(0, total(z(i) * abs(a))))]), a
    ),
    "a derivative that has a value at a point": lambda: assume(
        AtMost(Derivative(1 / (a - c), a), 0), known=[told(Less(0, abs(a - c)))]
    ),
    "a derivative where a sum is not known to have terms": lambda: assume(
        AtMost(Derivative(log(total(z(i)) + a), a), 0), known=[told(AtMost(0, total(z(i)) + a))]
    ),
    "the derivative of a root at zero": lambda: differentiate(identity(Equal(sqrt(a**2 + r), sqrt(a**2 + r))), a),
    "the derivative of an inequality": lambda: differentiate(nonnegative(a**2), a),
    "the derivative of what holds at a point": lambda: differentiate(told(Equal(a**2, a)), a),
    "a derivative in two numbers": lambda: assume(AtMost(Derivative(a * c, a, c), 0)),
    "a derivative in an index": lambda: assume(AtMost(Derivative(total(q(i)), C), 0)),
    "a point of a derivative": lambda: instantiate(told(AtMost(Derivative(a**2, a), 0)), {a: Integer(0)}),
    "a derivative that does not exist": lambda: assume(AtMost(Derivative(sqrt(a), a), 0), known=[told(AtMost(0, a))]),
    # the mean value theorem
    "what rises without a derivative": lambda: rising(nonnegative(a**2), a, Integer(0), Integer(1)),
    "what rises by less than nothing": lambda: rising(
        combine(AtMost(-1, SLOPE.conclusion.left), [(-1, SLOPE)], slack=Integer(4)), a, Integer(0), Integer(1)
    ),
    "what rises by its second derivative": lambda: rising(
        combine(AtMost(0, Derivative(a**2, (a, 2))), [(-1, differentiate(SLOPE_OF_SQUARE, a))], slack=Integer(2)),
        a, Integer(-2), Integer(1),
    ),
    "what rises in another variable": lambda: rising(RISES, c, Integer(0), Integer(1)),
    "what rises at a point": lambda: rising(told(AtMost(0, Derivative(a**2, a))), a, Integer(-1), Integer(0)),
    "what rises on a part of the interval": lambda: rising(
        combine(AtMost(0, Derivative(a**2, a)), [(-1, SLOPE_OF_SQUARE), (2, told(AtMost(0, a)))]),
        a, Integer(-1), Integer(0),
    ),
    "what rises beyond the interval": lambda: rising(
        combine(AtMost(0, Derivative(2 * a - a**2, a)), [(-1, FALLS), (2, told(AtMost(a, 1)))]),
        a, Integer(0), Integer(3),
    ),
    "what rises but for a pole": lambda: rising(
        combine(
            AtMost(0, Derivative(-1 / a, a)), [(-1, differentiate(POLE, a))], slack=a**-2, known=[told(Less(0, a**2))]
        ),
        a, Integer(-1), Integer(1),
    ),
    "what rises up to a point that moves along": lambda: rising(RISES, a, Integer(0), a + 1),
    "what rises down to zero, where it has no value": lambda: rising(
        combine(
            AtMost(0, Derivative(log(p), p)), [(-1, differentiate(identity(Equal(log(p), log(p))), p))], slack=1 / p
        ),
        p, Integer(0), Integer(1),
    ),
    "what rises up to a vector": lambda: rising(RISES, a, Integer(0), u),
    "what rises up to a point without a value": lambda: rising(RISES, a, Integer(0), 1 / c),
    "what rises up to a point that a sum binds": lambda: rising(
        combine(
            AtMost(0, Derivative(total(q(i) * a), a)),
            [(-1, differentiate(identity(Equal(total(q(i) * a), total(q(i) * a))), a))], slack=total(q(i)),
        ),
        a, Integer(0), i,
    ),
    "what rises up to a random point after an expectation": lambda: rising(
        combine(
            AtMost(0, Derivative(a * Mean(square(b)), a)),
            [(-1, differentiate(identity(Equal(a * Mean(square(b)), a * Mean(square(b)))), a))], slack=Mean(square(b)),
        ),
        a, Integer(0), Inner(x, b),
    ),
    # twice the mean value theorem
    "a bend on a part of the interval": lambda: taylor(
        combine(AtMost(3, CURVATURE.conclusion.left), [(-1, CURVATURE), (6, told(AtMost(Rational(1, 2), a)))]),
        SLOPE_OF_CUBE,
    ),
    "a bend that is not constant": lambda: taylor(
        combine(AtMost(6 * a, CURVATURE.conclusion.left), [(-1, CURVATURE)]), SLOPE_OF_CUBE
    ),
    "a bend at a point": lambda: taylor(told(AtMost(CURVATURE.conclusion.left, 0)), SLOPE_OF_CUBE),
    "a bend of another function": lambda: taylor(
        combine(AtMost(0, Derivative(a**2, (a, 2))), [(-1, differentiate(SLOPE_OF_SQUARE, a))], slack=Integer(2)),
        SLOPE_OF_CUBE,
    ),
    "a bend of a function with another slope": lambda: taylor(
        combine(AtMost(0, Derivative(a**2, (a, 2))), [(-1, differentiate(SLOPE_OF_SQUARE, a))], slack=Integer(2)),
        told(Equal(SLOPE_OF_SQUARE.conclusion.left, 7 * a)),
    ),
    "a bend without a slope": lambda: taylor(told(AtMost(CURVATURE.conclusion.left, 0)), told(Equal(a, c))),
    "a bend that is an equation": lambda: taylor(CURVATURE, SLOPE_OF_CUBE),
    "a bend where there is a pole": lambda: taylor(
        combine(
            AtMost(0, Derivative(a**-2, (a, 2))), [(-1, differentiate(POLES, a))], slack=6 * a**-4,
            known=[told(Less(0, a**4))],
        ),
        POLES, known=[told(Less(0, a**2))],
    ),
    "a bend of a logarithm from zero on": lambda: taylor(
        combine(
            AtMost(Derivative(log(p), (p, 2)), 0), [(1, differentiate(SLOPE_OF_LOG, p))], slack=p**-2
        ),
        SLOPE_OF_LOG,
    ),
    # limits
    "another limit": lambda: limit(Tends((exp(a) - 1) / a, a, 0, 2), exp(a) - 1, 1),
    "a limit with a pole": lambda: limit(Tends(exp(a) / a, a, 0, 1), exp(a), 1),
    "a limit of another term": lambda: limit(Tends(exp(2 * a) - 1, a, 0, 1), exp(a) - 1, 1),
    "a limit over half a power": lambda: limit(Tends(exp(a), a, 0, 1), exp(a), Rational(1, 2)),
    "a limit over a negative power": lambda: limit(Tends(a * exp(a), a, 0, 0), exp(a), Integer(-1)),
    "a limit with a term of first order left": lambda: limit(
        Tends((exp(a) - 1) / a**2, a, 0, Rational(1, 2)), exp(a) - 1, 2
    ),
    "a limit where the absolute value has a corner": lambda: limit(Tends(Abs(a) / a, a, 0, 1), Abs(a), 1),
    "a limit of a power of zero": lambda: limit(Tends(r ** (a**2), a, 0, 1), r ** (a**2), 0),
    "a limit of a root at zero": lambda: limit(Tends(sqrt(p) / p, p, 0, 1), sqrt(p), 1),
    "a limit of a logarithm at zero": lambda: limit(Tends(p * log(p), p, 0, 0), p * log(p), 0),
    "a limit of one over what may vanish": lambda: limit(Tends(1 / (a - c), a, d, 1 / (d - c)), 1 / (a - c), 0),
    "a limit under what is assumed of the variable": lambda: limit(
        Tends(exp(a) + c, a, 0, 1), exp(a) + c, 0, where=[told(Equal(c, a))]
    ),
    "a limit by a hypothesis about the variable": lambda: limit(
        Tends(a + c, a, 0, 0), a + c, 0, where=[combine(Equal(c, 0), [(1, told(Equal(c + a, a)))])]
    ),
    "a limit by an inequality": lambda: limit(Tends(a + c, a, 0, 0), a + c, 0, where=[told(AtMost(c, 0))]),
    "a limit that moves along": lambda: limit(Tends(exp(a), a, 0, 1 + a), exp(a), 0),
    "a limit at a point that moves along": lambda: limit(Tends(exp(a), a, a, exp(a)), exp(a), 0),
    "a limit at a negative point of a positive number": lambda: limit(Tends(exp(p), p, -1, exp(-1)), exp(p), 0),
    "a limit in a number that may be zero": lambda: limit(Tends(exp(r), r, 0, 1), exp(r), 0),
    "a limit in an index": lambda: assume(Tends(total(q(i)), C, 1, q(1))),
    "a limit of a vector": lambda: assume(Tends(a * u, a, 0, 0 * u)),
    "a limit of a vector, taken": lambda: limit(Tends(a, a, 0, 0), a * u, 0),
    "a limit of a derivative": lambda: assume(Tends(Derivative(c * a, c), a, 0, 0)),
    "a limit in a bound variable": lambda: assume(Tends(Derivative(a**2, a), a, 0, 0)),
    "a limit at a point that a sum binds": lambda: limit(
        Tends(total(z(i) * a), a, i, i * total(z(i))), total(z(i) * a), 0
    ),
    "a limit of an expectation": lambda: limit(Tends(a * Mean(square(x)), a, 0, 0), a * Mean(square(x)), 0),
    "a limit for every step": lambda: generalise(limit(Tends(a * t, a, 0, 0), a * t, 0), t),
    "a limit of the root of what is negative nearby": lambda: assume(Tends(sqrt(a), a, 0, 0)),
    "a limit that has no value": lambda: assume(Tends(a, a, 0, log(c))),
    "a limit at a point that has no value": lambda: assume(Tends(a, a, 1 / c, 1 / c)),
    "a limit of no limit": lambda: limit(AtMost(a, c), a, 0),
    "a limit at infinity by Taylor": lambda: limit(Tends(1 / a, a, oo, 0), Integer(1), 0),
    "a value that a limit captures": lambda: instantiate(limit(Tends(a + c, a, 0, c), a + c, 0), {c: a}),
    "a limit at infinity of what does not settle": lambda: squeeze(
        combine(AtMost(Abs(c), Abs(c) + 1), [], slack=Integer(1)), Tends(c, p, oo, 0), Integer(0)
    ),
    "a limit at infinity of another term": lambda: squeeze(SHRINKS, Tends(c / (p + 2), p, oo, 0), Integer(0)),
    "a limit at infinity up to a point": lambda: squeeze(
        combine(SHRINKS.conclusion, [(1, SHRINKS)], known=[told(AtMost(p, 1))]), Tends(c / (p + 1), p, oo, 0),
        Integer(0),
    ),
    "a limit at infinity from a start that moves along": lambda: squeeze(
        combine(AtMost(Abs(c), Abs(c) + 1), [], slack=Integer(1)), Tends(c, p, oo, 0), p - 1
    ),
    "a limit at infinity from a start without a value": lambda: squeeze(
        combine(AtMost(1 / (Abs(c) * p + 1), 1 / (Abs(c) * p + 1)), []), Tends(1 / (Abs(c) * p + 1), p, oo, 0),
        -1 / Abs(c),
    ),
    "a limit at a point by a squeeze": lambda: squeeze(SHRINKS, Tends(c / (p + 1), p, 0, 0), Integer(0)),
    "a limit beyond every outcome of what has no greatest": above_every_outcome,
    "a squeeze of an equality": lambda: squeeze(
        identity(Equal(Abs(c) / (p + 1), Abs(c) / (p + 1))), Tends(c / (p + 1), p, oo, 0), Integer(-1)
    ),
    "a limit at infinity of a pole": lambda: assume(Tends(1 / (c * p - 1), p, oo, 0)),
    "a limit at infinity of a logarithm": lambda: assume(Tends(log(a), a, oo, 0)),
    "shares that may be zero, in Polyak's lemma": lambda: instantiate(
        POLYAK, {SHARE: t * p}
    ),
    "a bound that speaks of the step which the limit binds": lambda: instantiate(POLYAK, {Entry("u", s): c * t + s}),
    "a limit of Polyak's lemma that moves along": lambda: instantiate(POLYAK, {Symbol("L", real=True): t}),
    "a distance of Polyak's lemma that is a vector": lambda: instantiate(POLYAK, {Entry("u", t): x}),
    "a hypothesis of Polyak's lemma for one step": lambda: discharge(POLYAK, told(AtMost(SHARE, 1))),
    "a hypothesis of Polyak's lemma for a step that is assumed": lambda: discharge(
        POLYAK, generalise(told(AtMost(SHARE, 1)), t)
    ),
    "shares of Polyak's lemma that are summable": lambda: discharge(
        POLYAK, squeeze(SHRINKS, Tends(c / (p + 1), p, oo, 0), Integer(0))
    ),
    "shares of Polyak's lemma that speak of the step up to which they are summed": lambda: instantiate(
        POLYAK, {SHARE.at(s): (t + 1) / (s + 1)}
    ),
    "shares of Polyak's lemma that bind the step over which they are summed": lambda: instantiate(
        POLYAK, {SHARE: 1 / (1 + Sum(s, (s, 0, t)))}
    ),
    "a limit of Polyak's lemma for every step": lambda: generalise(POLYAK, s),
    "the expectation of Polyak's limit": lambda: expectation(POLYAK),
    "a share of Polyak's lemma that an equation makes zero": lambda: rewrite(POLYAK, told(Equal(SHARE, 0))),
    # exponential moments
    "sub-Gaussian noise that is no process": lambda: assume(SubGaussian(u, (x,), r, k)),
    "sub-Gaussian noise given a number": lambda: assume(SubGaussian(n, (x, a), r, k)),
    "sub-Gaussian noise given a list": lambda: assume(SubGaussian(n, [x], r, k)),
    "sub-Gaussian noise of a random proxy": lambda: assume(SubGaussian(n, (x,), square(x), k)),
    "sub-Gaussian noise in a random dimension": lambda: assume(SubGaussian(n, (x,), r, square(x))),
    "sub-Gaussian noise whose proxy is a vector": lambda: assume(SubGaussian(n, (x,), u, k)),
    "moments along the noise itself": lambda: moments(n, Integer(1)),
    "moments along what is not given": lambda: moments(At("v", t), Integer(1)),
    "moments along another step": lambda: moments(At("x", t + 1), Integer(1)),
    "moments along the noise by its norm": lambda: moments(square(n) * x, Integer(1)),
    "moments times a factor of the noise": lambda: moments(x, exp(Inner(n, x))),
    "moments times what is random and not given": lambda: moments(x, Entry("y", i, True, True)),
    "moments times a random vector's norm": lambda: moments(x, square(Random("w"))),
    "moments along a number": lambda: moments(a, Integer(1)),
    "moments times a vector": lambda: moments(x, x),
    "moments times a sum that meets the step": lambda: moments(x, exp(Sum(square(At("x", s)), (s, 0, T - 1)))),
    "moments beyond the proxy": lambda: instantiate(moments(x, Integer(1)), {Symbol("d", positive=True): -p}),
    "moments with a negative weight": lambda: instantiate(moments(x, Integer(1)), {Symbol("k", nonnegative=True): -p}),
    "moments with a random weight": lambda: instantiate(
        moments(x, Integer(1)), {Symbol("k", nonnegative=True): square(x)}
    ),
    "moments of what is not the noise": lambda: instantiate(moments(x, Integer(1)), {n: x + b}),
    "moments given what is constant": lambda: instantiate(moments(x, Integer(1)), {x: u}),
    "moments times a factor of unknown sign": lambda: discharge(moments(x, Inner(x, b)), nonnegative(square(x))),
    "moments without the room": lambda: discharge(
        moments(x, Integer(1)), told(Equal(Symbol("d", positive=True), 1 - Symbol("k", nonnegative=True)))
    ),
    "moments along a constant that turns out to be the noise": lambda: instantiate(moments(u, Integer(1)), {u: n}),
    "moments times a random function of what is given": lambda: moments(Random("J", x), Integer(1)),
    "moments times a constant that turns out to be random": lambda: instantiate(
        moments(x, exp(z(t))), {z(t): square(n)}
    ),
    "moments times the noise, called a number that is given": lambda: instantiate(
        axiom("sub-Gaussian moments", (n, (Entry("y", t, True, True),), 0 * x, Entry("y", t, True, True))),
        {Entry("y", t, True, True): exp(square(n))},
    ),
    "moments whose proxy has another's name": lambda: moments(x, exp(Symbol("s", real=True))),
    # the ascent
    "an ascent from the point that is bound": lambda: instantiate(ASCENT, {FROM: y}),
    "an ascent below what moves along": lambda: instantiate(ASCENT, {a: Value("f", y)}),
    "an ascent above what moves along": lambda: instantiate(ASCENT, {Symbol("f_inf", real=True): Value("f", y)}),
    "an ascent where the gradient need not grow": lambda: instantiate(ASCENT, {Symbol("mu", positive=True): 0}),
    "an ascent downwards": lambda: instantiate(ASCENT, {Symbol("tau", nonnegative=True): -p}),
    "an ascent below a parabola that turns down": lambda: instantiate(ASCENT, {Symbol("b", nonnegative=True): -p}),
    "an ascent of an objective called like its point": lambda: axiom("ascent", ("w",)),
    "an ascent of a gradient that grows at one point": lambda: discharge(
        ASCENT,
        generalise(
            told(
                AtMost(
                    2 * Symbol("mu", positive=True) * (Value("f", y) - Symbol("f_inf", real=True)),
                    square(Gradient("f", y)),
                )
            ),
            y,
        ),
    ),
    "an ascent from every point under one parabola": lambda: generalise(ASCENT, FROM),
    "an ascent from a random point after an expectation": lambda: instantiate(expectation(ASCENT), {FROM: x}),
    # certificates
    "no certificate": lambda: certified(AtMost(a, c)),
    "a certificate without evidence": lambda: shown(None),
    "a certificate with a counterexample": lambda: certified(smt(Le(a**2, -1, evaluate=False))),
    "a certificate by a word": lambda: shown("a paper says so"),
    "evidence of one's own class": lambda: shown(EvilEvidence("")),
    "evidence with a part of one's own class": lambda: shown(Chain(a, Integer(0), (EvilLink(1, a**2 + 1),))),
    "a domain of one's own class": lambda: shown(
        SmtScript(""), domain=EvilDomain(((a, Interval(-oo, oo)),))
    ),
    "evidence of another relation": lambda: shown(smt(Le(-a**2, 0, evaluate=False)).evidence),
    "evidence on a part of the domain": lambda: shown(
        smt(Le(a, 1, evaluate=False), {a: Interval(0, 1)}).evidence, Le(a, 1, evaluate=False)
    ),
    "a certificate whose domain is forgotten": lambda: discharge(
        certified(smt(Le(a, 1, evaluate=False), {a: Interval(0, 1)})), nonnegative(Integer(1))
    ),
    "a certificate under what is no relation": lambda: shown(
        SmtScript(encode(LOW, UNEQUAL)), relation=LOW, domain=UNEQUAL
    ),
    "a certificate of an equation of two names": lambda: certified(
        calculus(Le(exp(Symbol("e", real=True)), -1, evaluate=False))
    ),
    "an equality as a certificate": lambda: certified(smt(Eq(a, a, evaluate=False))),
    "a strict relation from a chain of weak signs": lambda: shown(
        Chain(a, Integer(0), (Link(1, a**2), Link(-1, a**2))), Lt(0, a**2, evaluate=False)
    ),
    "a chain from 0**0, where the limit is 1/e": lambda: shown(
        Chain(p, Integer(0), (
            Link(1, p ** (1 / LOG) - 1, Integer(0), p ** (1 / LOG) / (p * (p + 1) * LOG**2)),
            Link(1, (p + 1) * LOG + log(p), Integer(0), Integer(1)),
            Link(1, LOG),
        )),
        Le(1, p ** (1 / LOG), evaluate=False), Domain.of([p], conditions=(Lt(0, LOG, evaluate=False),)),
    ),
    "a power of zero, which jumps at the end of an interval": lambda: shown(
        Chain(a, Integer(-1), (Link(1, Rational(1, 2) - Integer(0) ** (a**2)),)),
        Le(Integer(0) ** (a**2), Rational(1, 2), evaluate=False), Domain.of([a], {a: Interval(-1, 0)}),
    ),
    "a name that is a command of the solver": lambda: named(
        "w| Real) (assert false) (declare-const |v", Interval(-oo, oo)
    ),
    "a name of two lines": lambda: named("w\n(assert false)\n;", Interval.open(0, oo)),
    "a script that is equal to every other": lambda: shown(SmtScript(EvilText("(assert false)"))),
    "an interval that grows when the check is done": lambda: shown(
        smt(Le(a, 1, evaluate=False), {a: Interval(0, 1)}).evidence, Le(a, 1, evaluate=False),
        Domain(((a, Basic.__new__(EvilInterval, Integer(0), Integer(1), false, false)),)),
    ),
    # found by another forger
    "a double sum that loses the outer one to an equation": lambda: combine(
        Equal(*double(i)), [], where=[told(Equal(d, c))]
    ),
    "a limit that loses the outer of two sums to an equation": lambda: limit(
        Tends(double(i)[0] * exp(a), a, 0, double(i)[1]), double(i)[0] * exp(a), 0, where=[told(Equal(d, c))]
    ),
    "induction over classes from a base before the first": lambda: induct(
        combine(Equal(0, 0), []), combine(Equal(i + 1, 0), [((i + 1) / i, told(Equal(i, 0)))]), i
    ),
    "the root of what is negative": lambda: root(combine(AtMost(-p - 1, 0), [], slack=p + 1), sqrt(-p - 1)),
    "a sum whose end is its index": lambda: nonnegative(Sum(q(i), (i, 1, i))),
    "a number that hides its class": lambda: nonnegative(number(1, 2, EvilRational)),
    "a number with a negative denominator": lambda: combine(AtMost(0, -1), [(1, nonnegative(number(1, -1)))]),
    "a logarithm of two numbers": lambda: power_of_two(Basic.__new__(log, p, P)),
    "an entry whose name is a number": lambda: identity(Equal(entry(a), entry(a))),
    "a range of another class": lambda: nonnegative(sum_over_range(Basic.__new__(EvilRange, i, Integer(1), C))),
}  # fmt: skip
