"""A derivation: a statement, the steps that lead to it, and the means to check every one of them and their joins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from sympy import Add, Basic, Eq, Gt, Indexed, Integer, Le, Lt, Pow, Sum, Symbol, Tuple, nan, oo, zoo
from sympy.core.relational import Relational

from rdml_theory.symbolic.engine.decide import INDICES, decide, is_manifestly_nonnegative, is_manifestly_positive, taken
from rdml_theory.symbolic.engine.substitution import replace_names, substitute
from rdml_theory.symbolic.notation import STANDARD, Formula
from rdml_theory.symbolic.printing import to_latex, to_text
from rdml_theory.symbolic.relations import at_least, equal

__all__ = ["Derivation", "Premise", "Step"]


def _sides(relation: Relational) -> tuple[Formula, Formula]:
    """The greater and the smaller side; the left and the right one of an equality."""
    left, right = cast("tuple[Formula, Formula]", relation.args)
    return (right, left) if isinstance(relation, Le | Lt) else (left, right)


def _is_such(name: Formula, value: Formula) -> bool:
    """Whether a value is all that a symbol is declared to be.

    An entry of a family is no variable: sums over the family hold it too. A class index lies in 1..C, which only
    another index is known to do.
    """
    if not isinstance(name, Symbol):
        return False
    if name in INDICES:
        return value in INDICES
    shown: dict[str, bool] = {}
    for sign, manifest in (("positive", is_manifestly_positive), ("nonnegative", is_manifestly_nonnegative)):
        if getattr(name, f"is_{sign}"):
            if not manifest(value):
                return False
            shown |= Symbol(name.name, **{sign: True}).assumptions0
    rest = (fact for fact in name.assumptions0.items() if fact[0] not in shown)
    return all(getattr(value, f"is_{fact}") is truth for fact, truth in rest)


def _poles(formula: Formula) -> set[Formula]:
    """What a formula divides by that may be zero."""
    return {
        power.base
        for power in formula.atoms(Pow)
        if not is_manifestly_nonnegative(power.exp)
        and not is_manifestly_positive(power.base)
        and power.base.is_zero is not False
    }


def _is_finite(factor: Formula, relation: Relational) -> bool:
    """Whether a factor has a value wherever the sides of a relation have: it divides by nothing else."""
    if factor.has(oo, -oo, zoo, nan):
        return False
    excluded = set().union(*(_poles(taken(side)) for side in relation.args)) if _poles(factor) else set()
    return all(any((pole - sign * e).expand() == 0 for e in excluded for sign in (1, -1)) for pole in _poles(factor))


@dataclass(frozen=True)
class Premise:
    """An earlier relation that a step rests on, with the factor it is multiplied by.

    Attributes
    ----------
    relation : Relational
        The relation of an earlier step, or a hypothesis of the derivation.
    factor : Expr
        What it is multiplied by: not negative for an inequality, anything for an equality.
    at : tuple of Relational
        ``symbol = value`` where the relation, which holds for all values of its symbols, is used. Not for hypotheses.
    over : tuple, optional
        ``(index, 1, classes)``: the relation is used for every class, and the products are summed.

    Examples
    --------
    >>> from sympy import Symbol
    >>> t, s = Symbol("t", nonnegative=True), Symbol("s", real=True)
    >>> square = Premise(at_least(t, 0), at=(equal(t, s**2),))
    >>> square.instance(), square.in_domain()
    (s**2 >= 0, True)
    """

    relation: Relational
    factor: Formula = field(default_factory=lambda: Integer(1))
    at: tuple[Relational, ...] = ()
    over: Any = None

    def weighted(self, where: tuple[Relational, ...]) -> Formula:
        """The difference of the relation's sides, times the factor, summed over the classes if asked for."""
        greater, smaller = _sides(replace_names(self.instance(), where))
        product = replace_names(self.factor, where) * (greater - smaller)
        return product if self.over is None else Sum(product, self.over)

    def in_domain(self, where: tuple[Relational, ...] = ()) -> bool:
        """Whether every value is all that its symbol is declared to be, so that the relation holds there."""
        return all(_is_such(a.args[0], replace_names(a.args[1], where)) for a in self.at)

    def instance(self) -> Relational:
        """The relation at the given values."""
        return substitute(self.relation, {a.args[0]: a.args[1] for a in self.at})


