"""Cross-entropy with distributions as labels, as timm calls it."""

from torch import nn


class SoftTargetCrossEntropy(nn.Module):
    """The mean over the batch of -sum_c target_c log softmax(x)_c."""

    def forward(self, x, target):
        return -(target * x.log_softmax(-1)).sum(-1).mean()
