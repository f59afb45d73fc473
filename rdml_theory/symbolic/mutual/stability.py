"""X3: which steps keep students together: near agreement, what steps make of their mean and of their differences.

``x_{t,k}`` is how far student k is at step t from where all agree, along a direction in which the base loss has the
curvature λ, and h = ηλ. For a cross-entropy of a linear softmax model that is the curvature of ``E Jᵀ Cov_q J`` too,
which the mutual loss has α times there (D3, D10). A step is ``x - ψh(...) - χv``, with a velocity v as in C11: ψ = 1
and χ = 0 without momentum, χ = μ for a heavy ball, ψ = 1 + μ and χ = μ² for Nesterov's momentum.
"""

from __future__ import annotations

from functools import cache

from sympy import Integer, Rational, Sum, Symbol, sqrt

from rdml_theory.symbolic.arguments import of_formulas
from rdml_theory.symbolic.kernel import *
from rdml_theory.symbolic.mutual.gain import students
from rdml_theory.symbolic.mutual.plateau import beta
from rdml_theory.symbolic.notation import Formula, alpha
from rdml_theory.symbolic.sgd.descent import mu
from rdml_theory.symbolic.sgd.setting import given, t, texts

__all__ = [
    "ASSUMPTIONS", "LIMIT", "MOMENTUM_ASSUMPTIONS", "bounded_target", "growing_target", "h", "rate", "stable",
    "step_limit", "step_target", "stiffness",
]  # fmt: skip

h: Formula = Symbol("h", positive=True)
"""h = ηλ."""

LIMIT: Formula = 2 / (1 + alpha * beta * students / (students - 1))
"""The greatest h at which differences between students do not grow; that of a student alone is 2."""

stiffness: Formula = Symbol("s", positive=True)
"""s, ηλ for one student alone, and 2h over the limit for the differences of several."""

rate: Formula = Symbol("r", positive=True)
"""By which differences grow in a step, beyond the limit."""

_PLAIN = (Integer(1), Integer(0))
_METHODS: tuple[tuple[Term, Term], ...] = ((Integer(1), mu), (1 + mu, mu**2))
"""ψ and χ, of a heavy ball and of Nesterov's momentum."""

_k, _j = (Symbol(name, integer=True, positive=True) for name in "kj")
_own, _pulled = students - 1, alpha * beta * students


def _of(name: str, student: Term, step: Term = t) -> Term:
    return Entry(name, student, False, False, step)


def _x(step: Term = t) -> Term:
    return Entry("x", step)


def _v(step: Term = t) -> Term:
    return Entry("v", step)


_here, _mean, _speed = _of("x", _k), Entry("m", t), Entry("n", t)
_pull = h * (_here + alpha * beta * (_here - _of("u", _k)))

_SEVERAL = Less(1, students)
_PEERS = ForAll(t, ForAll(_k, Equal(_own * _of("u", _k), students * _mean - _here)))
_MEAN = ForAll(t, Equal(students * _mean, Sum(_of("x", _j), (_j, 1, students))))
_MEAN_SPEED = ForAll(t, Equal(students * _speed, Sum(_of("v", _j), (_j, 1, students))))
_VELOCITY = ForAll(t, ForAll(_k, Equal(_of("v", _k, t + 1), mu * _of("v", _k) + _pull)))
_AT_REST = ForAll(_k, Equal(_of("v", _k, Integer(0)), 0))
_SLOW = Less(mu, 1)


def _step(method: tuple[Term, Term]) -> ForAll:
    fresh, past = method
    return ForAll(t, ForAll(_k, Equal(_of("x", _k, t + 1), _here - fresh * _pull - past * _of("v", _k))))


BEYOND = Less(2 * _own, h * (_own + _pulled))


ASSUMPTIONS = texts(_SEVERAL, _PEERS, _MEAN, _step(_PLAIN), BEYOND)
"""What the limit assumes, the last for steps beyond it, as text; u is the mean of the peers, m that of all."""


def _room(method: tuple[Term, Term]) -> Term:
    """By how much s is below the limit, times what is before s there."""
    return 2 * (1 + mu) - _times(method) * stiffness


