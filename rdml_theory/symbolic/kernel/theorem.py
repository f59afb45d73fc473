"""The kernel: theorems, and the rules that alone make them.

A theorem reads: under the hypotheses, surely (for every outcome of chance), the conclusion. Its free symbols and
vectors stand for every value of their kind. It keeps the rule it came from and that rule's arguments, so that the whole
proof can be printed, and replayed: :meth:`Theorem.replay` runs every rule again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import wraps
from inspect import signature
from sys import modules
from types import MappingProxyType
from typing import Any

from sympy import (
    Abs,
    Basic,
    Derivative,
    Eq,
    Ge,
    Gt,
    Integer,
    Le,
    Lt,
    Rational,
    Sum,
    Symbol,
    Tuple,
    cancel,
    expand,
    oo,
    sqrt,
)

from rdml_theory.symbolic.certificates import Certificate, Chain, Pieces, SmtScript, Subdivision
from rdml_theory.symbolic.kernel import axioms
from rdml_theory.symbolic.kernel.forms import (
    Sign,
    canonical,
    is_open,
    is_zero,
    normal,
    require_near,
    require_value,
    sign,
    usable,
)
from rdml_theory.symbolic.kernel.propositions import (
    PROPOSITIONS,
    AtMost,
    Centred,
    Equal,
    Finite,
    ForAll,
    Less,
    Proposition,
    Tends,
    walk,
)  # fmt: skip
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
    is_random,
    kind,
    symbol_kind,
)  # fmt: skip
from rdml_theory.symbolic.printing import to_text

__all__ = [
    "RULES", "ProofError", "Theorem", "absolute", "assume", "axiom", "cases", "certified", "combine", "differentiate",
    "discharge", "expectation", "generalise", "identity", "induct", "inner", "instantiate", "last_term", "limit",
    "magnitude", "nonnegative", "one_term", "orthogonal", "rewrite", "rising", "root", "specialise", "squeeze",
    "sum_over",
]  # fmt: skip


class ProofError(ValueError):
    """A rule was asked for what it does not give; it says which rule, and why.

    >>> identity(Equal(Symbol("a", real=True), Symbol("b", real=True)))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: identity: a = b: the normal form of the difference is not zero
    """


class Theorem:
    """Hypotheses and what follows from them. Only the rules of this module make one.

    Attributes
    ----------
    hypotheses : frozenset of Proposition
        What is assumed.
    conclusion : Proposition
        What follows.
    rule : str
        The rule that made it.
    arguments : mapping
        What the rule was given.
    reason : str
        Why, for a reader.
    sure : bool
        Whether no expectation entered its proof: then it holds outcome by outcome, also for random values.

    Examples
    --------
    >>> theorem = assume(Less(Symbol("h", positive=True), Symbol("eta", positive=True)))
    >>> print(theorem)
    h < η ⊢ h < η
    >>> theorem.replay()
    True
    >>> Theorem()
    Traceback (most recent call last):
    ...
    TypeError: a theorem is made by the kernel's rules alone: Theorem() is none of them
    """

    __slots__ = ("arguments", "conclusion", "hypotheses", "reason", "rule", "sure")

    hypotheses: frozenset[Proposition]
    conclusion: Proposition
    rule: str
    arguments: Mapping[str, Any]
    reason: str
    sure: bool

    def __new__(cls, *args: object, **named: object) -> Theorem:
        """Refuse: rules make theorems."""
        raise TypeError("a theorem is made by the kernel's rules alone: Theorem() is none of them")

    def __init_subclass__(cls) -> None:
        raise TypeError("a theorem has no subclasses")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a theorem does not change")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a theorem does not change")

    def __reduce__(self) -> Any:
        raise TypeError("a theorem is not read from bytes: its proof is run again")

    def __copy__(self) -> Theorem:
        return self

    def __deepcopy__(self, memo: object) -> Theorem:
        return self

    def __str__(self) -> str:
        hypotheses = "; ".join(sorted(h.text() for h in self.hypotheses))
        return f"{hypotheses} ⊢ {self.conclusion.text()}" if hypotheses else f"⊢ {self.conclusion.text()}"

    __repr__ = __str__

    def parents(self) -> tuple[Theorem, ...]:
        """The theorems its rule was given."""
        return tuple(_theorems(self.arguments))

    def proof(self) -> tuple[Theorem, ...]:
        """All theorems it rests on, each once and before its use, and itself at the end."""
        out: dict[int, Theorem] = {}

        def visit(theorem: Theorem) -> None:
            if id(theorem) not in out:
                for parent in theorem.parents():
                    visit(parent)
                out[id(theorem)] = theorem

        visit(self)
        return tuple(out.values())

    def axioms(self) -> tuple[str, ...]:
        """The names of the axioms it rests on."""
        return tuple(sorted({t.arguments["name"] for t in self.proof() if t.rule == "axiom"}))

    def replay(self) -> bool:
        """Run every rule of the proof again, and say whether the same theorem comes out."""
        return replayed((self,))


def replayed(theorems: Iterable[Theorem]) -> bool:
    """Run every rule of the proofs of several theorems again, each once, and say whether the same theorems come out."""
    again: dict[int, Theorem] = {}

    def same(theorem: Theorem) -> bool:
        arguments = {name: _frozen(value) for name, value in dict(theorem.arguments).items()}
        if theorem.rule not in RULES or not all(id(p) in again or same(p) for p in _theorems(arguments)):
            return False
        try:
            made = RULES[theorem.rule](**_swap(arguments, again), reason=theorem.reason)
            # Of other classes these could be equal to everything.
            if type(theorem.hypotheses) is not frozenset or type(theorem.sure) is not bool:
                return False
            for part in (*theorem.hypotheses, theorem.conclusion):
                _well_formed(part)
        except (TypeError, ValueError):
            return False
        again[id(theorem)] = made
        told = theorem.hypotheses, theorem.conclusion, theorem.sure
        return (made.hypotheses, made.conclusion, made.sure) == told

    return all(id(theorem) in again or same(theorem) for theorem in theorems)


def _theorems(value: Any) -> list[Theorem]:
    """The theorems in an argument of a rule."""
    if isinstance(value, Theorem):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else ()
    return [t for part in parts for t in _theorems(part)]


def _swap(value: Any, again: Mapping[int, Theorem]) -> Any:
    """An argument, or all, with the theorems replaced by those of a replay."""
    if isinstance(value, Theorem):
        return again[id(value)]
    if isinstance(value, Mapping):
        return {name: _swap(part, again) for name, part in value.items()}
    return tuple(_swap(part, again) for part in value) if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    """An argument that nobody can change afterwards, and in which no theorem hides from :meth:`Theorem.parents`."""
    if isinstance(value, Mapping):
        return tuple((key, _frozen(part)) for key, part in value.items())
    if type(value) is not str and (isinstance(value, Iterable) or hasattr(type(value), "__getitem__")):
        return tuple(_frozen(part) for part in value)
    return Integer(value) if type(value) is int else value


def _signs(hypotheses: Collection[Proposition], known: Sequence[Theorem] = ()) -> list[tuple[Term, Sign]]:
    """The scalars whose sign the hypotheses and known theorems tell."""
    out: list[tuple[Term, Sign]] = []
    for fact in (*hypotheses, *(theorem.conclusion for theorem in known)):
        if isinstance(fact, Less):
            out.append((fact.right - fact.left, "positive"))
        elif isinstance(fact, AtMost):
            out.append((fact.right - fact.left, "nonnegative"))
    return out


def _well_formed(proposition: Proposition) -> None:
    """Refuse a proposition that is ill formed."""
    if type(proposition) not in PROPOSITIONS:
        raise TermError(f"{proposition!r} is no proposition of the kernel")
    proposition.check()


def _check(proposition: Proposition, hypotheses: Collection[Proposition]) -> None:
    """Refuse a proposition that is ill formed, or divides by what may be zero under the hypotheses."""
    _well_formed(proposition)
    known = usable(_signs(hypotheses), proposition.bound())
    if isinstance(proposition, Tends):
        require_near(proposition.term, proposition.variable, proposition.point, known, proposition, hole=True)
        require_value(proposition.limit, known, proposition)
        return
    for term in proposition.terms():
        require_value(term, known, proposition)


def _check_names(propositions: Collection[Proposition]) -> None:
    """Refuse one name for two things."""
    things: dict[str | tuple[str], set[Any]] = {}  # a tuple for the name of a family of entries
    for part in propositions:
        for e in walk(part):
            if isinstance(e, Symbol | Vector):
                things.setdefault(to_text(e), set()).add(e)
            elif isinstance(e, At):
                things.setdefault(e.process, set()).add("process")
            elif isinstance(e, Random):
                things.setdefault(e.name, set()).add("random vector" if len(e.args) == 1 else "random function")
            elif isinstance(e, Entry):
                things.setdefault((e.name,), set()).add(e.traits)
                things.setdefault(to_text(e), set()).add(e)
            elif isinstance(e, Value | Gradient):
                things.setdefault(e.objective, set()).add(("objective", len(e.args)))
    for key, meanings in things.items():
        name = key if isinstance(key, str) else key[0]
        if len(meanings) > 1:
            raise TermError(f"the name {name} stands for two things")
        scalar = all(isinstance(e, Symbol) for e in meanings)
        letters = (name.replace("_", "", 1) if scalar else name).isalpha()
        if not letters and not any(isinstance(e, Entry) for e in meanings):
            raise TermError(f"the name {name} could be read as another term: expected letters")


Result = tuple[Collection[Proposition], Proposition, bool]
_RULES: dict[str, Callable[..., Theorem]] = {}
RULES: Mapping[str, Callable[..., Theorem]] = MappingProxyType(_RULES)
"""The rules by name."""


def _rule(function: Callable[..., Result]) -> Callable[..., Theorem]:
    """Make a rule of a function that returns hypotheses, conclusion and whether the theorem is sure."""
    name, form = function.__name__, signature(function)

    @wraps(function)
    def rule(*args: Any, reason: str = "", **named: Any) -> Theorem:
        given = form.bind(*args, **named)
        given.apply_defaults()
        arguments = {key: _frozen(value) for key, value in given.arguments.items()}
        for key, part in arguments.items():
            if form.parameters[key].annotation == "Theorem" and type(part) is not Theorem:
                raise TypeError(f"{name}: {key} is {part!r}: expected a theorem of the kernel")
        try:
            hypotheses, conclusion, sure = function(**arguments)
            known = frozenset(hypotheses)
            for part in known:
                _check(part, known)
            _check(conclusion, known)
            _check_names((*known, conclusion))
        except (TermError, ValueError) as error:
            message = str(error)
            raise ProofError(message if message.startswith(f"{name}: ") else f"{name}: {message}") from None
        made = object.__new__(Theorem)
        values = dict(
            hypotheses=known, conclusion=conclusion, rule=name, arguments=MappingProxyType(arguments), reason=reason,
            sure=sure and not any(isinstance(e, Mean) for p in (*known, conclusion) for e in walk(p)),
        )  # fmt: skip
        for key, value in values.items():
            object.__setattr__(made, key, value)
        return made

    _RULES[name] = rule
    return rule


def _union(*theorems: Theorem) -> frozenset[Proposition]:
    if any(type(theorem) is not Theorem for theorem in theorems):
        raise ProofError("what is known is no theorem of the kernel")
    return frozenset().union(*(theorem.hypotheses for theorem in theorems))


def _finite(target: Proposition) -> frozenset[Proposition]:
    """What multiplying expectations out rests on."""
    return frozenset({Finite()} if any(isinstance(e, Mean) for e in walk(target)) else ())


def _sure(*theorems: Theorem) -> bool:
    return all(theorem.sure for theorem in theorems)


@_rule
def assume(proposition: Proposition, known: tuple[Theorem, ...] = ()) -> Result:
    """``φ ⊢ φ``; what is known joins the hypotheses, for a φ that has a value only under it."""
    return _union(*known) | {proposition}, proposition, _sure(*known)


@_rule
def axiom(name: str, parameters: tuple[Any, ...] = ()) -> Result:
    """A theorem of the literature, from the short list of :mod:`~rdml_theory.symbolic.kernel.axioms`."""
    if name not in axioms.AXIOMS:
        raise ProofError(f"no axiom is called {name!r}: expected one of {', '.join(axioms.AXIOMS)}")
    hypotheses, conclusion = axioms.AXIOMS[name].schema(*parameters)
    return hypotheses, conclusion, True


@_rule
def identity(target: Equal) -> Result:
    """``⊢ a = b``, by the normal form of the difference."""
    if not isinstance(target, Equal):
        raise ProofError(f"{target.text()} is no equality")
    target.check()
    difference = target.left - target.right
    if not is_zero(difference, vector=kind(difference) == "vector"):
        raise ProofError(f"{target.text()}: the normal form of the difference is not zero")
    return _finite(target), target, True


@_rule
def nonnegative(term: Term, known: tuple[Theorem, ...] = ()) -> Result:
    """``⊢ 0 ≤ e``, by the manifest sign of e."""
    kind(term)
    if sign(term, _signs(_union(*known), known)) is None:
        raise ProofError(f"{term} has no manifest sign")
    return _union(*known), AtMost(term * 0, term), _sure(*known)


@_rule
def absolute(term: Term) -> Result:
    """``⊢ e ≤ |e|``."""
    if kind(term) == "vector":
        raise ProofError(f"{term} is no scalar")
    return (), AtMost(term, Abs(term)), True


@_rule
def magnitude(term: Term, known: tuple[Theorem, ...] = ()) -> Result:
    """``⊢ |e| = e``, for an e that is manifestly nonnegative under what is known."""
    if sign(term, _signs(_union(*known), known)) is None:
        raise ProofError(f"{term} has no manifest sign")
    return _union(*known), Equal(Abs(term), term), _sure(*known)


@_rule
def inner(theorem: Theorem, vector: Term) -> Result:
    """From an equality of vectors ``u = v``, ``⟨u, w⟩ = ⟨v, w⟩``."""
    whole = theorem.conclusion
    if not isinstance(whole, Equal):
        raise ProofError(f"{whole.text()} is no equality")
    return theorem.hypotheses, Equal(Inner(whole.left, vector), Inner(whole.right, vector)), theorem.sure


@_rule
def combine(
    target: Proposition,
    parts: tuple[tuple[Term, Theorem], ...],
    slack: Term = 0,
    known: tuple[Theorem, ...] = (),
    where: tuple[Theorem, ...] = (),
) -> Result:
    """A linear combination of relations.

    The difference of the target's sides is the sum of those of the parts, each times its weight, plus a slack.
    Weights of inequalities, and the slack of one, have a manifest sign, under the hypotheses and what is known. Both
    may differ by equations, which are used from left to right, one after the other.
    """
    if not isinstance(target, Equal | AtMost | Less):
        raise ProofError(f"{target.text()} is no relation")
    theorems = (*(theorem for _, theorem in parts), *known, *where)
    hypotheses = _union(*theorems)
    signs = _signs(hypotheses, known)
    target.check()
    if kind(slack) == "vector":
        raise ProofError(f"the slack {slack} is no scalar")
    require_value(slack, signs, f"the slack {slack}")
    strict = sign(slack, signs) == "positive"
    if not strict and slack != 0 and (isinstance(target, Equal) or sign(slack, signs) is None):
        raise ProofError(f"the slack {slack} has no manifest sign")
    if isinstance(target, Equal) and slack != 0:
        raise ProofError("an equality has no slack")
    total = slack
    for weight, theorem in parts:
        part = theorem.conclusion
        if not isinstance(part, Equal | AtMost | Less):
            raise ProofError(f"{part.text()} is no relation")
        if kind(weight) == "vector" and not isinstance(part, Equal):
            raise ProofError(f"the weight {weight} of {part.text()} is no scalar")
        require_value(weight, signs, f"the weight {weight}")
        if not isinstance(part, Equal):
            if isinstance(target, Equal):
                raise ProofError(f"an equality does not follow from {part.text()}")
            found = sign(weight, signs)
            if found is None:
                raise ProofError(f"the weight {weight} of {part.text()} has no manifest sign")
            strict |= isinstance(part, Less) and found == "positive"
        total += weight * (part.right - part.left)
    if isinstance(target, Less) and not strict:
        raise ProofError(f"{target.text()} is strict, and nothing it follows from is")
    left = target.right - target.left - total
    vector = kind(left) == "vector"
    if where and vector:
        raise ProofError(f"{target.text()} relates vectors, in which no equation of numbers is used")
    for equation in where:
        left = _by(left, equation.conclusion)
    if not is_zero(left, vector=vector):
        raise ProofError(f"{target.text()} is not this combination: the normal form of what is left is not zero")
    return hypotheses | _finite(target), target, _sure(*theorems)


def _by(term: Term, told: Proposition) -> Term:
    """A term with the left side of an equation replaced by its right side, also where the index of a sum is bound.

    The left side is a symbol, an entry, a sum, or the entry i of a family, said for every i.
    """
    index, whole = (told.variable, told.body) if isinstance(told, ForAll) and told.below is None else (None, told)
    if not isinstance(whole, Equal):
        raise ProofError(f"{told.text()} is no equation")
    left, right = whole.terms()
    if isinstance(left, Entry) and index is not None and left.index == index and not left.of:
        return _replaced(normal(term), {}, {_family(left): (index, right)})
    if index is None and isinstance(left, Symbol | Entry):
        return _replaced(normal(term), {left: right}, {})
    if index is None and isinstance(left, Sum) and isinstance(canonical(left), Sum):
        return _replaced(canonical(term), {canonical(left): right}, {})
    raise ProofError(f"{told.text()} defines no symbol, no sum, and no family of entries")


def _admit(variable: Term, value: Term, signs: Collection[tuple[Term, Sign]]) -> None:
    """Refuse a value that is not all a variable is declared to be."""
    what = kind(value)  # before anything is computed from it
    require_value(value, signs, f"the value {value}")
    if type(variable) is Vector:
        if what == "scalar":
            raise ProofError(f"{variable} is a vector, {value} is none")
        return
    wanted = symbol_kind(variable)
    if what == "vector":
        raise ProofError(f"{variable} is a scalar, {value} is none")
    if wanted in ("natural", "counting") and value.is_integer is not True:
        raise ProofError(f"{variable} is an integer, {value} is not known to be one")
    found = sign(value, signs)
    if (wanted in ("positive", "counting") and found != "positive") or (wanted != "real" and found is None):
        raise ProofError(f"{variable} is {wanted}, {value} is not known to be")


def _family(term: At | Entry) -> tuple[Any, ...]:
    """What tells one process, or one family of entries, from another."""
    return (At, term.process) if isinstance(term, At) else (Entry, term.name, term.traits)


def _indices(term: At | Entry) -> tuple[Term, ...]:
    return (term.step,) if isinstance(term, At) else (term.index, *term.of)


Families = Mapping[tuple[Any, ...], tuple[Term, Term]]


def _substituted(proposition: Proposition, changes: Mapping[Term, Term], families: Families) -> Proposition:
    """A proposition with variables and families replaced, all at once; refused where a value would be captured."""
    free, bound = proposition.free(), proposition.bound()
    named = {_family(e) for e in walk(proposition) if isinstance(e, At | Entry)}
    changes = {variable: value for variable, value in changes.items() if variable in free}
    families = {name: told for name, told in families.items() if name in named}
    incoming = [value.free_symbols for value in changes.values()]
    incoming += [value.free_symbols - {index} for index, value in families.values()]
    caught = (set(changes) | set().union(*incoming)) & bound
    if caught:
        raise ProofError(f"{', '.join(map(str, caught))} is bound in {proposition.text()}")
    return proposition.map(lambda term: _replaced(term, changes, families))


def _replaced(
    term: Term, changes: Mapping[Term, Term], families: Families, bound: frozenset[Term] = frozenset()
) -> Term:
    """A term with variables and families replaced, all at once; refused where a value would be captured."""
    caught: Any = ()
    out = term
    if term in changes:
        out = changes[term]
        caught = (term.free_symbols | out.free_symbols) & bound
    elif isinstance(term, At | Entry):
        step, *of = (_replaced(part, changes, families, bound) for part in _indices(term))
        index, value = families.get(_family(term), (None, None))
        if value is None:
            out = At(term.process, step) if isinstance(term, At) else term.at(step, *of)
        else:
            if symbol_kind(index) == "counting" and step.is_positive is not True:
                raise ProofError(f"{term} may come before the first that is spoken of, {index} = 1")
            out = value.xreplace({index: step})
            caught = (bound & (value.free_symbols - {index})) | (bound_symbols(value) & step.free_symbols)
    elif isinstance(term, Sum):
        limits, within = [], bound
        for index, *ends in reversed(term.limits):  # a normal form may have a sum of sums as one
            limits.insert(0, (index, *(_replaced(end, changes, families, within) for end in ends)))
            within |= {index}
        out = Sum(_replaced(term.function, changes, families, within), *limits)
    elif isinstance(term, Derivative):
        body = _replaced(term.expr, changes, families, bound | set(term.variables))
        out = Derivative(body, *term.variable_count)
    elif term.args:
        out = term.func(*(_replaced(part, changes, families, bound) for part in term.args))
    if caught:
        raise ProofError(f"{', '.join(map(str, caught))} is bound where {term} stands")
    return out


@_rule
def instantiate(theorem: Theorem, values: tuple[tuple[Term, Term], ...], known: tuple[Theorem, ...] = ()) -> Result:
    """Values for free variables, in hypotheses and conclusion.

    A symbol takes a scalar of its kind, a vector a vector. A process ``At(u, t)`` takes a vector in t, for every step,
    and a family ``Entry(q, i)`` a scalar in i, for every i. What is not random takes a random value only where the
    theorem is sure.
    """
    signs = _signs(_union(*known), known)
    changes: dict[Term, Term] = {}
    families: dict[tuple[Any, ...], tuple[Term, Term]] = {}
    for variable, value in values:
        if type(variable) is At:
            index = variable.step
            if not isinstance(index, Symbol) or symbol_kind(index) != "natural" or kind(value) == "scalar":
                raise ProofError(f"{variable}: expected a process at a step t, and a vector in t")
            if value.atoms(Sum):
                raise ProofError(f"{value} has a bound variable, which a step could meet")
            everywhere = [fact for fact in signs if index not in fact[0].free_symbols]
            require_value(value, everywhere, f"the value {value}")
            families[_family(variable)] = (index, value)
        elif type(variable) is Entry:
            index = variable.index
            if not isinstance(index, Symbol) or symbol_kind(index) not in ("natural", "counting") or variable.of:
                raise ProofError(f"{variable}: expected an entry of each index i, and a scalar in i")
            _refuse_chance(theorem, value, variable)
            everywhere = [fact for fact in signs if index not in fact[0].free_symbols]
            _admit(Symbol(variable.name, **_TRAIT[variable.traits[0]]), value, everywhere)
            families[_family(variable)] = (index, value)
        elif isinstance(variable, Symbol | Vector):
            _refuse_chance(theorem, value, variable)
            _admit(variable, value, signs)
            changes[variable] = value
        else:
            raise ProofError(f"{variable} is no variable")
    hypotheses = {_substituted(part, changes, families) for part in theorem.hypotheses} | _union(*known)
    return hypotheses, _substituted(theorem.conclusion, changes, families), _sure(theorem, *known)


_TRAIT: dict[bool, dict[str, bool]] = {True: {"positive": True}, False: {"real": True}}


def _refuse_chance(theorem: Theorem, value: Term, variable: Term) -> None:
    """Refuse a random value where an expectation took what stands there for constant."""
    if is_random(value) and not is_random(variable) and not theorem.sure:
        raise ProofError(f"{value} depends on chance, and an expectation entered the proof of {theorem}")


@_rule
def specialise(theorem: Theorem, value: Term, known: tuple[Theorem, ...] = ()) -> Result:
    """From "φ for every v", φ at a value of v's kind; a random one only where the theorem is sure."""
    whole = theorem.conclusion
    if not isinstance(whole, ForAll):
        raise ProofError(f"{whole.text()} is not said for every value of anything")
    _refuse_chance(theorem, value, whole.variable)
    signs = _signs(_union(*known), known)
    _admit(whole.variable, value, signs)
    if whole.below is not None and sign(whole.below - value, signs) != "positive":
        raise ProofError(f"{value} is not known to be below {whole.below}")
    body = _substituted(whole.body, {whole.variable: value}, {})
    return _union(theorem, *known), body, _sure(theorem, *known)


