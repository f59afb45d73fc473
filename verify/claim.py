"""What a claim is: one statement, with the checks that judge it and the negative controls that they must refute.

A claim is about a *subject*: the executable content of its statement, for instance the right side of an inequality
as a SymPy expression. Statement, proof, numeric check and experiment are all functions of the subject, so a negative
control is nothing but another subject, judged by the very same code. The names here are what every claim is written
with: what a check is given and what it yields are among them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from string import Formatter
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast, get_args

from sympy import Add, Basic, Equality, Mul, Sum
from sympy.core.relational import Relational

from rdml_theory.symbolic import to_latex, to_text
from rdml_theory.symbolic.kernel import Proof
from verify.context import Context
from verify.reading import ClaimError
from verify.records import (
    CertificateRecord,
    Comparison,
    Curve,
    Direction,
    Outcome,
    Panel,
    Segment,
    Source,
    StepRecord,
    combine,
)

__all__ = [
    "Check", "Claim", "Comparison", "Context", "Control", "Curve", "Finding", "Found", "Panel", "Part", "Source",
    "Statement", "check",
]  # fmt: skip

S = TypeVar("S")

NOT_CHECKED = "not machine-checked: "
"""Behind it, to the end of a statement or an assumption, stands what no theorem of the kernel covers."""


@dataclass(frozen=True)
class Statement:
    r"""Words with formulas in their places; every printed form comes from the formulas' SymPy objects.

    Parameters
    ----------
    template : str
        A format string; each field names a formula, and a new line begins a paragraph.
    formulas : mapping of str to Basic
        The SymPy objects.
    names : mapping of str to Equality, optional
        Names for what is long or said more than once, ``name = what it stands for``, by fields that print them: all
        other formulas are printed with the names.

    Examples
    --------
    >>> from sympy import Symbol
    >>> s = Statement("{x} is positive", {"x": Symbol("alpha")})
    >>> s.text(), s.segments()[0].latex
    ('α is positive', '\\alpha')
    >>> from sympy import Eq, sin
    >>> x, y = Symbol("x"), Symbol("y")
    >>> print(Statement("{f}, where {y}", {"f": sin(x) ** 2}, {"y": Eq(y, sin(x))}).text())
    y², where y = sin(x)
    >>> [segment.text for segment in Statement("x_{{t+1}} = {x}", {"x": x}).segments()]
    ['x_{t+1} = ', 'x']
    """

    template: str
    formulas: Mapping[str, Basic] = field(default_factory=dict)
    names: Mapping[str, Equality] = field(default_factory=dict)

    def _parts(self) -> Iterator[str | Basic]:
        """Words and formulas in order."""
        words = ""
        for more, name, _, _ in Formatter().parse(self.template):
            # The parser ends a part at a doubled brace, too.
            words += more
            if name is not None:
                yield from filter(None, [words])
                yield self._named(name)
                words = ""
        yield from filter(None, [words])

    def segments(self) -> tuple[Segment, ...]:
        """The statement as words and formulas in order."""
        return tuple(
            Segment(text=part) if isinstance(part, str) else Segment(text=to_text(part), latex=to_latex(part))
            for part in self._parts()
        )

    def _named(self, field_name: str) -> Basic:
        """A formula with the names in it; a name's own definition with the others."""
        if (own := self.names.get(field_name)) is None:
            return _abbreviated(self.formulas[field_name], [*self.names.values()])
        others = [name for name in self.names.values() if name.lhs != own.lhs]
        return own.func(own.lhs, _abbreviated(own.rhs, others), evaluate=False)

    def text(self) -> str:
        """One line of Unicode text."""
        said = (part if isinstance(part, str) else to_text(part) for part in self._parts())
        return "".join(said).replace("\n", " ")


@cache
def _with_dummies(formula: Any) -> Any:
    """The same dummy for whatever letter a sum runs over."""
    return formula.as_dummy() if formula.has(Sum) else formula


