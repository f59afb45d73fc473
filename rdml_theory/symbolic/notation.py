"""The symbols of the theory, declared once.

==========  ==========================================================================
``C``       number of classes, a positive integer that stays symbolic
``alpha``   order of the Rényi divergence
``z, u``    logits of the student and of the peer (teacher)
``q, p``    their distributions, ``q = softmax(z)`` and ``p = softmax(u)``
``w``       the escort distribution, ``w_i ∝ p_i^α q_i^(1-α)``
``i … n``   class indices, ``1 ≤ i ≤ C``
==========  ==========================================================================

``q[k]``, ``p[k]`` and ``w[k]`` are names: they print as such; :func:`in_logits` writes them out.
"""

from __future__ import annotations

from typing import Any

from sympy import AtomicExpr, Indexed, IndexedBase, Sum, Symbol, exp, symbols

__all__ = [
    "C", "Named", "alpha", "escort_of", "i", "in_logits",
    "in_probabilities", "j", "k", "l", "m", "n", "p", "q", "softmax_of", "u", "w", "z",
]  # fmt: skip

# SymPy's annotations do not cover arithmetic on its expressions; here it is untyped.
Formula = Any

C: Formula = Symbol("C", integer=True, positive=True)
i, j, k, l, m, n = symbols("i j k l m n", integer=True, positive=True)
alpha: Formula = Symbol("alpha", positive=True)

z: Formula = IndexedBase("z", real=True)
u: Formula = IndexedBase("u", real=True)
p: Formula = IndexedBase("p", positive=True)
q: Formula = IndexedBase("q", positive=True)
w: Formula = IndexedBase("w", positive=True)


class Named(AtomicExpr):
    r"""A quantity known by its name: a real non-negative atom with one name in text and one in LaTeX.

    >>> Named("‖q − w‖₂", r"\lVert q - w \rVert_2") ** 2
    ‖q − w‖₂**2
    """

    is_commutative = True
    is_real = True
    is_nonnegative = True
    __slots__ = ("latex", "text")

    def __new__(cls, text: str, latex: str) -> Named:
        """The atom of these two names; equal names make equal atoms."""
        self = AtomicExpr.__new__(cls)
        self.text, self.latex = text, latex
        return self

    def __getnewargs__(self) -> Any:
        return self.text, self.latex

    def _hashable_content(self) -> Any:
        return self.text, self.latex

    @classmethod
    def class_key(cls) -> Any:
        """Sort after symbols, so that products print as β ‖∇R‖."""
        return 9, 0, cls.__name__

    def _sympystr(self, printer: object) -> str:
        return self.text

    @property
    def free_symbols(self) -> set[Any]:
        """The atom itself."""
        return {self}


def softmax_of(logits: Formula, index: Formula, dummy: Formula = j) -> Formula:
    """Entry ``index`` of softmax(logits): ``exp(z_k) / Σ_j exp(z_j)``.

    >>> softmax_of(z, k)
    exp(z[k])/Sum(exp(z[j]), (j, 1, C))
    """
    return exp(logits[index]) / Sum(exp(logits[dummy]), (dummy, 1, C))


def escort_of(first: IndexedBase, second: Formula, index: Formula, dummy: Formula = i) -> Formula:
    """Entry ``index`` of the escort distribution ``w_k = p_k^α q_k^(1-α) / Σ_i p_i^α q_i^(1-α)``.

    >>> escort_of(p, q, k)
    p[k]**alpha*q[k]**(1 - alpha)/Sum(p[i]**alpha*q[i]**(1 - alpha), (i, 1, C))
    """

    def tilted(at: Formula) -> Formula:
        return first[at] ** alpha * second[at] ** (1 - alpha)

    return tilted(index) / Sum(tilted(dummy), (dummy, 1, C))


def in_probabilities(expression: Formula) -> Formula:
    """Replace every ``w[k]`` by its definition through ``p`` and ``q``.

    >>> in_probabilities(w[k])
    p[k]**alpha*q[k]**(1 - alpha)/Sum(p[n]**alpha*q[n]**(1 - alpha), (n, 1, C))
    """
    return expression.replace(
        lambda e: isinstance(e, Indexed) and e.base == w, lambda e: escort_of(p, q, e.indices[0], n)
    )


def in_logits(expression: Formula, *, teacher: bool = False) -> Formula:
    """Replace ``w`` and ``q`` (and ``p``, with ``teacher``) by their definitions through the logits.

    >>> in_logits(q[k])
    exp(z[k])/Sum(exp(z[j]), (j, 1, C))
    """
    expression = in_probabilities(expression)
    expression = expression.replace(
        lambda e: isinstance(e, Indexed) and e.base == q, lambda e: softmax_of(z, e.indices[0], j)
    )
    if teacher:
        expression = expression.replace(
            lambda e: isinstance(e, Indexed) and e.base == p, lambda e: softmax_of(u, e.indices[0], m)
        )
    return expression