@_rule
def generalise(theorem: Theorem, variable: Term) -> Result:
    """``φ for every v``, where no hypothesis speaks of v."""
    _refuse_free(theorem.hypotheses, variable)
    return theorem.hypotheses, ForAll(variable, theorem.conclusion), theorem.sure


def _refuse_free(hypotheses: Collection[Proposition], variable: Term) -> None:
    for part in hypotheses:
        if variable in part.free():
            raise ProofError(f"the hypothesis {part.text()} speaks of {variable}")


@_rule
def rewrite(theorem: Theorem, equation: Theorem) -> Result:
    """The conclusion with the left side of an equation replaced by its right side."""
    told = equation.conclusion
    if not isinstance(told, Equal):
        raise ProofError(f"{told.text()} is no equation")
    if told.left.free_symbols & theorem.conclusion.bound() or told.right.free_symbols & theorem.conclusion.bound():
        raise ProofError(f"{told.text()} speaks of a bound variable of {theorem.conclusion.text()}")
    old = expand(told.left)
    out = theorem.conclusion.map(lambda term: term.xreplace({old: told.right}))
    if out == theorem.conclusion:
        raise ProofError(f"{told.left} does not occur in {theorem.conclusion.text()}")
    return _union(theorem, equation), out, _sure(theorem, equation)