def _are_equal(first: Any, second: Any) -> bool:
    """Whatever letter a sum runs over."""
    return type(first) is type(second) and (first == second or _with_dummies(first) == _with_dummies(second))


def _abbreviated(formula: Any, names: Sequence[Equality]) -> Any:
    """A formula with names for parts of it, whatever letter a sum runs over; nothing else of it is evaluated."""
    for name in names:
        left, right = cast(Any, name.lhs), cast(Any, name.rhs)
        if _are_equal(formula, right):
            return left
        for short, long in ((left, right), (-left, -right)) if isinstance(formula, Mul | Add) else ():
            if formula.func == long.func and len(long.args) <= len(formula.args):
                rest = [part for part in formula.args if not any(_are_equal(part, other) for other in long.args)]
                if len(rest) == len(formula.args) - len(long.args):
                    return formula.func(short, *(_abbreviated(part, names) for part in rest))
    parts = [_abbreviated(part, names) for part in formula.args]
    if tuple(parts) == formula.args:
        return formula
    return formula.func(*parts, evaluate=False) if isinstance(formula, Relational) else formula.func(*parts)


Part: TypeAlias = Comparison | StepRecord | CertificateRecord | Panel
"""One thing that a check yields."""

Found: TypeAlias = Iterator[Part]
"""What a check yields, part by part."""

Kind = Literal["symbolic", "numeric", "monte-carlo", "training"]


