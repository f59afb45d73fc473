"""Small cohorts in double precision whose every step is measured exactly: what the claims on networks are tested on.

Each student is a network with one hidden layer of tanh units that sees its own features of every sample. All students
are computed at once, and their parameters are the rows of one matrix (K, P).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from rdml_theory.losses import mutual_loss, renyi_divergence
from verify.trainer.cohort import base_loss

__all__ = ["Path", "SmallCohort", "follow", "generalise"]


@dataclass(frozen=True)
class SmallCohort:
    """K students on the same labels.

    Parameters
    ----------
    features : Tensor
        (K, N, d), float64.
    labels : Tensor
        (N,).
    alpha, beta : float
        Order and weight of the mutual loss.
    hidden : int
        Units of the hidden layer.
    decay : float
        Of the weights, a part of the base loss: (λ/2)‖θ‖².
    classes : int
        Of the labels.
    """

    features: Tensor
    labels: Tensor
    alpha: float = 1.0
    beta: float = 1.0
    hidden: int = 12
    decay: float = 0.0
    classes: int = 10

    @property
    def students(self) -> int:
        """K."""
        return len(self.features)

    @property
    def samples(self) -> int:
        """N."""
        return len(self.labels)

    @property
    def _shapes(self) -> tuple[tuple[int, int], ...]:
        width = self.features.shape[2]
        return (width, self.hidden), (1, self.hidden), (self.hidden, self.classes), (1, self.classes)

    def start(self, seed: int, *, identical: bool = False) -> Tensor:
        """Starting weights (K, P), each student's its own unless they are to be identical."""
        random = torch.Generator().manual_seed(seed)
        rows = []
        for _ in range(1 if identical else self.students):
            parts = [
                torch.randn(*shape, generator=random, dtype=torch.float64) * (shape[0] ** -0.5 if shape[0] > 1 else 0.0)
                for shape in self._shapes
            ]
            rows.append(torch.cat([p.flatten() for p in parts]))
        return torch.stack(rows).expand(self.students, -1).clone()

    def logits(self, weights: Tensor, rows: Tensor | None = None) -> Tensor:
        """(K, B, C) on all samples or on some."""
        x = self.features if rows is None else self.features[:, rows]
        first, shift, last, offset = self._parts(weights)
        return torch.baddbmm(offset, torch.tanh(torch.baddbmm(shift, x, first)), last)

    def _parts(self, weights: Tensor) -> list[Tensor]:
        parts = weights.split([a * b for a, b in self._shapes], dim=1)
        return [p.view(-1, *s) for p, s in zip(parts, self._shapes, strict=True)]

    def base(self, weights: Tensor, rows: Tensor | None = None) -> Tensor:
        """L_k, shape (K,)."""
        return self._base(self.logits(weights, rows), rows) + self._penalty(weights)

    def _base(self, logits: Tensor, rows: Tensor | None) -> Tensor:
        y = self.labels if rows is None else self.labels[rows]
        losses = cross_entropy(logits.flatten(0, 1), y.repeat(self.students), reduction="none")
        return losses.view(self.students, -1).mean(1)

    def _penalty(self, weights: Tensor) -> Tensor:
        return 0.5 * self.decay * weights.square().sum(1)

    def gradients(self, weights: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """L_k, R_k, ∇L_k and ∇R_k, shapes (K,), (K,), (K, P), (K, P).

        The gradient in the logits is that of the losses; from there on it is written out, at half of autograd's cost.
        """
        x = self.features if rows is None else self.features[:, rows]
        y = (self.labels if rows is None else self.labels[rows]).expand(self.students, -1)[..., None]
        first, shift, last, offset = self._parts(weights)
        hidden = torch.tanh(torch.baddbmm(shift, x, first))
        logits = torch.baddbmm(offset, hidden, last)
        logs = logits.log_softmax(-1)
        base = -logs.gather(-1, y).mean((1, 2)) + self._penalty(weights)
        pulls = [logs.exp().scatter_add(-1, y, -torch.ones_like(y, dtype=logs.dtype)) / y.shape[1]]
        mutual = torch.zeros(self.students, dtype=logits.dtype)
        if self.students > 1:
            single = logits.float().requires_grad_()
            loss = mutual_loss(single, self.alpha)
            pulls.append(torch.autograd.grad(loss.sum(), single)[0].double())
            mutual = loss.detach().double()
        # Both gradients at once: their vectors side by side.
        inner = torch.cat([torch.bmm(v, last.mT).mul_(1 - hidden**2) for v in pulls], -1)
        outer = torch.cat(pulls, -1)
        parts = (
            torch.bmm(x.mT, inner),
            inner.sum(1, keepdim=True),
            torch.bmm(hidden.mT, outer),
            outer.sum(1, keepdim=True),
        )
        both = [
            torch.cat([p.flatten(1) for p in ps], 1)
            for ps in zip(*(p.chunk(len(pulls), -1) for p in parts), strict=True)
        ]
        gradient = both[0] + self.decay * weights
        return base, mutual, gradient, both[1] if self.students > 1 else torch.zeros_like(gradient)

    def curvature(self, weights: Tensor, move: Tensor, nodes: int = 24) -> Tensor:
        """Λ_t = 2∫(1-s) <Δ, ∇²L(θ + sΔ) Δ> ds / ‖Δ‖² over [0, 1], from Hessians alone (Gauss-Legendre), shape (K,).

        At the edge of stability steps are long: 16 nodes leave 1e-6 of the greatest change of a loss, 24 leave 1e-9.
        """
        places, weighing = np.polynomial.legendre.leggauss(nodes)
        total = torch.zeros(self.students, dtype=weights.dtype)
        for s, w in zip((places + 1) / 2, weighing / 2, strict=True):
            theta = (weights + s * move).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.base(theta).sum(), theta, create_graph=True)
            (product,) = torch.autograd.grad((gradient * move).sum(), theta)
            total += 2 * w * (1 - s) * (product * move).sum(1)
        return total / move.square().sum(1)

    def sample_gradients(self, weights: Tensor) -> Tensor:
        """∇(L_k + βR_k) of every sample alone, without the weight decay, shape (N, K, P)."""

        def one(theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
            logits = SmallCohort(x, y, self.alpha, self.beta, self.hidden, classes=self.classes).logits(theta)
            base = cross_entropy(logits.flatten(0, 1), y.repeat(self.students), reduction="sum")
            return base + self.beta * mutual_loss(logits, self.alpha).sum()

        rows = (self.features.transpose(0, 1)[:, :, None], self.labels[:, None])
        return torch.func.vmap(torch.func.grad(one), in_dims=(None, 0, 0))(weights, *rows)

    def jacobian_norms(self, weights: Tensor) -> Tensor:
        """The squared spectral norm of ∂z/∂θ of every student and sample, shape (K, N), from its Gram matrix (C, C)."""
        first, shift, last, _ = self._parts(weights)
        hidden = torch.tanh(torch.baddbmm(shift, self.features, first))
        # ∂z_c/∂(last)_jc = h_j; ∂z_c/∂(first)_ij = x_i (1 - h_j²)(last)_jc; the shifts are weights of a feature 1.
        inner = (1 - hidden**2)[..., None] * last[:, None]
        gram = torch.einsum("knjc,knje->knce", inner, inner) * (1 + self.features.square().sum(-1))[..., None, None]
        gram = gram + torch.eye(self.classes, dtype=gram.dtype) * (1 + hidden.square().sum(-1))[..., None, None]
        return torch.linalg.eigvalsh(gram)[..., -1]

    def joint(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Φ = Σ L_k + β/(K-1) Σ_{j<k} E D_½(p_j‖p_k) and its gradient (K, P), with no peer held constant."""
        theta = weights.detach().requires_grad_()
        logits = self.logits(theta)
        total = self._base(logits, None).sum() + self._penalty(theta).sum()
        for k in range(self.students):
            for j in range(k):
                pair = renyi_divergence(logits[j].float(), logits[k].float(), 0.5)
                total = total + self.beta / (self.students - 1) * pair.mean()
        (gradient,) = torch.autograd.grad(total, theta)
        return total.detach(), gradient


@dataclass
class Path:
    """What was measured at every step t: arrays (T, K), before the step; ``loss`` has the value after the last, too.

    ``noise`` is ‖n_t‖² of the actual noise, ``drift`` <∇L, n>, ``pull`` <b, n>, ``inner`` <∇L, b>, ``smoothness`` Λ_t;
    ``points`` holds the weights of the steps asked for.
    """

    step: float
    weights: Tensor
    loss: Tensor
    mutual: Tensor
    base: Tensor
    bias: Tensor
    inner: Tensor
    noise: Tensor
    drift: Tensor
    pull: Tensor
    smoothness: Tensor
    points: dict[int, Tensor]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Networks this small run several times slower on two threads than on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@_one_thread()
def follow(
    cohort: SmallCohort,
    weights: Tensor,
    *,
    step: float,
    steps: int,
    batch: int | None = None,
    seed: int = 0,
    keep: Collection[int] = (),
    progress: Callable[[float], None] = lambda fraction: None,
) -> Path:
    """Train by plain gradient descent, or by mini-batches drawn independently of each other, and measure every step."""
    random = torch.Generator().manual_seed(seed)
    rows: dict[str, list[Tensor]] = {
        name: [] for name in ("loss", "mutual", "base", "bias", "inner", "noise", "drift", "pull", "smoothness")
    }

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(1)

    points: dict[int, Tensor] = {}
    for number in range(steps):
        if number in keep:
            points[number] = weights
        loss, mutual, gradient, pull = cohort.gradients(weights)
        bias = cohort.beta * pull
        noise = torch.zeros_like(gradient)
        if batch is not None:
            chosen = torch.randperm(cohort.samples, generator=random)[:batch]
            _, _, part, part_pull = cohort.gradients(weights, chosen)
            noise = part + cohort.beta * part_pull - gradient - bias
        move = -step * (gradient + bias + noise)
        weights = weights + move
        if rows["loss"]:
            _curvature(rows, loss)
        rows["loss"].append(loss)
        measured = {
            "mutual": mutual, "base": dot(gradient, gradient), "bias": dot(bias, bias), "inner": dot(gradient, bias),
            "noise": dot(noise, noise), "drift": dot(gradient, noise), "pull": dot(bias, noise),
            "smoothness": torch.stack([dot(gradient, move), dot(move, move)]),
        }  # fmt: skip
        for name, value in measured.items():
            rows[name].append(value)
        if number % 50 == 0:
            progress(number / steps)
    with torch.no_grad():
        last = cohort.base(weights)
    _curvature(rows, last)
    rows["loss"].append(last)
    return Path(step, weights, **{name: torch.stack(values) for name, values in rows.items()}, points=points)


def _curvature(rows: dict[str, list[Tensor]], loss: Tensor) -> None:
    """Λ_t of the step that led to this loss."""
    slope, square = rows["smoothness"][-1]
    rows["smoothness"][-1] = 2 * (loss - rows["loss"][-1] - slope) / square


@_one_thread()
def generalise(
    cohort: SmallCohort,
    held_out: tuple[Tensor, Tensor],
    *,
    step: float,
    steps: int,
    batch: int,
    seeds: int,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Train a cohort from many seeds at once, in float32, and score it on samples (K, N', d) with labels (N',).

    A seed's start and batches do not depend on order and weight, so that two objectives are paired. Samples are
    shuffled once an epoch.

    Returns
    -------
    tuple of Tensor
        Accuracy and NLL in nats, the means over the students, shape (seeds,) each.
    """
    random = torch.Generator().manual_seed(seed)
    count, samples = cohort.students, cohort.samples
    features = cohort.features.float()
    weights = torch.stack([cohort.start(int(n)) for n in torch.randint(2**62, (seeds,), generator=random)], 1)
    weights = weights.flatten(0, 1).float()
    per_epoch = samples // batch
    order = torch.empty(0)
    for number in range(steps):
        at = number % per_epoch
        if at == 0:
            order = torch.rand(seeds, samples, generator=random).argsort(1)
        rows = order[:, at * batch : (at + 1) * batch]
        theta = weights.requires_grad_()
        x = features[:, rows].flatten(0, 1)
        # All seeds are one batch of the losses, which are means over it.
        logits = replace(cohort, features=x).logits(theta).view(count, seeds * batch, -1)
        losses = base_loss(logits, cohort.labels[rows].flatten())
        if cohort.beta:
            losses = losses + mutual_loss(logits, cohort.alpha, beta=cohort.beta)
        (gradient,) = torch.autograd.grad(seeds * losses.sum(), theta)
        weights = theta.detach() - step * (gradient + cohort.decay * theta.detach())
    x, labels = held_out
    accuracy, nll = [], []
    for own in weights.view(count, seeds, -1).unbind(1):
        logits = replace(cohort, features=x.float()).logits(own)
        accuracy.append((logits.argmax(-1) == labels).double().mean())
        nll.append(base_loss(logits, labels).double().mean())
    return torch.stack(accuracy), torch.stack(nll)