@_rule
def expectation(theorem: Theorem) -> Result:
    """From a relation that holds surely, the same for the expectations of its sides."""
    whole = theorem.conclusion
    if not isinstance(whole, Equal | AtMost) or kind(whole.left) == "vector":
        raise ProofError(f"{whole.text()} is no relation (= or ≤) of scalars")
    return theorem.hypotheses | {Finite()}, whole.map(Mean), False


@_rule
def orthogonal(theorem: Theorem, vector: Term) -> Result:
    """From ``E[n | x, b] = 0``, ``E⟨n, v⟩ = 0`` for a vector v that is a function of x and b alone."""
    told = theorem.conclusion
    if not isinstance(told, Centred):
        raise ProofError(f"{told.text()} does not say that a noise has mean zero given something")
    if kind(vector) == "scalar":
        raise ProofError(f"{vector} is no vector")
    if vector.atoms(Sum):
        raise ProofError(f"{vector} has a bound variable, which a step could meet")
    strange = {part for part in vector.atoms(At, Random, Entry) if is_random(part)} - set(told.given)
    if strange:
        raise ProofError(f"{vector} depends on {', '.join(map(str, strange))}, which is not given in {told.text()}")
    product = Mean(Inner(told.noise, vector))
    return theorem.hypotheses | {Finite()}, Equal(product, product * 0), False