@dataclass(frozen=True)
class Finding:
    """What a check found: comparisons, verified proof steps and certificates, and the data of figure panels."""

    comparisons: tuple[Comparison, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    certificates: tuple[CertificateRecord, ...] = ()
    panels: tuple[Panel, ...] = ()

    @classmethod
    def of(cls, parts: Iterable[Part], *, brief: bool = False) -> Finding:
        """What was found, part by part, each kind in its order; if ``brief``, up to a comparison that refutes.

        >>> from verify.checks import holds
        >>> parts = [holds("a", True), holds("b", False), holds("c", True)]
        >>> [part.name for part in Finding.of(parts, brief=True).comparisons]
        ['a', 'b']
        """
        kinds: dict[type, list[Any]] = {kind: [] for kind in (Comparison, StepRecord, CertificateRecord, Panel)}
        for part in parts:
            kinds[type(part)].append(part)
            if brief and isinstance(part, Comparison) and part.outcome == "refuted":
                break
        return cls(*map(tuple, kinds.values()))

    @property
    def outcome(self) -> Outcome:
        """Refuted if anything is refuted, confirmed if everything is confirmed."""
        return combine([part.outcome for part in (*self.comparisons, *self.steps, *self.certificates)])


@dataclass(frozen=True)
class Check(Generic[S]):
    """One way to put a statement to the test.

    Parameters
    ----------
    id : str
        Unique within the claim.
    kind : {"symbolic", "numeric", "monte-carlo", "training"}
        What the evidence rests on.
    question : str
        What the check asks, in a sentence.
    run : callable
        ``run(subject, context)`` returns a :class:`Finding`; the same code for the claim and its negative controls.
        With ``brief=True`` it ends where a comparison refutes.
    tests : int
        How many statistical comparisons it makes for one subject, registered beforehand: the error rate of a run is
        shared equally among all of them.
    cost : float
        Rough seconds in the quick profile, loading torch included, so that the longest checks start first: those that
        need torch are then done by one worker, while the other is at the proofs.
    prove : callable, optional
        Of the check of a theorem: the proof of a subject, which it runs again.
    """

    id: str
    kind: Kind
    question: str
    run: Callable[..., Finding]
    tests: int = 0
    cost: float = 1.0
    prove: Callable[[S], Proof] | None = None


def check(
    kind: Kind, *, id: str = "", question: str = "", tests: int = 0, cost: float = 1.0,  # noqa: A002 - the field's name
    prove: Callable[[S], Proof] | None = None,
) -> Callable[[Callable[[S, Context], Found]], Check[S]]:  # fmt: skip
    """Make a function a check: it yields what it finds, its name is the id and its docstring begins with the question.

    The parameters are those of :class:`Check`; ``id`` and ``question`` are given where they are not those.

    Examples
    --------
    >>> from verify.checks import holds
    >>> @check("numeric")
    ... def is_even(subject: int, context: object) -> Found:
    ...     '''Is it even?'''
    ...     yield holds("divisible by two", subject % 2 == 0)
    >>> is_even.id, is_even.question, is_even.run(3, None).outcome
    ('is-even', 'Is it even?', 'refuted')
    """

    def made(find: Callable[[S, Context], Found]) -> Check[S]:
        def run(subject: S, context: Context, *, brief: bool = False) -> Finding:
            return Finding.of(find(subject, context), brief=brief)

        told = question or " ".join((inspect.getdoc(find) or "").partition("\n\n")[0].split())
        return Check(id or find.__name__.replace("_", "-"), kind, told, run, tests, cost, prove)

    return made


@dataclass(frozen=True)
class Control(Generic[S]):
    """A negative control: a subject that differs where the statement would be wrong. The claim's checks must refute it.

    A check of it ends where a comparison refutes it, but for ``drawn`` ones, which appear in the figure: their own
    version of every curve that shows the statement.
    """

    id: str
    falsehood: str
    subject: S
    drawn: bool = False


@dataclass(frozen=True)
class Claim(Generic[S]):
    """A statement with everything that supports it. One module of :mod:`verify.claims` defines one ``CLAIM``.

    Parameters
    ----------
    id, title : str
        "D1" and a name.
    direction : {"equality", "upper bound", "tight"}
        What the statement asserts; "tight" is an upper bound that is attained.
    subject : S
        The content of the statement.
    statement : callable
        The printed statement of a subject.
    assumptions : tuple of str
        Under which it holds.
    source : Source
        Where it comes from.
    checks, controls : tuple
        At least one of each.
    caption : str
        What the figure shows.
    message : str
        What a reader should take away, in a line.
    meaning, matters : str
        What it says, in two sentences for a reader who has not seen the formulas, and why that matters, in one.
    in_code : str
        Where there is one, the public function or class that computes, measures or simulates what it speaks of:
        "convergence.floor".
    """

    id: str
    title: str
    direction: Direction
    subject: S
    statement: Callable[[S], Statement]
    assumptions: tuple[str, ...]
    source: Source
    checks: tuple[Check[S], ...]
    controls: tuple[Control[S], ...]
    caption: str
    message: str = ""
    meaning: str = ""
    matters: str = ""
    in_code: str = ""

    def __post_init__(self) -> None:
        """A claim without a check or without a negative control is not a claim."""
        if self.direction not in (known := get_args(Direction)):
            raise ClaimError(f"claim {self.id}: expected a direction of {', '.join(known)}, and not {self.direction!r}")
        if not self.checks or not self.controls:
            raise ClaimError(f"claim {self.id}: expected at least one check and one negative control")
        for name, parts in (("check", self.checks), ("control", self.controls)):
            ids: list[Any] = [part.id for part in parts]
            if len(set(ids)) != len(ids):
                raise ClaimError(f"claim {self.id}: two of its {name}s share an id: {ids}")

    @property
    def derivation(self) -> Callable[[S], Proof] | None:
        """The proof of a subject, a theorem of the kernel, if one of the checks has it."""
        return next((check.prove for check in self.checks if check.prove), None)

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What its statement and assumptions say is not machine-checked."""
        told = (self.statement(self.subject).text(), *self.assumptions)
        return tuple(part.partition(NOT_CHECKED)[2] for part in told if NOT_CHECKED in part)

    @property
    def statistical_tests(self) -> int:
        """The number of statistical comparisons over the claim and its negative controls."""
        return sum(check.tests for check in self.checks) * (1 + len(self.controls))