def _times(method: tuple[Term, Term]) -> Term:
    """1, or 1 + 2μ with Nesterov's momentum."""
    fresh, past = method
    return (fresh * (1 + mu) - past).expand()


def stable(*, nesterov: bool = False) -> Less:
    """``s < 2(1+μ)``, or ``s(1+2μ) < 2(1+μ)``: a step short of the limit.

    >>> print(stable().text(), "|", stable(nesterov=True).text())
    s < 2·μ + 2 | s·(2·μ + 1) < 2·μ + 2
    """
    return Less(_times(_METHODS[nesterov]) * stiffness, 2 * (1 + mu))


def _beyond(nesterov: bool) -> Less:
    short = stable(nesterov=nesterov)
    return Less(short.right, short.left)


def _stiffness(limit: Formula) -> Equal:
    return Equal(stiffness, 2 * h / limit)


MOMENTUM_ASSUMPTIONS = texts(_VELOCITY, _MEAN_SPEED, _AT_REST, _SLOW, _stiffness(LIMIT), stable())
"""What the limit with momentum assumes besides, the last for a heavy ball with a step short of the limit, as text."""


def step_target(limit: Term = LIMIT) -> Equal:
    """``x_{t+1,k} - m_{t+1} = (1 - 2h/limit)(x_{t,k} - m_t)``.

    >>> print(step_target().text())
    x_{t + 1, k} - m_{t + 1} = (1 - 2·h·(K·α·β/(2·(K - 1)) + 1/2))·(x_{t, k} - m_t)
    """
    return _moved(_PLAIN, 2 * h / limit)


def _moved(method: tuple[Term, Term], stiff: Term) -> Equal:
    """What a step makes of the difference of a student from the mean, and of its velocity."""
    fresh, past = method
    apart = (1 - fresh * stiff) * (_here - _mean) - past * (_of("v", _k) - _speed)
    return Equal(_of("x", _k, t + 1) - _mean.at(t + 1), apart)


def _energy(method: tuple[Term, Term], step: Term = t) -> Term:
    now, later = _x(step), _x(step + 1)
    return stiffness * (later + now) ** 2 + _room(method) * (later - now) ** 2


def bounded_target(*, nesterov: bool = False) -> AtMost:
    """``4x_t²`` is at most ``1/s + 1/(2(1+μ) - s)`` times ``s(x_1+x_0)² + (2(1+μ) - s)(x_1-x_0)²``.

    >>> bounded_target().left
    4*x_t**2
    """
    method = _METHODS[nesterov]
    shares = 1 / stiffness + 1 / _room(method)
    return AtMost(4 * _x() ** 2, shares * _energy(method, Integer(0)))


def growing_target(*, nesterov: bool = False) -> Equal:
    """``(x_{t+1} - (1+μ+r-ψs)x_t)² = (r+μ)² r^{2t} x_0²``.

    >>> print(growing_target().text())
    (x_{t + 1} - (μ + r + 1 - s)·x_t)² = r^(2·t)·(μ + r)²·x_0²
    """
    return Equal(_combined(_METHODS[nesterov]) ** 2, rate ** (2 * t) * (rate + mu) ** 2 * _x(Integer(0)) ** 2)


def _combined(method: tuple[Term, Term], step: Term = t) -> Term:
    return _x(step + 1) - (1 + mu + rate - method[0] * stiffness) * _x(step)


@of_formulas()
def step_limit(limit: Formula = LIMIT) -> Proof:
    """X3: differences between students are multiplied by ``1 - h(1 + αβK/(K-1))`` in a step, their mean by ``1 - h``.

    So for ``h > 2/(1 + αβK/(K-1))`` differences grow, though each student alone would be stable up to 2. With momentum
    differences move as one student alone does, with s = 2h/limit for h: below ``s = 2(1+μ)``, or with Nesterov's
    momentum ``2(1+μ)/(1+2μ)``, they stay bounded; beyond it, from rest, a combination of two consecutive ones is
    multiplied by -r in each step, for an r > 1. This toolkit's own; that coupling shortens the stable step is known of
    decentralised descent (Yuan, Ling & Yin 2016, arXiv 1310.7063).

    Examples
    --------
    >>> step_limit().verify()
    True
    """
    plain = (_apart(_PLAIN, 2 * h / limit), _together(_PLAIN), _grows(limit))
    return Proof((*plain, *(theorem for nesterov in (False, True) for theorem in _with_momentum(limit, nesterov))))