@_rule
def sum_over(theorem: Theorem, index: Symbol, count: Term) -> Result:
    """From a relation for every step or class, or those below n, the same for the sums over ``0..n-1`` or ``1..n``."""
    below = Less(index, count) if _first(index) == 0 else AtMost(index, count)
    rest = theorem.hypotheses - {below}
    _refuse_free(rest, index)
    whole = theorem.conclusion
    if not isinstance(whole, Equal | AtMost) or kind(whole.left) == "vector":
        raise ProofError(f"{whole.text()} is no relation (= or ≤) of scalars")
    if index in whole.bound():
        raise ProofError(f"{index} is bound in {whole.text()}")
    ends = (_first(index), count - 1 + _first(index))
    return rest, whole.map(lambda term: Sum(term, (index, *ends))), theorem.sure


@_rule
def last_term(total: Term) -> Result:
    """``⊢ Σ_{t<n+1} a_t = Σ_{t<n} a_t + a_n``."""
    if not isinstance(total, Sum):
        raise ProofError(f"{total} is no sum")
    kind(total)
    (index, low, last), summand = total.limits[0], total.function
    if (last - low).is_nonnegative is not True:
        raise ProofError(f"{total} may have no terms")
    if summand.atoms(Sum):
        raise ProofError(f"the summand of {total} has a sum, which could bind the last step")
    rest = Sum(summand, (index, low, last - 1))
    target = Equal(total, rest + _replaced(summand, {index: last}, {}))
    return _finite(target), target, True


