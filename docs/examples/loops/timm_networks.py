"""Mutual learning of two networks of timm, with soft labels from Mixup: the mutual loss needs no labels.

Run it with `python docs/examples/loops/timm_networks.py`; it needs `pip install timm`.
"""

import timm
import torch
from plain_torch import digits
from timm.data import Mixup
from timm.loss import SoftTargetCrossEntropy
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader

from rdml_theory.losses import MutualLoss


def images(x):
    """Digits as pictures of 32 x 32."""
    return interpolate(x.view(-1, 1, 8, 8), size=32)


def train(epochs=2, names=("test_resnet", "test_efficientnet")):
    """Train two networks; the accuracy of each, held out."""
    torch.manual_seed(0)
    students = [timm.create_model(name, num_classes=10, in_chans=1) for name in names]
    training, held_out = digits()
    batches = DataLoader(training, batch_size=50, shuffle=True, drop_last=True)
    optimizer = torch.optim.AdamW([p for s in students for p in s.parameters()], lr=1e-3)
    mixup, criterion = Mixup(mixup_alpha=0.2, num_classes=10), SoftTargetCrossEntropy()
    mutual = MutualLoss(alpha=2.0)

    for epoch in range(epochs):
        for student in students:
            student.train()
        for x, y in batches:
            # One mixture for all: students compare predictions on the same samples.
            x, y = mixup(images(x), y)
            logits = [student(x) for student in students]
            base = torch.stack([criterion(z, y) for z in logits])
            optimizer.zero_grad()
            (base + min(1.0, epoch) * mutual(logits)).sum().backward()
            optimizer.step()

    x, y = held_out[:]
    with torch.no_grad():
        right = [student.eval()(images(x)).argmax(-1) == y for student in students]
        return [rows.float().mean().item() for rows in right]


if __name__ == "__main__":
    print("held-out accuracy:", ", ".join(f"{accuracy:.3f}" for accuracy in train()))
