"""A derivation: a statement, the steps that lead to it, and the means to check every one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sympy import Basic
from sympy.core.relational import Relational

from rdml_theory.symbolic.decide import decide
from rdml_theory.symbolic.printing import to_latex

__all__ = ["Derivation", "Step"]


@dataclass(frozen=True)
class Step:
    """One step of a proof: a relation that is decided symbolically, and why it is the next step.

    Attributes
    ----------
    reason : str
        What the step does, in words.
    relation : Relational
        The relation as printed. It may use the names ``q[k]``, ``w[k]``, ``D_α(p‖q)``.
    expanded : Relational, optional
        The same relation with the names replaced by their definitions: this is what is decided. By default the
        relation itself.
    """

    reason: str
    relation: Relational
    expanded: Relational | None = None

    def decide(self) -> bool | None:
        """``True`` if the step holds, ``False`` if a counterexample was found, ``None`` if undecided."""
        return decide(self.relation if self.expanded is None else self.expanded)

    def latex(self) -> str:
        """The relation as LaTeX, printed from the object that is decided (or named by it)."""
        return to_latex(self.relation)


@dataclass(frozen=True)
class Derivation:
    """A statement with its proof steps.

    Attributes
    ----------
    statement : Relational or Tuple of Relational
        What is derived.
    steps : tuple of Step
        The chain that leads to it. Where ``chained``, the steps are equalities: the left side of the first is the
        left side of the statement, each begins where the one before ended, and the last ends at the right side of
        the statement; :meth:`verify` checks these joints too.
    definitions : mapping of str to Relational
        What the names in the statement stand for.
    lemmas : tuple of Step
        Further relations that belong to the statement but not to its chain, such as a special case.
    """

    statement: Basic
    steps: tuple[Step, ...]
    definitions: Mapping[str, Relational] = field(default_factory=dict)
    chained: bool = False
    lemmas: tuple[Step, ...] = ()

    def all_steps(self) -> tuple[Step, ...]:
        """The steps and, after them, the lemmas."""
        return self.steps + self.lemmas

    def joints(self) -> list[bool]:
        """Whether each link of a chained derivation begins where the one before it ended."""
        if not self.chained:
            return []
        ends = [self.statement.args[0], *(s.relation.args[1] for s in self.steps)]
        starts = [*(s.relation.args[0] for s in self.steps), self.statement.args[1]]
        return [a == b for a, b in zip(ends, starts, strict=True)]

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

        >>> from rdml_theory.symbolic import student_gradient
        >>> student_gradient().verify()
        True
        """
        return self.decide() is True

    def latex(self) -> str:
        """The statement as LaTeX."""
        return to_latex(self.statement)
