"""SymPy's ``expand``, which passes over what it has seen to be expanded.

Trusted: it is SymPy's loop with SymPy's methods, and gives what that gives. But where SymPy goes through a whole term
a dozen times, here a subterm on which none of its methods does anything is known, and is not entered again. To pass
over a subterm can only leave it as it is: a proof could be refused for it, and none accepted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sympy import Add, Mul, Pow, exp, sympify

__all__ = ["expand"]

_ONCE = ("basic", "log", "multinomial", "mul", "power_base", "power_exp")
"""What SymPy expands by default, in its order."""
_AGAIN = ("multinomial", "mul", "log")
"""What it repeats until nothing changes."""
_HINTS = dict.fromkeys(_ONCE, True)


def expand(term: Any) -> Any:
    """A term multiplied out, powers and logarithms of products too: what ``sympy.expand`` gives.

    >>> from sympy import Symbol
    >>> a, p = Symbol("a", real=True), Symbol("p", positive=True)
    >>> expand(p ** (a + 1) * (a + 1) ** 2)
    a**2*p*p**a + 2*a*p*p**a + p*p**a
    """
    return _expanded(sympify(term))


@lru_cache(maxsize=50_000, typed=True)
def _expanded(term: Any) -> Any:
    for hint in _ONCE:
        term, _ = _applied(term, hint)
    while True:
        before = term
        for hint in _AGAIN:
            term, _ = _applied(term, hint)
        if term == before:
            return term


def _applied(term: Any, hint: str) -> tuple[Any, bool]:
    """A method of expansion applied to all parts of a term, the inner ones first; and whether it changed any."""
    if _is_expanded(term):
        return term, False
    hit = False
    if term.args and not term.is_Atom:
        parts = [_applied(part, hint) for part in term.args]
        hit = any(changed for _, changed in parts)
        if hit:
            term = term.func(*(part for part, _ in parts))
    method = getattr(term, f"_eval_expand_{hint}", None)
    if method is not None:
        other = method(**_HINTS)
        if other != term:
            return other, True
    return term, hit


@lru_cache(maxsize=100_000, typed=True)
def _is_expanded(term: Any) -> bool:
    """Whether no method changes the term or any part of it."""
    if not all(map(_is_expanded, getattr(term, "args", ()))):
        return False
    if isinstance(term, Mul) and not any(map(_may_multiply, term.args)):
        return True
    methods = (getattr(term, f"_eval_expand_{hint}", None) for hint in _ONCE)
    return not any(method is not None and method(**_HINTS) != term for method in methods)


def _may_multiply(factor: Any) -> bool:
    """Whether a factor may be multiplied out with others: a sum, or a power of other than a single thing."""
    return isinstance(factor, Add | exp) or (isinstance(factor, Pow) and isinstance(factor.base, Add | Mul | Pow))