@_rule
def root(theorem: Theorem, base: Term) -> Result:
    """From ``a² ≤ b``, ``|a| ≤ √b``."""
    whole = theorem.conclusion
    if kind(base) == "vector":
        raise ProofError(f"{base} is no scalar")
    if not isinstance(whole, AtMost | Less) or kind(whole.left) == "vector" or not is_zero(whole.left - base**2):
        raise ProofError(f"{whole.text()} does not bound the square of {base}")
    require_value(base, _signs(theorem.hypotheses), f"the root {base}")
    return theorem.hypotheses, AtMost(Abs(base), sqrt(whole.right)), theorem.sure


@_rule
def induct(base: Theorem, step: Theorem, index: Symbol) -> Result:
    """From φ at 0, or at 1 for a class, and φ at t + 1 under φ at t: ``φ for every t``."""
    later = {h: _substituted(h, {index: index + 1}, {}) for h in step.hypotheses if index in h.free()}
    premise = [h for h, next_one in later.items() if next_one == step.conclusion]
    if len(premise) != 1:
        raise ProofError(f"no hypothesis of {step} is its conclusion one step earlier")
    if base.conclusion != _substituted(premise[0], {index: _first(index)}, {}):
        raise ProofError(f"{base.conclusion.text()} is not {premise[0].text()} at {index} = {_first(index)}")
    rest = step.hypotheses - {premise[0]}
    for part in (*rest, *base.hypotheses):
        if index in part.free():
            raise ProofError(f"the hypothesis {part.text()} speaks of {index}")
    return rest | base.hypotheses, ForAll(index, premise[0]), _sure(base, step)