@dataclass(frozen=True)
class Step:
    """One step of a proof: a relation that is decided symbolically, and why it is the next step.

    A step without premises is decided by itself. One with premises is decided from them: its difference, times
    ``factor``, must be the sum of theirs, each times its own factor, up to what is manifestly not negative.

    Attributes
    ----------
    reason : str
        What the step does, in words.
    relation : Relational
        The relation as printed. It may use the names ``q[k]``, ``w[k]``, ``D_α(p‖q)``.
    where : tuple of Relational
        ``name = meaning`` for the names in the relation, replaced one after the other. The relation with its names
        replaced, :attr:`instance`, is what is decided; nobody writes it down a second time. The names ``w``, ``q`` and
        ``p`` have one meaning each (:data:`~rdml_theory.symbolic.notation.STANDARD`); other meanings are printed.
    premises : tuple of Premise
        What the step follows from, if it does not hold by itself.
    factor : Expr
        A positive factor of the step's own difference, if it has premises.

    Examples
    --------
    >>> from sympy import Symbol
    >>> from rdml_theory.symbolic.relations import at_least, equal
    >>> a, b = Symbol("a", real=True), Symbol("b", nonnegative=True)
    >>> first = Step("a is large", at_least(a - 1, 0))
    >>> Step("so is a + b", at_least(a + b, 1), premises=(Premise(first.relation),)).decide()
    True
    >>> print(Step("the first binomial formula", equal((a + b) ** 2, a**2 + 1), (equal(b, a + 1),)).words())
    the first binomial formula (with b = a + 1)
    """

    reason: str
    relation: Relational
    where: tuple[Relational, ...] = ()
    premises: tuple[Premise, ...] = ()
    factor: Formula = field(default_factory=lambda: Integer(1))

    def __post_init__(self) -> None:
        """Refuse what is not a definition, before it is taken for one."""
        if not isinstance(self.where, tuple) or not all(isinstance(w, Eq) for w in self.where):
            raise TypeError(
                f"where: got {self.where!r}, expected a tuple of equalities `name = meaning`; the instance that is "
                "decided follows from them"
            )

    @property
    def instance(self) -> Relational:
        """The relation with its names replaced by their meanings."""
        return replace_names(self.relation, self.where)

    def conditions(self) -> tuple[Relational, ...]:
        """The meanings that are particular to this step: a special value, a range written out, a new name."""
        return tuple(d for d in self.where if d not in STANDARD)

    def words(self) -> str:
        """The reason, followed by the conditions."""
        conditions = ", ".join(to_text(c) for c in self.conditions())
        return f"{self.reason} (with {conditions})" if conditions else self.reason

    def redefines(self) -> bool:
        """Whether it gives q, p or w another meaning than the theory's."""
        families = {d.args[0].base for d in STANDARD}
        return any(isinstance(d.args[0], Indexed) and d.args[0].base in families for d in self.conditions())

    def decided(self) -> Relational:
        """The relation that settles the step: its instance or, with premises, what they leave of its difference."""
        if not self.premises:
            return self.instance
        difference = self._remainder()
        return equal(difference, Integer(0)) if isinstance(self.relation, Eq) else at_least(difference, Integer(0))

    def _remainder(self) -> Formula:
        """What is left of the step's difference without its premises'."""
        greater, smaller = _sides(self.instance)
        own = replace_names(self.factor, self.where) * (greater - smaller)
        return own - Add(*(premise.weighted(self.where) for premise in self.premises))

    def admissible(self) -> bool:
        """Whether names keep their meaning, and premises may be combined as they are."""
        if self.redefines():
            return False
        if not self.premises:
            return True
        strict = isinstance(self.relation, Gt | Lt)
        # Divided by zero, a premise says nothing.
        if not all(_is_finite(replace_names(p.factor, self.where), self.instance) for p in self.premises):
            return False
        factors = [replace_names(p.factor, self.where) for p in self.premises if not isinstance(p.relation, Eq)]
        if strict or (factors and isinstance(self.relation, Eq)):
            return False
        return (
            is_manifestly_positive(replace_names(self.factor, self.where))
            and all(is_manifestly_nonnegative(f) for f in factors)
            and all(p.in_domain(self.where) for p in self.premises)
        )

    def decide(self) -> bool | None:
        """``True`` if the step holds, ``False`` if it is disproved, ``None`` if undecided."""
        return decide(self.decided()) if self.admissible() else False

    def latex(self) -> str:
        """The relation as LaTeX, printed from the object that is decided (or named by it)."""
        return to_latex(self.relation)


def _holds_everywhere(step: Step) -> bool:
    """Whether a step holds for all values of its symbols; a certified one may have been certified on less."""
    certificate = getattr(step, "certificate", None)
    return certificate is None or certificate.domain == type(certificate.domain).of(step.relation.args)


def _occurring(statement: Basic) -> set[Basic]:
    """Its symbols, and the families whose entries it holds."""
    return statement.free_symbols | {entry.base for entry in statement.atoms(Indexed)}


