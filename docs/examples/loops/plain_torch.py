"""Mutual learning in a loop of plain torch: two different students, a weight that rises, accuracy on held-out samples.

Run it with `python docs/examples/loops/plain_torch.py`; it takes a few seconds.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset, random_split

from rdml_theory.losses import MutualLoss


def digits():
    """Handwritten digits, 8 x 8, as tensors: samples to train on, and samples held out."""
    data = load_digits()
    whole = TensorDataset(torch.tensor(data.data / 16, dtype=torch.float32), torch.tensor(data.target))
    return random_split(whole, [1500, 297], generator=torch.Generator().manual_seed(0))


def networks():
    """Two students; they need not be alike, as long as they have the same classes."""
    torch.manual_seed(0)
    return [
        nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
        nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10)),
    ]


def train(epochs=10, warmup=3, alpha=2.0, beta=1.0):
    """Train two students that learn from each other; the accuracy of each, held out."""
    students = networks()
    training, held_out = digits()
    batches = DataLoader(training, batch_size=50, shuffle=True, drop_last=True)
    optimizer = torch.optim.SGD([p for s in students for p in s.parameters()], lr=0.1, momentum=0.9)
    mutual = MutualLoss(alpha, beta=beta)

    for epoch in range(epochs):
        weight = min(1.0, epoch / warmup)  # students that know nothing yet have nothing to tell
        for x, y in batches:
            logits = [student(x) for student in students]
            base = torch.stack([cross_entropy(z, y) for z in logits])
            loss = base + weight * mutual(logits)  # one loss for each student
            optimizer.zero_grad()
            loss.sum().backward()  # peers are detached: the sum trains each student on its own loss
            optimizer.step()

    x, y = held_out[:]
    with torch.no_grad():
        return [(student(x).argmax(-1) == y).float().mean().item() for student in students]


if __name__ == "__main__":
    print("held-out accuracy:", ", ".join(f"{accuracy:.3f}" for accuracy in train()))
