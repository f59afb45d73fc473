"""Mutual learning as a LightningModule: the students are its children, and its loss is the sum of theirs.

Run it with `python docs/examples/loops/lightning_module.py`; it needs `pip install lightning`.
"""

import lightning
import torch
from plain_torch import digits, networks
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from rdml_theory.losses import MutualLoss


class Cohort(lightning.LightningModule):
    """Students that learn from each other."""

    def __init__(self, students, alpha=2.0, beta=1.0, warmup=3):
        super().__init__()
        self.students = nn.ModuleList(students)
        self.mutual = MutualLoss(alpha, beta=beta)
        self.warmup = warmup

    def training_step(self, batch, batch_idx):
        x, y = batch
        logits = [student(x) for student in self.students]
        base = torch.stack([cross_entropy(z, y) for z in logits])
        peers = min(1.0, self.current_epoch / self.warmup) * self.mutual(logits)
        self.log_dict({f"base_{k}": value for k, value in enumerate(base)})
        self.log_dict({f"peers_{k}": value for k, value in enumerate(peers)})
        return (base + peers).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def train(epochs=10):
    """Train two students; the accuracy of each, held out."""
    training, held_out = digits()
    cohort = Cohort(networks())
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(cohort, DataLoader(training, batch_size=50, shuffle=True, drop_last=True))

    x, y = held_out[:]
    with torch.no_grad():
        return [(student(x).argmax(-1) == y).float().mean().item() for student in cohort.students]


if __name__ == "__main__":
    print("held-out accuracy:", ", ".join(f"{accuracy:.3f}" for accuracy in train()))
