"""Symbolic derivations: the divergence, its gradients and limits, and the biased-SGD bounds, for a symbolic C.

Every derivation is a :class:`~rdml_theory.symbolic.kernel.Proof` of the kernel, with ``.statement``, ``.steps``,
``.latex()`` and ``.verify()``.

Where to look:

``kernel/``, ``certificates/``
    What a theorem is and the rules that make one; exact evidence for inequalities of a few real variables.
``divergence/``, ``sgd/``, ``mutual/``, ``shared_rate``
    Theorems: of the divergence (D), of SGD (C, E, V), of mutual learning (C4 to C8, X, G), of several intervals (N6).
``elementary``
    Inequalities of numbers and vectors that theorems of all three kinds rest on.
``notation``, ``expression``, ``maximum``, ``relations``
    Symbols, the divergence, the greatest of many terms, and relations that are printed as they stand.
``functions``, ``printing``, ``enclosures``
    Formulas as NumPy functions, as text and LaTeX, and as intervals that enclose them.

>>> from rdml_theory import symbolic
>>> symbolic.student_gradient().verify()
True
"""

try:
    import mpmath as _mpmath  # noqa: F401 - what follows needs both
    import sympy as _sympy  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"rdml_theory.symbolic needs {error.name}: pip install 'rdml-theory[symbolic]'", name=error.name
    ) from None

from rdml_theory.symbolic.divergence.consensus import consensus_expansion
from rdml_theory.symbolic.divergence.derivatives import alpha_derivative, derivatives, teacher_gradient
from rdml_theory.symbolic.divergence.gradients import student_gradient, student_hessian
from rdml_theory.symbolic.divergence.limits import limit, limits
from rdml_theory.symbolic.divergence.order import order_theorem
from rdml_theory.symbolic.divergence.tilt import bounded_gradient
from rdml_theory.symbolic.expression import RenyiDivergence
from rdml_theory.symbolic.functions import as_function
from rdml_theory.symbolic.mutual.plateau import plateau_law
from rdml_theory.symbolic.printing import to_latex, to_text
from rdml_theory.symbolic.sgd.bounds import classical_bound, sharp_bound
from rdml_theory.symbolic.sgd.constant_bias import bias_plateau
from rdml_theory.symbolic.sgd.long_run import long_run_law
from rdml_theory.symbolic.sgd.momentum import momentum_bound
from rdml_theory.symbolic.sgd.smooth import consecutive_iterates
from rdml_theory.symbolic.sgd.worst_case import every_horizon, sharp_multipliers

__all__ = [
    "RenyiDivergence",
    "alpha_derivative",
    "as_function",
    "bias_plateau",
    "bounded_gradient",
    "classical_bound",
    "consecutive_iterates",
    "consensus_expansion",
    "derivatives",
    "every_horizon",
    "limit",
    "limits",
    "long_run_law",
    "momentum_bound",
    "order_theorem",
    "plateau_law",
    "sharp_bound",
    "sharp_multipliers",
    "student_gradient",
    "student_hessian",
    "teacher_gradient",
    "to_latex",
    "to_text",
]