@_rule
def cases(first: Theorem, second: Theorem, left: Term, right: Term) -> Result:
    """One conclusion under ``a ≤ b`` and under ``b ≤ a`` needs neither."""
    if first.conclusion != second.conclusion:
        raise ProofError(f"{first.conclusion.text()} is not {second.conclusion.text()}")
    one, other = AtMost(left, right), AtMost(right, left)
    if "vector" in (kind(left), kind(right)):
        raise ProofError(f"{one.text()} does not relate scalars")
    if is_random(left) or is_random(right):
        raise ProofError(f"{one.text()} may hold for some outcomes and not for others")
    rest = (first.hypotheses - {one}) | (second.hypotheses - {other})
    for side in (left, right):
        require_value(side, _signs(rest), f"the side {side}")
    return rest, first.conclusion, _sure(first, second)


@_rule
def discharge(theorem: Theorem, lemma: Theorem) -> Result:
    """Remove a hypothesis that another theorem proves."""
    if lemma.conclusion not in theorem.hypotheses:
        raise ProofError(f"{lemma.conclusion.text()} is no hypothesis of {theorem}")
    rest = theorem.hypotheses - {lemma.conclusion}
    return rest | lemma.hypotheses, theorem.conclusion, _sure(theorem, lemma)


@_rule
def one_term(theorem: Theorem, index: Symbol, count: Term, which: Term, known: tuple[Theorem, ...] = ()) -> Result:
    """From ``0 ≤ f_i`` for every i, ``f_k ≤ Σ f_i``, for a k among the indices."""
    _refuse_free(theorem.hypotheses, index)
    whole = theorem.conclusion
    if not isinstance(whole, AtMost) or whole.left != 0:
        raise ProofError(f"{whole.text()} does not say that something is nonnegative")
    total: Any = Sum(whole.right, (index, _first(index), count - 1 + _first(index)))
    signs = _signs(_union(*known), known)
    _admit(index, which, signs)
    if sign(total.limits[0][2] - which, signs) is None:
        raise ProofError(f"{which} is not known to be an index of {total}")
    target = _substituted(whole, {index: which}, {}).terms()[1]
    return _union(theorem, *known), AtMost(target, total), _sure(theorem, *known)