def _pull_of() -> tuple[Term, Theorem]:
    """``(K-1)`` times the pull is ``h((K-1)x + αβK(x - m))``; its weight where the pull occurs."""
    return h * alpha * beta, given(_PEERS, t, _k)


@cache
def _stepped(method: tuple[Term, Term]) -> Theorem:
    """``(K-1) x_{t+1,k}`` without the peers."""
    fresh, past = method
    weight, peers = _pull_of()
    pulled = h * (_own * _here + _pulled * (_here - _mean))
    return combine(
        Equal(_own * _of("x", _k, t + 1), _own * (_here - past * _of("v", _k)) - fresh * pulled),
        [(_own, given(_step(method), t, _k)), (fresh * weight, peers)],
        reason="the mean of the peers is (K m - x)/(K - 1)",
    )


@cache
def _sped() -> Theorem:
    """``(K-1) v_{t+1,k}`` without the peers."""
    weight, peers = _pull_of()
    pulled = h * (_own * _here + _pulled * (_here - _mean))
    return combine(
        Equal(_own * _of("v", _k, t + 1), _own * mu * _of("v", _k) + pulled),
        [(_own, given(_VELOCITY, t, _k)), (-weight, peers)],
        reason="the mean of the peers is (K m - x)/(K - 1)",
    )


def _summed(each: Theorem) -> Theorem:
    return sum_over(instantiate(each, {_k: _j}, reason="for student j"), _j, students, reason="sum over the students")


@cache
def _together(method: tuple[Term, Term]) -> Theorem:
    """``m_{t+1} = (1-ψh)m_t - χn_t``: the mean moves as a student alone."""
    fresh, past = method
    weight = (_own * (1 - fresh * h) - fresh * h * _pulled) / students
    parts = [(1 / students, _summed(_stepped(method))), (_own / students, given(_MEAN, t + 1)),
             (-weight, given(_MEAN, t))]  # fmt: skip
    if past != 0:
        parts.append((_own * past / students, given(_MEAN_SPEED, t)))
    whole = _own * ((1 - fresh * h) * _mean - past * _speed)
    total = combine(Equal(_own * _mean.at(t + 1), whole), parts, reason="the pulls cancel")
    return combine(
        Equal(_mean.at(t + 1), whole / _own), [(1 / _own, total)], known=[given(_SEVERAL)], reason="divide by K - 1"
    )


@cache
def _mean_speed() -> Theorem:
    """``(K-1) n_{t+1} = (K-1)(μn_t + hm_t)``."""
    return combine(
        Equal(_own * _speed.at(t + 1), _own * (mu * _speed + h * _mean)),
        [
            (1 / students, _summed(_sped())),
            (_own / students, given(_MEAN_SPEED, t + 1)),
            (-_own * mu / students, given(_MEAN_SPEED, t)),
            (-h * (_own + _pulled) / students, given(_MEAN, t)),
        ],
        reason="the pulls cancel",
    )


def _apart(method: tuple[Term, Term], stiff: Term) -> Theorem:
    """What a step makes of the difference of a student from the mean."""
    return combine(
        _moved(method, stiff), [(1 / _own, _stepped(method)), (-1, _together(method))],
        reason="differences from the mean see the curvature 1 + αβK/(K-1) times",
    )  # fmt: skip


def _speed_apart(stiff: Term) -> Theorem:
    """And of that of its velocity."""
    return combine(
        Equal(_of("v", _k, t + 1) - _speed.at(t + 1), mu * (_of("v", _k) - _speed) + stiff * (_here - _mean)),
        [(1 / _own, _sped()), (-1 / _own, _mean_speed())],
        known=[given(_SEVERAL)],
        reason="so do those of the velocity",
    )


