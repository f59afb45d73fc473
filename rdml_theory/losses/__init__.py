"""Rényi losses for torch: the divergence of two softmax outputs, and the mutual loss of K students.

Conventions: z and u are logits of the student and of the teacher or peer, q and p their softmax over C classes, alpha
the order in [0, inf], logarithms natural (nats). A row is one distribution; means are over rows, never over classes.
This is the only part of the package that needs torch.
"""

# A call of a loss passes through `mutual` or `distillation`, where its arguments are checked (`_checks`, `order`), to
# `_stored`, which holds the autograd function, makes the arguments one `Task` and chooses the evaluator: as a rule
# `_cohort`, over blocks of rows, each by the quick formulas (`_quick`) or the exact ones (`_exact`); `_compiled` under
# `torch.compile`; `_pairs`, differentiable any number of times, for orders per row, `torch.func`, second derivatives.
# `divergence` goes straight to `_pairs`. `_triton` serves many classes on a GPU where it is asked for.
#
# An order is checked, becomes `Task.order`, and arrives in the formulas. A mask joins the targets in `kept_rows`, sets
# what a mean divides by, and in `_stored` (`by_pairs` for what `_pairs` evaluates) empties the rows before, and zeroes
# their values and gradients after.

from rdml_theory.losses.distillation import RenyiDivLoss
from rdml_theory.losses.divergence import renyi_divergence
from rdml_theory.losses.mutual import MutualLoss, mutual_loss
from rdml_theory.losses.order import ConstantOrder, CosineOrder, LearnableOrder, LinearOrder, OrderSchedule

__all__ = [
    "ConstantOrder",
    "CosineOrder",
    "LearnableOrder",
    "LinearOrder",
    "MutualLoss",
    "OrderSchedule",
    "RenyiDivLoss",
    "mutual_loss",
    "renyi_divergence",
]