def _first(index: Symbol) -> Integer:
    """Where an index starts: steps at 0, classes at 1."""
    return Integer(1 if symbol_kind(index) == "counting" else 0)


def _is_open(part: Proposition, variable: Term) -> bool:
    """Whether a hypothesis that holds at a value of the variable holds near it."""
    return isinstance(part, Less) and is_open(_signs([part])[0], variable)


@_rule
def differentiate(theorem: Theorem, variable: Symbol) -> Result:
    """From ``a = b`` for every s, or where polynomials in s are positive, that their derivatives in s are equal."""
    _refuse_free([h for h in theorem.hypotheses if not _is_open(h, variable)], variable)
    whole = theorem.conclusion
    if not isinstance(whole, Equal) or kind(whole.left) == "vector":
        raise ProofError(f"{whole.text()} is no equality of scalars")
    for side in whole.terms():
        kind(Derivative(side, variable))
    return theorem.hypotheses, Equal(Derivative(whole.left, variable), whole.right.diff(variable)), theorem.sure


@_rule
def rising(theorem: Theorem, variable: Symbol, first: Term, last: Term) -> Result:
    """From ``0 ≤ ∂f/∂s`` for every s with ``a ≤ s ≤ b``, ``f(a) ≤ f(b)`` where ``a ≤ b``: the mean value theorem."""
    whole = theorem.conclusion
    slope: Any = whole.right if isinstance(whole, AtMost) and whole.left == 0 else None
    if not isinstance(slope, Derivative) or slope.variable_count != Tuple(Tuple(variable, 1)):
        raise ProofError(f"{whole.text()} does not say that a derivative in {variable} is not negative")
    _refuse_free(theorem.hypotheses - {AtMost(first, variable), AtMost(variable, last)}, variable)
    if variable in first.free_symbols | last.free_symbols:
        raise ProofError(f"an end of the interval depends on {variable}")
    signs = _signs(theorem.hypotheses)
    for end in (first, last):
        _refuse_chance(theorem, end, variable)
        _admit(variable, end, [fact for fact in signs if variable not in fact[0].free_symbols])
    rest = {h for h in theorem.hypotheses if variable not in h.free()} | {AtMost(first, last)}
    ends = (_replaced(slope.expr, {variable: end}, {}) for end in (first, last))
    return rest, AtMost(*ends), theorem.sure


