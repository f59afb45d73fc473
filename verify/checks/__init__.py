"""What the checks of claims share: comparisons, curves and panels, proofs, implementations, replicas.

The names below are those that most claims use; what is special to some is in the modules: `reference` (the truth with
sixty digits, random pairs), `formulas.value` (a formula of classes at numbers), `search` (inequalities), `quantities`.
"""

from verify.checks.comparisons import Worst, at_least, at_most, close_to, counted, cut_mean, holds, judged
from verify.checks.experiments import Replicas, exponents, plateau_function, window_means
from verify.checks.formulas import evaluate, function_of, implementation_check, letters
from verify.checks.panels import Role, curve, order_panels, panel, replicas_curve, scatter_panel
from verify.checks.proofs import kernel_check

__all__ = [
    "Replicas",
    "Role",
    "Worst",
    "at_least",
    "at_most",
    "close_to",
    "counted",
    "curve",
    "cut_mean",
    "evaluate",
    "exponents",
    "function_of",
    "holds",
    "implementation_check",
    "judged",
    "kernel_check",
    "letters",
    "order_panels",
    "panel",
    "plateau_function",
    "replicas_curve",
    "scatter_panel",
    "window_means",
]
