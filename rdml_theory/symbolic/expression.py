"""The Rényi divergence as a SymPy expression."""

from __future__ import annotations

from typing import Any

from sympy import Dummy, Expr, Indexed, Limit, Mul, Piecewise, S, Sum, Symbol, Tuple, expand, log, oo, simplify

from rdml_theory.symbolic.arguments import formula
from rdml_theory.symbolic.maximum import Maximum
from rdml_theory.symbolic.notation import C, Formula, alpha, i, in_logits, p, q, u, z

__all__ = ["RenyiDivergence", "divergence"]


class RenyiDivergence(Expr):
    r"""D_α(p‖q) as an expression: it differentiates, has limits, prints, and becomes a NumPy function.

    D_α(p‖q) = 1/(α-1) · log Σ_i p_i^α q_i^(1-α) in nats, for distributions p and q on ``classes`` classes, a number or
    a symbol. Rényi 1961; van Erven & Harremoës 2014, arXiv 1206.2459.

    Parameters
    ----------
    first, second : Expr
        The summed entries ``p[i]`` and ``q[i]``: named families, or expressions such as a softmax of logits.
    order : Expr
        The order α: at 0, 1 and ∞ the value is the limit.
    limits : tuple
        ``(index, 1, classes)``.

    Examples
    --------
    The definition, and its value at the special orders:

    >>> from sympy import oo, symbols
    >>> from rdml_theory.symbolic.notation import C, alpha, i, k, p, q, u, z
    >>> D = RenyiDivergence(p[i], q[i], alpha, (i, 1, C))
    >>> D.doit()
    log(Sum(p[i]**alpha*q[i]**(1 - alpha), (i, 1, C)))/(alpha - 1)
    >>> D.subs({C: 2, alpha: 2}).doit()
    log(p[1]**2/q[1] + p[2]**2/q[2])

    Limits in the order are taken: the summand's at 0, l'Hôpital's rule at 1 (for p that sums to one), and the greatest
    term at ∞.

    >>> from sympy import limit
    >>> limit(D, alpha, 0)
    -log(Sum(q[i], (i, 1, C)))
    >>> limit(D, alpha, 1)
    Sum(log(p[i])*p[i] - log(q[i])*p[i], (i, 1, C))
    >>> limit(D, alpha, oo)
    log(max_i(p[i]/q[i]))

    Derivatives in probabilities (as independent positive numbers), in logits (``q = softmax(z)``, ``p = softmax(u)``)
    and in the order:

    >>> from sympy import simplify
    >>> from rdml_theory.symbolic.notation import in_logits, w
    >>> two = {C: 2, alpha: 2}
    >>> simplify((D.diff(z[1]) - in_logits(q[1] - w[1], teacher=True)).subs(two).doit())
    0
    >>> D.subs({C: 2, alpha: 2}).diff(q[1]).doit()
    -p[1]**2/((p[1]**2/q[1] + p[2]**2/q[2])*q[1]**2)
    >>> D.subs({C: 2}).diff(alpha).subs(alpha, 2).doit().count_ops() > 0
    True

    Printed:

    >>> from sympy import latex, mathml
    >>> latex(D), str(D)
    ('D_{\\alpha}(p \\Vert q)', 'D_alpha(p‖q)')
    >>> mathml(D.subs(alpha, 2), printer="presentation")
    '<mrow><msub><mi>D</mi><mn>2</mn></msub><mo>(</mo><mi>p</mi><mo>&#8214;</mo><mi>q</mi><mo>)</mo></mrow>'

    As a function of arrays with the classes on the last axis:

    >>> import numpy as np
    >>> from sympy import lambdify
    >>> from rdml_theory import renyi_divergence
    >>> P, Q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    >>> bool(np.isclose(lambdify((p, q, alpha), D)(P, Q, 0.7), renyi_divergence(P, Q, 0.7), rtol=1e-14))
    True
    """

    is_commutative = True
    is_real = True

    def __new__(cls, first: Any, second: Any, order: Any, limits: Any) -> RenyiDivergence:
        """The expression of these entries, order and limits, as SymPy objects."""
        names = ("first", "second", "order")
        parts = [formula(name, value) for name, value in zip(names, (first, second, order), strict=True)]
        if not isinstance(limits, tuple | Tuple) or len(limits) != 3:
            raise TypeError(f"limits has type {type(limits).__name__}: expected (index, 1, classes)")
        return Expr.__new__(cls, *parts, Tuple(*(formula("limits", part) for part in limits)))

    @property
    def order(self) -> Formula:
        """The order α."""
        return self.args[2]

    @property
    def bound_symbols(self) -> list[Any]:
        """The index of the sum."""
        return [self.args[3].args[0]]

    @property
    def free_symbols(self) -> set[Any]:
        """The symbols of the entries, order and classes, and the logits that named entries stand for."""
        first, second, order, limits = self.args
        found = first.free_symbols | second.free_symbols | order.free_symbols | limits.free_symbols
        logits = {p: u, q: z}
        bases = {e.base for side in (first, second) for e in side.atoms(Indexed)}
        found = found.union(*(logits[b].free_symbols for b in bases & set(logits)))
        return found - set(self.bound_symbols)

    def in_logits(self) -> RenyiDivergence:
        """The same with ``q = softmax(z)`` and ``p = softmax(u)``, and any ``w`` written out.

        >>> divergence.in_logits().args[1]
        exp(z[i])/Sum(exp(z[j]), (j, 1, C))
        """
        return in_logits(self, teacher=True)

    def definition(self) -> Formula:
        """1/(α-1) · log Σ, its limit at the orders 0, 1 and ∞."""
        return self.at_order(self.order)

    def doit(self, **hints: Any) -> Formula:
        """The definition, with the sums written out if the number of classes is a number."""
        found = self.definition()
        return found.doit(**hints) if self.args[3].args[2].is_Integer else found

    def at_order(self, value: Any) -> Formula:
        """The value at an order, at 0, 1 and ∞ the limit, which is taken here.

        Raises
        ------
        ValueError
            At order 1, if the first argument does not sum to one: there is no finite limit.

        Examples
        --------
        >>> divergence.at_order(2)
        log(Sum(p[i]**2/q[i], (i, 1, C)))
        """
        first, second, _, limits = self.args
        value = formula("value", value)
        order: Formula = Dummy("alpha", positive=True)
        summand = first**order * second ** (1 - order)  # type: ignore[operator]
        if value.is_zero:
            return -log(Sum(_at_zero(first, summand, order), limits))
        if value == 1:
            return self._at_one(summand, order)
        if value is oo:
            # Σ lies between the greatest term and the greatest ratio's power; both have this limit.
            return log(Maximum(first / second, limits))  # type: ignore[operator]
        return Mul(log(Sum(summand.subs(order, value), limits)), 1 / (value - 1))

    def _at_one(self, summand: Formula, order: Formula) -> Formula:
        """L'Hôpital's rule, once it is known that Σ is 1, and its logarithm 0, at order 1: the slope of log Σ is Σ'."""
        limits = self.args[3]
        if not _sums_to_one(in_logits(summand.subs(order, 1), teacher=True), limits):
            raise ValueError(
                f"order 1: {self.args[0]} does not sum to one, so there is no finite limit; normalise it first"
            )
        return Sum(expand(summand.diff(order).subs(order, 1)), limits)

    def _eval_derivative(self, s: Any) -> Formula:
        in_logits = isinstance(s, Indexed) and s.base in (u, z)
        return (self.in_logits() if in_logits else self).definition().diff(s)

    def _eval_as_leading_term(self, x: Any, logx: Any = None, cdir: Any = 0) -> Formula:
        # SymPy's limits ask for this. It is the limit itself where only the order varies.
        first, second, order, limits = self.args
        if any(part.has(x) for part in (first, second, limits)):
            return self.definition()._eval_as_leading_term(x, logx=logx, cdir=cdir)
        return self.at_order(Limit(order, x, 0, "-" if cdir == -1 else "+").doit())

    def _eval_evalf(self, prec: int) -> Any:
        return self.doit()._eval_evalf(prec)

    def _names(self) -> tuple[Any, Any]:
        first, second = (getattr(a, "base", a) for a in self.args[:2])
        return first, second

    def _latex(self, printer: Any, exp: Any = None) -> str:
        first, second = map(printer._print, self._names())
        printed = rf"D_{{{printer._print(self.order)}}}({first} \Vert {second})"
        return printed if exp is None else rf"{printed}^{{{exp}}}"

    def _sympystr(self, printer: Any) -> str:
        first, second = map(printer._print, self._names())
        order = printer._print(self.order)
        return f"D_{order if self.order.is_Atom else f'({order})'}({first}‖{second})"

    _rdmltext = _sympystr

    def _mathml_presentation(self, printer: Any) -> Any:
        def tag(name: str, *children: Any) -> Any:
            element = printer.dom.createElement(name)
            for child in children:
                element.appendChild(printer.dom.createTextNode(child) if isinstance(child, str) else child)
            return element

        first, second = (printer._print(getattr(n, "label", n)) for n in self._names())
        name = tag("msub", tag("mi", "D"), printer._print(self.order))
        return tag("mrow", name, tag("mo", "("), first, tag("mo", "&#8214;"), second, tag("mo", ")"))

    def _numpycode(self, printer: Any) -> str:
        first, second = self._names()
        if not all(hasattr(n, "label") for n in (first, second)):
            raise NotImplementedError(f"{self}: only named distributions become arrays; see `as_function`")
        total, logarithm = (printer._module_format(f"numpy.{name}") for name in ("sum", "log"))
        order = printer._print(self.order)
        one, two = (printer._print(n.label) for n in (first, second))
        return f"{logarithm}({total}({one}**({order})*{two}**(1 - ({order})), axis=-1))/(({order}) - 1)"


def _sums_to_one(term: Formula, limits: Any) -> bool:
    """Whether a term is a softmax, or for a number of classes sums to one."""
    index, _, count = limits.args
    if count.is_Integer:
        return simplify(Sum(term, limits).doit()) == 1
    factor, rest = term.as_independent(index, as_Add=False)
    total = 1 / factor
    return isinstance(total, Sum) and total.xreplace({total.limits[0][0]: index}) == Sum(rest, limits)


def _at_zero(first: Formula, summand: Formula, order: Formula) -> Formula:
    """The limit of p^α q^(1-α) as α falls to 0: q where p > 0, and 0 (the value for every α > 0) elsewhere."""
    if first.is_positive:
        return Limit(summand, order, 0, "+").doit()
    positive: Formula = Symbol("x", positive=True)
    there = Limit(summand.subs(first, positive), order, 0, "+").doit()
    elsewhere = Limit(summand.subs(first, S.Zero), order, 0, "+").doit()
    return Piecewise((there, first > 0), (elsewhere, True))


divergence = RenyiDivergence(p[i], q[i], alpha, (i, 1, C))
"""D_α(p‖q) for the named distributions."""
