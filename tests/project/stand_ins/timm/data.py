"""Mixup (Zhang et al. 2017, arXiv 1710.09412), as timm calls it."""

import numpy as np
from torch.nn.functional import one_hot


class Mixup:
    """A batch with the batch in reverse order, by a share drawn from Beta(a, a); labels become distributions."""

    def __init__(self, mixup_alpha, num_classes, label_smoothing=0.1):
        self.alpha, self.classes, self.smoothing = mixup_alpha, num_classes, label_smoothing

    def __call__(self, x, target):
        assert len(x) % 2 == 0, "timm refuses batches of odd size"
        share = float(np.random.default_rng().beta(self.alpha, self.alpha))
        soft = one_hot(target, self.classes) * (1 - self.smoothing) + self.smoothing / self.classes
        return share * x + (1 - share) * x.flip(0), share * soft + (1 - share) * soft.flip(0)