@_rule
def limit(
    target: Tends, numerator: Term, power: Term, where: tuple[Theorem, ...] = (), known: tuple[Theorem, ...] = ()
) -> Result:
    """``f(x)/(x-a)ⁿ → f⁽ⁿ⁾(a)/n!`` as x → a, for an f that is analytic there and whose lower derivatives vanish at a.

    That they vanish, and what the limit is, may need equations, as in a combination.
    """
    if not isinstance(target, Tends) or target.point is oo:
        raise ProofError(f"{target.text()} is no limit at a point")
    if not (isinstance(power, Integer) and power >= 0):
        raise ProofError(f"the power {power} is none of 0, 1, 2, ...")
    target.check()
    variable, point = target.variable, target.point
    hypotheses = _union(*where, *known)
    _refuse_free(hypotheses, variable)
    if kind(numerator) == "vector":
        raise ProofError(f"{numerator} is no scalar")
    require_near(numerator, variable, point, _signs(hypotheses, known), "the numerator", hole=False)
    if not is_zero(target.term * (variable - point) ** power - numerator):
        raise ProofError(f"{target.term} is not the numerator over a power of {variable - point}")
    slope, factorial = numerator, Integer(1)
    for order in range(int(power) + 1):
        left = _replaced(slope, {variable: point}, {}) - (target.limit * factorial if order == power else 0)
        kind(left)
        for equation in where:
            left = _by(left, equation.conclusion)
        if not is_zero(left):
            raise ProofError(f"{target.text()}: the derivative of order {order} is another at the point")
        slope, factorial = slope.diff(variable), factorial * (order + 1)
    return hypotheses | _finite(target), target, _sure(*where, *known)


@_rule
def squeeze(theorem: Theorem, target: Tends, start: Term) -> Result:
    """From ``|f - L| ≤ c/(x - b)`` for all x from some point on, ``f → L`` as x → ∞."""
    if not isinstance(target, Tends) or target.point is not oo:
        raise ProofError(f"{target.text()} is no limit at ∞")
    target.check()
    whole, variable = theorem.conclusion, target.variable
    if not isinstance(whole, AtMost) or not is_zero(whole.left - Abs(target.term - target.limit)):
        raise ProofError(f"{whole.text()} does not bound the distance of {target.term} from {target.limit}")
    rest = {
        h
        for h in theorem.hypotheses
        if not (isinstance(h, AtMost | Less) and h.right == variable and variable not in h.left.free_symbols)
    }
    _refuse_free(rest, variable)
    require_value(start, _signs(rest), f"the start {start}")
    distance = variable - start
    if variable in start.free_symbols or variable in cancel(whole.right * distance).free_symbols:
        raise ProofError(f"{whole.right} is no constant over {distance}")
    return rest | _finite(target), target, theorem.sure


@_rule
def certified(certificate: Certificate) -> Result:
    """An inequality of a few numbers on a domain, which becomes the hypotheses, from a certificate, checked here."""
    if not _is_certificate(certificate) or certificate.check() is not True:
        raise ProofError(f"{certificate!r} is no certificate, or its check fails")
    domain = certificate.domain
    hypotheses = {_of_sympy(condition) for condition in domain.conditions}
    for symbol, interval in domain.intervals:
        name = symbol_kind(symbol)
        least = {"real": -oo, "counting": 1}.get(name, 0)
        implied = interval.start == least and (name in ("real", "positive") or not interval.left_open)
        if not implied:
            hypotheses.add((Less if interval.left_open else AtMost)(interval.start, symbol))
        if interval.end != oo:
            hypotheses.add((Less if interval.right_open else AtMost)(symbol, interval.end))
    return hypotheses, _of_sympy(certificate.relation), True


def _is_certificate(value: Any) -> bool:
    evidence = getattr(value, "evidence", None)
    return type(value) is Certificate and type(evidence) in (Chain, Pieces, SmtScript, Subdivision) and _is_plain(value)


def _is_plain(value: Any) -> bool:
    """Whether all of a value is of classes of Python, SymPy or the certificates, and of none that derive from them."""
    if isinstance(value, Rational):
        return kind(value) != "vector"
    if type(value) is tuple:
        return all(map(_is_plain, value))
    kept = type(value).__module__.startswith(("sympy.", "rdml_theory.symbolic.certificates."))
    if not kept or getattr(modules.get(type(value).__module__), type(value).__qualname__, None) is not type(value):
        return type(value) in (str, int, bool, float, Fraction, type(None))
    return all(map(_is_plain, value.args if isinstance(value, Basic) else vars(value).values()))


def _of_sympy(relation: Any) -> Proposition:
    """A relation of SymPy as a proposition."""
    for meant, ascending in ((AtMost, True), (Less, True), (AtMost, False), (Less, False), (Equal, True)):
        if type(relation) is _SYMPY[meant, ascending]:
            return meant(*(relation.args if ascending else reversed(relation.args)))
    raise ProofError(f"{relation} is no relation of numbers")


_SYMPY = {(AtMost, True): Le, (Less, True): Lt, (AtMost, False): Ge, (Less, False): Gt, (Equal, True): Eq}