@dataclass(frozen=True)
class Derivation:
    """A statement with its proof steps.

    Attributes
    ----------
    statement : Relational or Tuple of Relational
        What is derived.
    steps : tuple of Step
        What leads to it. Where ``chained``, the left side of the first is the left side of the statement, each begins
        where the one before ended, the last ends at the right side of the statement, and each is an equality or (for a
        statement that is an inequality) an inequality in its direction; :meth:`verify` checks all that.
    definitions : mapping of str to Relational
        What the names in the statement stand for.
    lemmas : tuple of Step
        Further relations that belong to the statement but not to its chain, such as a special case.
    hypotheses : tuple of Relational
        What is assumed, as premises of the steps: descent lemma, convexity, the definition of a class of functions.
    """

    statement: Basic
    steps: tuple[Step, ...]
    definitions: Mapping[str, Relational] = field(default_factory=dict)
    chained: bool = False
    lemmas: tuple[Step, ...] = ()
    hypotheses: tuple[Relational, ...] = ()

    def all_steps(self) -> tuple[Step, ...]:
        """The steps and, after them, the lemmas."""
        return self.steps + self.lemmas

    @property
    def joins(self) -> Literal["chain", "conclusion", "words"]:
        """What leads from the steps to the statement.

        ``"chain"``: each step begins where the one before ended. ``"conclusion"``: every part of the statement is the
        relation of a step (which may rest on earlier ones, its premises), and not of a special case of it. ``"words"``:
        the reasons beside the steps; that part is for the reader.
        """
        if self.chained:
            return "chain"
        parts = self._parts()
        return "conclusion" if parts and self._general().issuperset(parts) else "words"

    def _parts(self) -> tuple[Basic, ...]:
        return self.statement.args if isinstance(self.statement, Tuple) else (self.statement,)

    def _given(self, step: Step) -> set[Basic]:
        """The symbols and families that a step gives meanings which no definition of the statement gives."""
        others = (w.args[0] for w in step.where if w not in (*STANDARD, *self.definitions.values()))
        return {getattr(name, "base", name) for name in others if isinstance(name, Symbol | Indexed)}

    def _general(self) -> set[Relational]:
        """The relations of steps that hold for all values of what occurs in them, as do the premises they rest on."""
        given: dict[Relational, set[Basic]] = {}
        for step in self.all_steps():
            given[step.relation] = self._given(step).union(*(given.get(p.relation, ()) for p in step.premises))
        return {relation for relation, names in given.items() if not names & _occurring(relation)}

    def _in_force(self, meaning: Relational, step: Step) -> bool:
        """Whether a name means in a step what it meant before: the step says so, or none of the steps says otherwise.

        A symbol that was given a number was no name: the step must be about the same number.
        """
        if meaning in step.where:
            return True
        name, value = meaning.args
        others = [w for s in self.all_steps() for w in s.where if w.args[0] == name]
        return all(w == meaning for w in others) and not (isinstance(name, Symbol) and value.is_number)

    def joints(self) -> list[bool]:
        """Whether each link of a chain begins where the one before ended, and whether premises come before their use.

        Empty if the steps are connected in words only.
        """
        known: set[Relational] = set(self.hypotheses)
        proved: dict[Relational, Step] = {}
        out = []
        for step in self.all_steps():
            for premise in step.premises:
                earlier = proved.get(premise.relation)
                if earlier is None:
                    out.append(premise.relation in known and not premise.at)
                    continue
                # A special case is no lemma.
                same = all(self._in_force(meaning, step) for meaning in earlier.where)
                general = not earlier.conditions() and _holds_everywhere(earlier)
                out.append(same and (general or not premise.at))
            proved[step.relation] = step
        # Assumed is not derived.
        out += [part not in known for part in self._parts() if known]
        if not self.chained:
            return out
        ends = [self.statement.args[0], *(s.relation.args[1] for s in self.steps)]
        starts = [*(s.relation.args[0] for s in self.steps), self.statement.args[1]]
        directions = (Eq, type(self.statement))
        meanings = {w.args[0]: w for s in reversed(self.steps) for w in s.where}
        return [
            *out,
            *(a == b for a, b in zip(ends, starts, strict=True)),
            *(isinstance(s.relation, directions) for s in self.steps),
            # A special case joins nothing but a special case.
            *(not self._given(s) & _occurring(self.statement) for s in self.steps),
            # A name that changed its meaning on the way would join what does not belong together.
            *(all(meanings[w.args[0]] == w for w in s.where) for s in self.steps),
        ]

    def decide(self) -> bool | None:
        """``True`` if every step holds, ``False`` if one is disproved, ``None`` if one is undecided or none exists."""
        if not all(self.joints()):
            return False
        outcomes = [step.decide() for step in self.all_steps()] or [None]
        if any(o is False for o in outcomes):
            return False
        return None if any(o is None for o in outcomes) else True

    def verify(self) -> bool:
        """Whether every step, and every joint between steps, has been verified.

        >>> from rdml_theory.symbolic import teacher_gradient
        >>> teacher_gradient().verify()
        True
        """
        return self.decide() is True

    def latex(self) -> str:
        """The statement as LaTeX."""
        return to_latex(self.statement)
