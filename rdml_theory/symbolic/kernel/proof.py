"""A proof as something to read: the theorem's steps in order, with the reasons and what each rests on."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from sympy import Basic
from sympy.core.cache import clear_cache

from rdml_theory.symbolic import certificates
from rdml_theory.symbolic.kernel.propositions import Proposition
from rdml_theory.symbolic.kernel.theorem import Theorem, replayed

__all__ = ["Line", "Proof"]


_SAID = {"sum_over": "sum", "last_term": "last term"}


@dataclass(frozen=True)
class Line:
    """One line of a printed proof.

    Attributes
    ----------
    number : int
        Its place.
    theorem : Theorem
        What it says.
    rests_on : tuple of int
        The lines its rule was given.
    """

    number: int
    theorem: Theorem
    rests_on: tuple[int, ...]

    def words(self) -> str:
        """The reason, the rule and the lines it rests on."""
        at = f" from {', '.join(map(str, self.rests_on))}" if self.rests_on else ""
        rule = _SAID.get(self.theorem.rule, self.theorem.rule) + at
        return f"{self.theorem.reason} ({rule})" if self.theorem.reason else rule


@dataclass(frozen=True)
class Proof:
    """Theorems of the kernel as a derivation that can be printed: the first is the statement, the others go with it.

    Attributes
    ----------
    theorems : tuple of Theorem
        The statement, then what belongs to it, such as that it is attained.

    Examples
    --------
    >>> from rdml_theory.symbolic.sgd.bounds import classical_bound
    >>> proof = classical_bound()
    >>> print(proof.theorems[0].conclusion.text())
    A² ≤ 2·Δ/(T·η) + Z² + h·σ²
    >>> proof.verify(), proof.axioms
    (True, ('descent lemma',))
    >>> print(proof.lines[-1].words())
    (1-h) times the average of ‖∇f + b‖², which is not negative, takes the cross term away (combine from 23, 28, 29, 31)
    """

    theorems: tuple[Theorem, ...]

    @property
    def statement(self) -> Basic:
        """The conclusion of the first theorem, as a SymPy relation."""
        return cast(Any, self.theorems[0].conclusion).relation()

    @property
    def hypotheses(self) -> tuple[Proposition, ...]:
        """What the statement assumes, in the order in which the proof takes it up."""
        return self.hypotheses_of(self.theorems[0])

    def hypotheses_of(self, theorem: Theorem) -> tuple[Proposition, ...]:
        """What one of the theorems assumes, which another need not, in the order in which its proof takes it up."""
        assumed = [t.conclusion for t in theorem.proof() if t.rule == "assume"]
        named = dict.fromkeys(h for h in assumed if h in theorem.hypotheses)
        return (*sorted(theorem.hypotheses - set(named), key=lambda h: h.text()), *named)

    @property
    def axioms(self) -> tuple[str, ...]:
        """The axioms that any of the theorems rests on."""
        return tuple(sorted({name for theorem in self.theorems for name in theorem.axioms()}))

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """All steps, numbered; the definitions and hypotheses where they enter."""
        numbers: dict[int, int] = {}
        out: list[Line] = []
        for theorem in _once(self.theorems):
            numbers[id(theorem)] = len(out) + 1
            out.append(Line(len(out) + 1, theorem, tuple(numbers[id(p)] for p in theorem.parents())))
        return tuple(out)

    @property
    def steps(self) -> tuple[Line, ...]:
        """The lines, under the name they have in other derivations."""
        return self.lines

    def verify(self, *, afresh: bool = False) -> bool:
        """Run every rule again, and say whether the same theorems come out.

        ``afresh`` forgets first what SymPy and the kernel have computed in this process: under a term they may keep
        what was computed from one of a class of somebody's own that is equal to it.
        """
        if afresh:
            _forget()
        return replayed(self.theorems)

    def text(self) -> str:
        """The theorems with what each assumes, and the proof, a line for each step."""
        several = len(self.theorems) > 1
        given: list[str] = []
        for theorem in self.theorems:
            given += [f"Theorem: {theorem.conclusion.text()}"] if several else []
            given += ["Given", *(f"    {h.text()}" for h in self.hypotheses_of(theorem)), ""]
        steps = [f"{line.number:4}. {line.theorem.conclusion.text()}\n        {line.words()}" for line in self.lines]
        return "\n".join([*given, *steps])

    def latex(self) -> str:
        """The proof as a LaTeX ``align*`` environment."""
        rows = (
            rf"&{line.theorem.conclusion.latex()} && \text{{({line.number}) {line.words()}}}" for line in self.lines
        )
        return "\\begin{align*}\n" + " \\\\\n".join(rows) + "\n\\end{align*}"

    def _repr_latex_(self) -> str:
        """In a notebook: what is proved."""
        return rf"$\displaystyle {self.theorems[0].conclusion.latex()}$"


def _once(theorems: Iterable[Theorem]) -> Iterable[Theorem]:
    """The proofs of several theorems, each step once."""
    seen: dict[int, Theorem] = {}
    for theorem in theorems:
        for step in theorem.proof():
            seen.setdefault(id(step), step)
    return seen.values()


def _forget() -> None:
    """Empty SymPy's caches, and those of the kernel and the certificates."""
    clear_cache()
    ours = __name__.rpartition(".")[0], certificates.__name__
    for name, module in [*sys.modules.items()]:
        if name.startswith(ours):
            for value in [*vars(module).values()]:
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
