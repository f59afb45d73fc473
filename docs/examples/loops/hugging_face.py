"""Mutual learning with the Trainer of Hugging Face's transformers: the model is the cohort, and its loss is the sum.

Run it with `python docs/examples/loops/hugging_face.py`; it needs `pip install transformers accelerate`.
"""

import tempfile

import torch
from plain_torch import digits, networks
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainingArguments

from rdml_theory.losses import MutualLoss


class Cohort(nn.Module):
    """Students that learn from each other, with the interface of a model of transformers."""

    def __init__(self, students, alpha=2.0, beta=1.0):
        super().__init__()
        self.students = nn.ModuleList(students)
        self.mutual = MutualLoss(alpha, beta=beta)

    # The arguments have the names of the data set's columns. With a catch-all **kwargs the Trainer
    # would take the loss for a sum over `num_items_in_batch`, and no longer divide it by the number
    # of accumulated batches.
    def forward(self, features, labels=None):
        # Of models of your own: student(...).logits
        logits = [student(features) for student in self.students]
        out = {"logits": torch.stack(logits, dim=1)}  # the batch comes first, as the Trainer gathers it
        if labels is not None:
            base = torch.stack([cross_entropy(z, labels) for z in logits])
            out["loss"] = (base + self.mutual(logits)).sum()
        return out


class Columns(torch.utils.data.Dataset):
    """Pairs as dictionaries, as data sets of Hugging Face come."""

    def __init__(self, pairs):
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, n):
        x, y = self.pairs[n]
        return {"features": x, "labels": y}


def train(epochs=10):
    """Train two students; the accuracy of each, held out."""
    training, held_out = digits()
    cohort = Cohort(networks())
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, num_train_epochs=epochs, per_device_train_batch_size=50,
            learning_rate=0.01, save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        Trainer(model=cohort, args=arguments, train_dataset=Columns(training)).train()

    x, y = held_out[:]
    with torch.no_grad():
        return (cohort(x)["logits"].argmax(-1) == y[:, None]).float().mean(0).tolist()


if __name__ == "__main__":
    print("held-out accuracy:", ", ".join(f"{accuracy:.3f}" for accuracy in train()))
