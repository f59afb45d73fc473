r"""Scalar inequalities over a domain, discharged exactly, with evidence that is kept and checked again.

A proof of the kernel may rest on inequalities between a few real variables. Each of those gets a :class:`Certificate`,
by one of two means, which the rule :func:`~rdml_theory.symbolic.kernel.analysis.certified` makes a theorem:

==============  =======================================================================================================
``calculus``    SymPy's exact calculus: signs of factors, and derivatives from a point outwards until one has a sign
``smt``         an SMT solver over the reals (z3): the negation, as SMT-LIB 2 text, has no solution; for rational
                expressions, roots, absolute values, minima and maxima
==============  =======================================================================================================

>>> from sympy import Interval, Symbol, log, oo
>>> from rdml_theory.symbolic.relations import at_most
>>> x = Symbol("x", positive=True)
>>> certificate = calculus(at_most(log(x), x - 1), along=x, at=1)
>>> certificate.check(), certificate.summary()
(True, 'a chain of 4 exact signs along x from 1')

``check()`` has three values: ``True`` if the evidence passes a fresh check, ``False`` if the inequality fails at the
``counterexample`` that was found, ``None`` if the method gives up.

>>> s, b = Symbol("s", positive=True), Symbol("b", positive=True)
>>> certificate = smt(at_most(s * b, s**2 / 2), {s: Interval(0, 1, left_open=True)})
>>> certificate.check()
False

z3 is in the extra ``proofs``, and is imported when first needed.
"""

from rdml_theory.symbolic.certificates.calculus import Chain, calculus
from rdml_theory.symbolic.certificates.certificate import Certificate, Evidence
from rdml_theory.symbolic.certificates.domain import Domain
from rdml_theory.symbolic.certificates.extras import MissingProofsError
from rdml_theory.symbolic.certificates.smt import SmtScript, smt

__all__ = [
    "Certificate", "Chain", "Domain", "Evidence", "MissingProofsError", "SmtScript", "calculus", "smt",
]  # fmt: skip