def _grows(at: Term) -> Theorem:
    """``1 < (1 - 2h/limit)²`` beyond the limit."""
    size = h * (1 + alpha * beta * students / (students - 1))
    beyond = assume(BEYOND, reason="given: a longer step")
    over = combine(Less(0, size - 2), [(1 / _own, beyond)], known=[given(_SEVERAL)], reason="so this is positive")
    return combine(
        Less(1, (1 - 2 * h / at) ** 2), [], slack=size * (size - 2), known=[over, given(_SEVERAL)],
        reason="so the factor is more than one in size: differences grow",
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Momentum: one student alone, and what differences have of it


def _alone(method: tuple[Term, Term]) -> tuple[ForAll, ForAll, Equal]:
    """The steps and velocities of one student, which starts at rest."""
    fresh, past = method
    moved = Equal(_x(t + 1), (1 - fresh * stiffness) * _x() - past * _v())
    return (
        ForAll(t, moved), ForAll(t, Equal(_v(t + 1), mu * _v() + stiffness * _x())), Equal(_v(Integer(0)), Integer(0))
    )  # fmt: skip


@cache
def _next_but_one(method: tuple[Term, Term]) -> Theorem:
    """``x_{t+2} = (1+μ-ψs)x_{t+1} - (μ(1-ψs)+χs)x_t``."""
    fresh, past = method
    moved, sped, _ = _alone(method)
    return combine(
        Equal(_x(t + 2), (1 + mu - fresh * stiffness) * _x(t + 1) - _det(method) * _x()),
        [(1, given(moved, t + 1)), (-past, given(sped, t)), (-mu, given(moved, t))],
        reason="without the velocities",
    )


def _det(method: tuple[Term, Term]) -> Term:
    fresh, past = method
    return mu * (1 - fresh * stiffness) + past * stiffness


@cache
def _bounded(nesterov: bool) -> Theorem:
    """Short of the limit one student stays bounded: an energy of its steps does not grow."""
    method = _METHODS[nesterov]
    slow = given(_SLOW)
    turn = _x(t + 2) - _x()
    lost = 2 * turn**2
    falls = combine(
        AtMost(_energy(method, t + 1), _energy(method)),
        [(4 * turn, _next_but_one(method)), (lost, slow)],
        slack=lost * mu * stiffness if nesterov else Integer(0),
        reason="what is lost is 2(1 - μ) times a square, or more",
    )
    start = _energy(method, Integer(0))
    supposed = assume(AtMost(_energy(method), start), reason="suppose")
    again = combine(AtMost(_energy(method, t + 1), start), [(1, falls), (1, supposed)], reason="one step more")
    base = combine(AtMost(start, start), [], reason="at first")
    always = specialise(induct(base, again, t, reason="by induction"), t, reason="at every step")
    short = assume(stable(nesterov=nesterov), reason="given: a step short of the limit")
    shares = 1 / stiffness + 1 / _room(method)
    both = stiffness * (_x(t + 1) + _x()) + _room(method) * (_x(t + 1) - _x())
    return combine(
        bounded_target(nesterov=nesterov), [(shares, always)], slack=both**2 / (stiffness * _room(method)),
        known=[short], reason="the energy bounds what is in it",
    )  # fmt: skip


def _rate(nesterov: bool) -> tuple[Equal, Term, Term, Term]:
    """r; what is under the root in it; by how much s is beyond the limit, as in :func:`stable`; the root there."""
    excess = -_room(_METHODS[nesterov])
    trace = _METHODS[nesterov][0] * stiffness - 1 - mu
    twice = 1 + 2 * mu
    if nesterov:
        under, least = trace**2 + 4 * mu / twice + 4 * mu * excess / twice, (1 + 3 * mu) / twice
    else:
        under, least = stiffness * excess + (1 - mu) ** 2, 1 - mu
    return Equal(rate, (trace + sqrt(under)) / 2), under, excess, least


@cache
def _known(nesterov: bool) -> tuple[Theorem, ...]:
    """Of a step beyond the limit: that it is, ``μ < 1``, and what r is."""
    beyond = assume(_beyond(nesterov), reason="given: a longer step")
    told, *_ = _rate(nesterov)
    return beyond, given(_SLOW), assume(told, known=[beyond], reason="given: r")


def _more_than_one(nesterov: bool) -> Theorem:
    """``1 < r``."""
    over, slow, named = _known(nesterov)
    _, under, excess, least = _rate(nesterov)
    share, more = Integer(1), stiffness * excess
    if nesterov:
        share = (1 + mu) / (1 + 2 * mu)
        more = (share * excess) ** 2 + 2 * share**2 * excess + 4 * mu * excess / (1 + 2 * mu)
    squares = combine(AtMost(least**2, under), [], slack=more, known=[over], reason="beyond the limit")
    size = root(squares, least, reason="take roots")
    return combine(
        Less(1, rate),
        [
            (Rational(1, 2), size), (Rational(1, 2), absolute(least)), (-1, named), (share / 2, over),
        ],
        known=[over, slow], reason="so r exceeds one",
    )  # fmt: skip


@cache
def _growing(nesterov: bool) -> Theorem:
    """Beyond the limit a combination of two consecutive steps is multiplied by -r."""
    method = _METHODS[nesterov]
    fresh, past = method
    *known, named = _known(nesterov)
    trace = fresh * stiffness - 1 - mu
    solved = combine(
        Equal(rate**2 - trace * rate + _det(method), 0), [], known=known, where=[named], reason="r solves this"
    )
    now, then = _combined(method), _combined(method, t + 1)
    turned = combine(
        Equal(then, -rate * now), [(1, _next_but_one(method)), (-_x(), solved)], reason="so it is multiplied by -r"
    )

    def at(step: Term) -> Equal:
        return Equal(_combined(method, step) ** 2, rate ** (2 * step) * (rate + mu) ** 2 * _x(Integer(0)) ** 2)

    supposed = assume(at(t), reason="suppose")
    again = combine(at(t + 1), [(then - rate * now, turned), (rate**2, supposed)], reason="one step more")
    moved, _, rest = _alone(method)
    zero = Integer(0)
    first, begun = _combined(method, zero), -(rate + mu) * _x(zero)
    one = combine(Equal(first, begun), [(1, given(moved, zero)), (-past, given(rest))], reason="from rest")
    base = combine(at(zero), [(first + begun, one)], reason="at first")
    return specialise(induct(base, again, t, reason="by induction"), t, reason="at every step")


def _with_momentum(at: Term, nesterov: bool) -> tuple[Theorem, ...]:
    """For one student alone, for the differences of several, and that r exceeds one."""
    alone = (_bounded(nesterov), _growing(nesterov))
    return (*alone, *(_of_differences(theorem, at, nesterov) for theorem in alone), _more_than_one(nesterov))


def _of_differences(theorem: Theorem, at: Term, nesterov: bool) -> Theorem:
    """What holds of one student alone, for the differences of several from their mean."""
    method = _METHODS[nesterov]
    apart, faster = _here - _mean, _of("v", _k) - _speed
    values = {_x(): apart, _v(): faster}
    named = assume(_stiffness(at), known=[given(_SEVERAL)], reason="given: s")
    zero = Integer(0)
    none = sum_over(given(_AT_REST, _j), _j, students, reason="none of them moves")
    parts = (
        [(1, _apart(method, 2 * h / at)), (method[0] * apart, named)],
        [(1, _speed_apart(2 * h / at)), (-apart, named)],
        [(1, given(_AT_REST, _k)), (-1 / students, given(_MEAN_SPEED, zero)), (-1 / students, none)],
    )
    out = instantiate(theorem, values, reason="for the difference of a student from the mean")
    for told, part in zip(_alone(method), parts, strict=True):
        here = instantiate(assume(told), values).conclusion
        if here not in out.hypotheses:
            continue
        body = here.body if isinstance(here, ForAll) else here
        lemma = combine(body, part, reason="which moves as one student alone, with s for h")
        out = discharge(out, generalise(lemma, t) if isinstance(here, ForAll) else lemma)
    return out
