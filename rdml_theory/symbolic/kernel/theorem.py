"""The kernel: theorems, and the rules that alone make them.

A theorem reads: under the hypotheses, surely (for every outcome of chance), the conclusion. Its free symbols and
vectors stand for every value of their kind. It keeps the rule it came from and that rule's arguments, so that the whole
proof can be printed, and replayed: :meth:`Theorem.replay` runs every rule again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache, wraps
from inspect import signature
from types import MappingProxyType
from typing import Any

from sympy import Basic, Integer, Symbol

from rdml_theory.symbolic.kernel.forms import Sign, require_near, require_value, usable
from rdml_theory.symbolic.kernel.propositions import PROPOSITIONS, AtMost, Finite, Less, Proposition, Tends, walk
from rdml_theory.symbolic.kernel.terms import At, Entry, Gradient, Mean, Random, Term, TermError, Value, Vector, kind
from rdml_theory.symbolic.printing import to_text

__all__ = [
    "RULES", "ProofError", "Result", "Theorem", "all_hypotheses", "all_sure", "replayed", "rule", "told_signs",
]  # fmt: skip


class ProofError(ValueError):
    """A rule was asked for what it does not give; it says which rule, and why.

    >>> from rdml_theory.symbolic.kernel import magnitude
    >>> magnitude(Symbol("a", real=True))
    Traceback (most recent call last):
    ...
    rdml_theory.symbolic.kernel.theorem.ProofError: magnitude: a has no manifest sign
    """


class Theorem:
    """Hypotheses and what follows from them. Only the rules of the kernel make one.

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
    >>> from rdml_theory.symbolic.kernel import assume
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
            checked = {id(part) for part in (*made.hypotheses, made.conclusion)}
            for part in (*theorem.hypotheses, theorem.conclusion):
                if id(part) not in checked:
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


def told_signs(hypotheses: Collection[Proposition], known: Sequence[Theorem] = ()) -> list[tuple[Term, Sign]]:
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
        raise TermError(f"{proposition!r} is not a proposition of the kernel")
    proposition.check()


@lru_cache(maxsize=20_000)
def _check_values(proposition: Proposition, hypotheses: frozenset[Proposition]) -> None:
    """Refuse a proposition that divides by what may be zero under the hypotheses; all of them are well formed."""
    known = usable(told_signs(hypotheses), proposition.bound())
    if isinstance(proposition, Tends):
        require_near(proposition.term, proposition.variable, proposition.point, known, proposition, hole=True)
        require_value(proposition.limit, known, proposition)
        return
    for term in proposition.terms():
        require_value(term, known, proposition)


@lru_cache(maxsize=20_000)
def _of_chance(proposition: Proposition) -> bool:
    """Whether a well-formed proposition speaks of an expectation."""
    return any(isinstance(e, Mean) for e in walk(proposition))


@lru_cache(maxsize=20_000)
def _names(proposition: Proposition) -> frozenset[tuple[str | tuple[str], Any]]:
    """Each name in a well-formed proposition with what it stands for; in a tuple, that of a family of entries."""
    found: list[tuple[str | tuple[str], Any]] = []
    for e in set(walk(proposition)):
        if isinstance(e, Symbol | Vector | At | Entry):
            found.append((to_text(e), e))
        if isinstance(e, At):
            found.append((e.name, "process"))
        elif isinstance(e, Entry):
            found.append(((e.name,), e.traits))
        elif isinstance(e, Random):
            found.append((e.name, "random vector" if len(e.args) == 1 else "random function"))
        elif isinstance(e, Value | Gradient):
            found.append((e.name, ("objective", len(e.args))))
    return frozenset(found)


def _check_names(propositions: Collection[Proposition]) -> None:
    """Refuse one name for two things."""
    things: dict[str | tuple[str], set[Any]] = {}
    for key, meaning in frozenset().union(*map(_names, propositions)):
        things.setdefault(key, set()).add(meaning)
    for key, meanings in things.items():
        name = key if isinstance(key, str) else key[0]
        if len(meanings) > 1:
            raise TermError(f"the name {name} stands for two things")
        scalar = all(isinstance(e, Symbol) for e in meanings)
        letters = (name.replace("_", "", 1) if scalar else name).isalpha()
        if not letters and not any(isinstance(e, At | Entry) for e in meanings):
            raise TermError(f"the name {name} could be read as another term: expected letters")


Result = tuple[Collection[Proposition], Proposition, bool]
"""What a rule returns: hypotheses, the conclusion, and whether the theorem is sure."""

_RULES: dict[str, Callable[..., Theorem]] = {}
RULES: Mapping[str, Callable[..., Theorem]] = MappingProxyType(_RULES)
"""The rules by name."""


def _check_terms(value: Any) -> None:
    """Refuse an argument that is not a term, proposition, theorem or name, such as infinity or an evil number."""
    if type(value) is tuple:
        for part in value:
            _check_terms(part)
    elif isinstance(value, Basic):
        kind(value)
    elif isinstance(value, Proposition):
        _well_formed(value)
    elif type(value) not in (Theorem, str):
        raise TermError(f"{value!r} ({type(value).__name__}) is nothing that a rule is given")


def rule(function: Callable[..., Result]) -> Callable[..., Theorem]:
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
            _check_terms(tuple(part for key, part in arguments.items() if key != "certificate"))
            hypotheses, conclusion, sure = function(**arguments)
            known = frozenset(hypotheses)
            for part in (*known, conclusion):
                _well_formed(part)
            chance = any(map(_of_chance, (*known, conclusion)))
            if chance:  # no rule may take an infinite one for a number
                known |= {Finite()}
            for part in (*known, conclusion):
                _check_values(part, known)
            _check_names((*known, conclusion))
        except (TermError, ValueError) as error:
            message = str(error)
            raise ProofError(message if message.startswith(f"{name}: ") else f"{name}: {message}") from None
        made = object.__new__(Theorem)
        values = dict(
            hypotheses=known, conclusion=conclusion, rule=name, arguments=MappingProxyType(arguments), reason=reason,
            sure=sure and not chance,
        )  # fmt: skip
        for key, value in values.items():
            object.__setattr__(made, key, value)
        return made

    _RULES[name] = rule
    return rule


def all_hypotheses(*theorems: Theorem) -> frozenset[Proposition]:
    """The hypotheses of several theorems."""
    if any(type(theorem) is not Theorem for theorem in theorems):
        raise ProofError("what is known is not a theorem of the kernel")
    return frozenset().union(*(theorem.hypotheses for theorem in theorems))


def all_sure(*theorems: Theorem) -> bool:
    """Whether no expectation entered the proof of any of them."""
    return all(theorem.sure for theorem in theorems)
