"""Inequalities between algebraic expressions, by an SMT solver over the reals.

The negation is written as SMT-LIB 2 text in the logic QF_NRA: "at some point of the domain an expression is undefined,
or the inequality fails". Roots, absolute values, minima and maxima become variables with their defining polynomial
relations, quotients are multiplied out by the sign of the denominator. If the solver finds the text unsatisfiable, the
inequality holds on the whole domain. Any solver for QF_NRA can read the text; z3 is the one used here (de Moura &
Bjørner 2008; for polynomials, Jovanović & de Moura 2012).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sympy import Abs, Add, Eq, Ge, Gt, Interval, Le, Lt, Max, Min, Mul, Pow, Rational, Symbol, fraction, oo, together
from sympy.core.relational import Relational

from rdml_theory.symbolic.certificates.certificate import Certificate, refutes, search_counterexample
from rdml_theory.symbolic.certificates.domain import Domain
from rdml_theory.symbolic.certificates.extras import engine
from rdml_theory.symbolic.notation import Formula
from rdml_theory.symbolic.printing import to_text

__all__ = ["SmtScript", "encode", "smt"]

_EFFORT = 40_000_000
"""The solver's resource limit: deterministic, unlike seconds."""


_ABSURD = Ge(-1, 0, evaluate=False)


class NotAlgebraicError(ValueError):
    """An expression that polynomials over the reals cannot express."""


def _polynomial(expression: Formula) -> str:
    """A polynomial as an SMT-LIB term."""
    if isinstance(expression, Symbol):
        return f"|{expression.name}|"
    if isinstance(expression, Rational):
        size = f"{abs(expression.p)}.0" if expression.q == 1 else f"(/ {abs(expression.p)}.0 {expression.q}.0)"
        return f"(- {size})" if expression.p < 0 else size
    if isinstance(expression, Add | Mul):
        operator = "+" if isinstance(expression, Add) else "*"
        return f"({operator} {' '.join(map(_polynomial, expression.args))})"
    if isinstance(expression, Pow) and expression.exp.is_Integer and expression.exp > 0:
        return f"(* {' '.join([_polynomial(expression.base)] * int(expression.exp))})" if expression.exp > 1 else ""
    raise NotAlgebraicError(
        f"{to_text(expression)} is not algebraic: an SMT certificate is for rational expressions, roots, absolute "
        "values, minima and maxima; use `calculus`"
    )


@dataclass
class _Encoder:
    """Purifies expressions: what is not rational becomes a variable with defining relations."""

    names: dict[Formula, Symbol] = field(default_factory=dict)
    parts: list[tuple[bool, str]] = field(default_factory=list)
    """In order: what defines a variable (True), or says that something of the variables so far is undefined (False)."""

    def _fresh(self, expression: Formula) -> tuple[Symbol, bool]:
        known = expression in self.names
        name = self.names.setdefault(expression, Symbol(f"_{len(self.names)}", real=True))
        return name, known

    def rational(self, expression: Formula) -> tuple[Formula, Formula]:
        """Numerator and denominator after purification."""
        numerator, denominator = fraction(together(self._purify(expression)))
        if denominator.free_symbols:
            zero = (False, f"(= {_polynomial(denominator)} 0.0)")
            if zero not in self.parts:
                self.parts.append(zero)
        return numerator, denominator

    def _purify(self, expression: Formula) -> Formula:
        if isinstance(expression, Add | Mul):
            return expression.func(*(self._purify(a) for a in expression.args))
        if isinstance(expression, Pow) and expression.exp.is_Integer:
            return self._purify(expression.base) ** expression.exp
        if isinstance(expression, Pow) and isinstance(expression.exp, Rational):
            return self._root(expression.base, expression.exp.q) ** expression.exp.p
        if isinstance(expression, Abs | Max | Min):
            return self._extreme(expression)
        return expression

    def _root(self, base: Formula, degree: int) -> Formula:
        name, known = self._fresh(base ** Rational(1, degree))
        if not known:
            top, bottom = self.rational(base)
            n, d = _polynomial(top), _polynomial(bottom)
            r = _polynomial(name)
            self.parts.append((False, f"(or (and (< {n} 0.0) (> {d} 0.0)) (and (> {n} 0.0) (< {d} 0.0)))"))
            self.parts.append((True, f"(and (>= {r} 0.0) (= (* {d} {' '.join([r] * degree)}) {n}))"))
        return name

    def _value(self, expression: Formula) -> str:
        """A term equal to an expression, through a variable where it is a quotient."""
        top, bottom = self.rational(expression)
        if not bottom.free_symbols:
            return _polynomial(top / bottom)
        name, known = self._fresh(expression)
        if not known:
            self.parts.append((True, f"(= (* {_polynomial(bottom)} {_polynomial(name)}) {_polynomial(top)})"))
        return _polynomial(name)

    def _extreme(self, expression: Formula) -> Formula:
        name, known = self._fresh(expression)
        if not known:
            parts = expression.args if not isinstance(expression, Abs) else (expression.args[0], -expression.args[0])
            values = [self._value(a) for a in parts]
            order = "<=" if isinstance(expression, Min) else ">="
            r = _polynomial(name)
            beyond = " ".join(f"({order} {r} {v})" for v in values)
            among = " ".join(f"(= {r} {v})" for v in values)
            self.parts.append((True, f"(and {beyond} (or {among}))"))
        return name

    def holds(self, relation: Any) -> str:
        """A relation as a formula."""
        left, right = relation.args
        numerator, denominator = self.rational(left - right)
        n, d = _polynomial(numerator), _polynomial(denominator)
        if isinstance(relation, Eq):
            return f"(= {n} 0.0)"
        if isinstance(relation, Ge | Gt):
            above, below = (">=", "<=") if isinstance(relation, Ge) else (">", "<")
        else:
            above, below = ("<=", ">=") if isinstance(relation, Le) else ("<", ">")
        if not denominator.free_symbols:
            return f"({above if denominator > 0 else below} {n} 0.0)"
        return f"(or (and (> {d} 0.0) ({above} {n} 0.0)) (and (< {d} 0.0) ({below} {n} 0.0)))"


def _inside(symbol: Symbol, interval: Interval, encoder: _Encoder) -> list[str]:
    out = []
    low = Gt if interval.left_open else Ge
    high = Lt if interval.right_open else Le
    if interval.start != -oo:
        out.append(encoder.holds(low(symbol, interval.start, evaluate=False)))
    if interval.end != oo:
        out.append(encoder.holds(high(symbol, interval.end, evaluate=False)))
    return out


def encode(relation: Relational, domain: Domain) -> str:
    """The negation of an inequality on a domain, as SMT-LIB 2 text.

    >>> from sympy import Symbol
    >>> from rdml_theory.symbolic.relations import at_least
    >>> x = Symbol("x", real=True)
    >>> print(encode(at_least(x**2, 0), Domain.of([x])))
    ; x² ≥ 0
    ; Unsatisfiable if and only if this holds, with all of its parts defined, on the whole domain.
    (set-logic QF_NRA)
    (declare-const |x| Real)
    (assert (not (>= (* |x| |x|) 0.0)))
    (check-sat)
    """
    for symbol in domain.symbols:
        if symbol.name.startswith("_") or not symbol.name.isprintable() or set(symbol.name) & set("|\\"):
            raise ValueError(f"the name {symbol.name!r} has another meaning in SMT-LIB: expected letters and digits")
    given = _Encoder()
    inside = [c for s, i in domain.intervals for c in _inside(s, i, given)]
    inside += [given.holds(c) for c in domain.conditions]
    # The domain's own roots are part of the domain; where they are undefined it is empty.
    encoder = _Encoder(names=dict(given.names))
    inside += [part for defines, part in given.parts if defines]
    wrong = f"(not {encoder.holds(relation)})"
    for defines, part in reversed(encoder.parts):
        wrong = f"({'and' if defines else 'or'} {part} {wrong})"
    where = domain.text()
    return "\n".join([
        f"; {to_text(relation)}" + (f" for {where}" if where else ""),
        "; Unsatisfiable if and only if this holds, with all of its parts defined, on the whole domain.",
        "(set-logic QF_NRA)",
        *(f"(declare-const |{s.name}| Real)" for s in (*domain.symbols, *encoder.names.values())),
        *(f"(assert {c})" for c in inside),
        f"(assert {wrong})",
        "(check-sat)",
    ])  # fmt: skip


@lru_cache(maxsize=500, typed=True)
def _solve(text: str) -> tuple[str, Any]:
    """What the solver says of a text ("sat", "unsat", "unknown"), and its model."""
    z3: Any = engine("z3")
    context = z3.Context()
    solver = z3.SolverFor("QF_NRA", ctx=context)
    solver.set("rlimit", _EFFORT)
    solver.add(z3.parse_smt2_string(text, ctx=context))
    answer = str(solver.check())
    return answer, solver.model() if answer == "sat" else None


@dataclass(frozen=True)
class SmtScript:
    """The text whose unsatisfiability proves the inequality."""

    script: str

    def text(self) -> str:
        """The SMT-LIB 2 text."""
        return self.script

    def summary(self) -> str:
        """What was found, and how long the text is."""
        return f"its negation in SMT-LIB 2, {len(self.script.splitlines())} lines, is unsatisfiable (z3)"

    def check(self, relation: Relational, domain: Domain) -> bool:
        """Whether the text is the negation of the relation, and unsatisfiable when parsed afresh.

        That must not be for want of points: where conditions contradict each other everything holds.
        """
        if self.script != encode(relation, domain) or _solve(self.script)[0] != "unsat":
            return False
        return not domain.conditions or _solve(encode(_ABSURD, domain))[0] != "unsat"


def _point(model: Any, domain: Domain) -> dict[Symbol, Formula]:
    """A rational point at, or very near to, the solver's."""
    values = {str(d.name()): model[d] for d in model.decls()}
    out: dict[Symbol, Formula] = {}
    for symbol in domain.symbols:
        value = values.get(symbol.name)
        if value is None:
            out[symbol] = Rational(0)
        else:
            near = value.approx(20) if hasattr(value, "approx") else value
            out[symbol] = Rational(near.numerator_as_long(), near.denominator_as_long())
    return out


def smt(
    relation: Relational,
    domain: Mapping[Symbol, Interval] | None = None,
    conditions: tuple[Relational, ...] = (),
    *,
    reason: str = "",
) -> Certificate:
    """Certify an inequality between algebraic expressions by an SMT solver over the reals.

    Parameters
    ----------
    relation : Relational
        An inequality between rational expressions, roots, absolute values, minima and maxima.
    domain : mapping of Symbol to Interval, optional
        Where the variables lie; by default where they are declared to lie.
    conditions : tuple of Relational
        Relations between the variables that are assumed.
    reason : str
        What the inequality is for.

    Returns
    -------
    Certificate
        With the SMT-LIB 2 text of the negation, or with a point at which the inequality fails, or with neither.

    Raises
    ------
    ValueError
        If the inequality is not algebraic.
    MissingProofsError
        If z3 is not installed.

    >>> from sympy import Symbol, sqrt
    >>> from rdml_theory.symbolic.relations import at_most
    >>> x, y = (Symbol(s, nonnegative=True) for s in "xy")
    >>> smt(at_most(sqrt(x * y), (x + y) / 2)).check()
    True
    >>> smt(at_most(sqrt(x * y), (x + y) / 3)).summary()
    'fails at x = ..., y = ...'
    """
    where = Domain.of(relation.args, domain, conditions)
    text = encode(relation, where)
    found = search_counterexample(relation, where)
    if found is not None:
        return Certificate("smt", reason, relation, where, counterexample=found)
    answer, model = _solve(text)
    if answer == "unsat":
        return Certificate("smt", reason, relation, where, SmtScript(text))
    if answer == "sat":
        point = _point(model, where)
        if refutes(point, relation, where):
            return Certificate("smt", reason, relation, where, counterexample=tuple(point.items()))
    return Certificate("smt", reason, relation, where)
