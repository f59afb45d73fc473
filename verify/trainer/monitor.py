"""The bias budget of mutual learning, measured while any loop trains: what pulls a student, and how hard.

For student k with base loss L_k and mutual loss R_k the update is θ ← θ - η(∇L_k + b_k + n_k), where b_k = β∇R_k is the
bias that the peers add and n_k the noise of the mini-batch. :class:`BiasMonitor` measures ‖∇L‖², ‖b‖², E‖n‖², the
curvature along the path and the bounds that the theory gives for them; see the page on the bias monitor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rdml_theory.losses import mutual_loss
from verify.trainer.budget import Advice, BiasRecord, Budget, PerStudent, bias_under, order_under, summarise
from verify.trainer.cohort import base_loss, wide
from verify.trainer.data import generator

__all__ = ["BiasMonitor"]

Scheduled = float | Callable[[int], float]

WORK = 3.0
"""Cost of a measured batch in training steps: one pass forward, two backward, one more forward, and what is summed."""


class BiasMonitor:
    r"""Measure the bias budget of K students in anybody's training loop.

    Parameters
    ----------
    students : sequence of Module
        The networks, called as ``student(x)`` and returning logits (B, C).
    x, y : Tensor
        The training samples and labels.
    alpha, beta : float or callable
        Order and weight of the mutual loss; callables get the step.
    batch : int
        Samples in a mini-batch of the training, for the noise.
    temperature, weight_decay, label_smoothing : float
        Of the training. Weight decay counts as a part of the base loss, (λ/2)‖θ‖².
    overhead : float
        Share of the training's work that measuring may cost: it fixes the cadence ``every`` from the number of passes,
        so that the same run is measured at the same steps on every machine.
    samples : int
        Measure on this many samples, chosen once; 0 for all.
    plain : bool
        Whether the training is plain SGD at a constant rate, for which C2 is a theorem.
    prepare : callable, optional
        From samples to what students take.
    seed : int
        Of the samples' choice and order and of the probes. The global random state is left as it is.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> students = [nn.Linear(4, 3) for _ in range(2)]
    >>> x, y = torch.randn(64, 4), torch.randint(0, 3, (64,))
    >>> optimizer = torch.optim.SGD([p for s in students for p in s.parameters()], lr=0.1)
    >>> monitor = BiasMonitor(students, x, y, alpha=2.0, batch=16, overhead=10.0, plain=True)
    >>> for step in range(20):
    ...     rows = torch.randperm(64)[:16]
    ...     logits = torch.stack([s(x[rows]) for s in students])
    ...     optimizer.zero_grad()
    ...     (base_loss(logits, y[rows]) + mutual_loss(logits, 2.0)).sum().backward()
    ...     with monitor.observe(step, rate=0.1):
    ...         optimizer.step()
    >>> budget = monitor.budget(0)
    >>> budget.base <= budget.bound, budget.stability < 2
    (True, True)
    """

    def __init__(
        self,
        students: Sequence[nn.Module],
        x: Tensor,
        y: Tensor,
        *,
        alpha: Scheduled,
        batch: int,
        beta: Scheduled = 1.0,
        temperature: float = 1.0,
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
        overhead: float = 0.2,
        samples: int = 0,
        plain: bool = False,
        prepare: Callable[[Tensor], Tensor] = lambda x: x,
        seed: int = 0,
    ) -> None:
        total = len(y)
        if not 0 < batch <= total:
            raise ValueError(f"batch = {batch}: expected a batch of the {total} samples")
        if not overhead > 0:
            raise ValueError(f"overhead = {overhead!r}: expected a positive share of the training's work")
        # Whole batches, at least two: their differences show the noise.
        count = max(min(samples or total, total) // batch, min(2, total // batch))
        rows = torch.randperm(total, generator=generator(seed, "measured"))[: count * batch].to(x.device)
        self.x, self.y = x[rows], y[rows]
        self.students = list(students)
        self.batch, self.batches, self.total = batch, count, total
        self.alpha, self.beta = alpha, beta
        self.temperature, self.weight_decay, self.label_smoothing = temperature, weight_decay, label_smoothing
        self.plain, self.prepare, self.seed = plain, prepare, seed
        self.every = max(1, math.ceil(WORK * count / overhead))
        self.records: list[BiasRecord] = []
        self._parameters = [[p for p in s.parameters() if p.requires_grad] for s in students]
        self._sizes = [sum(p.numel() for p in part) for part in self._parameters]
        self._ranges = torch.empty(0)

    # -- in the loop

    def due(self, step: int) -> bool:
        """Whether :meth:`observe` measures at this step."""
        return step % self.every == 0

    @contextmanager
    def observe(self, step: int, *, rate: float) -> Iterator[None]:
        """Measure around the update of a step, if it is due: the body moves the students once.

        Parameters
        ----------
        step : int
            From 0.
        rate : float
            η of this step.
        """
        if not self.due(step):
            yield
            return
        with self._undisturbed():
            before = self._measure(step, rate)
        start = self._weights()
        yield
        with self._undisturbed():
            self.records.append(self._finish(before, start))

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Measuring leaves running statistics and the random state as they are."""
        buffers = [b for s in self.students for b in s.buffers()]
        kept = [b.clone() for b in buffers]
        devices = [self.x.device] if self.x.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self.seed)
            yield
        with torch.no_grad():
            for buffer, value in zip(buffers, kept, strict=True):
                buffer.copy_(value)

    # -- measuring

    def _flat(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """One vector for all students."""
        shapes = [p for part in self._parameters for p in part]
        return torch.cat(
            [torch.zeros_like(p).flatten() if t is None else t.flatten() for t, p in zip(tensors, shapes, strict=True)]
        )

    def _weights(self) -> Tensor:
        return self._flat([p.detach() for part in self._parameters for p in part])

    def _dot(self, first: Tensor, second: Tensor) -> Tensor:
        """Inner products student by student, in float64."""
        return torch.stack(
            [
                (a.double() @ b.double())
                for a, b in zip(first.split(self._sizes), second.split(self._sizes), strict=True)
            ]
        )

    def _logits(self, rows: Tensor) -> Tensor:
        x = self.prepare(self.x[rows])
        return wide(torch.stack([s(x) for s in self.students]))

    def _measure(self, step: int, rate: float) -> _Before:
        alpha = float(self.alpha(step) if callable(self.alpha) else self.alpha)
        beta = float(self.beta(step) if callable(self.beta) else self.beta)
        parameters = [p for part in self._parameters for p in part]
        order = torch.randperm(len(self.y), generator=generator(self.seed, "pairs", step)).to(self.y.device)
        weights = self._weights()
        decay = self.weight_decay * weights
        sums = {
            "base": torch.zeros_like(weights, dtype=torch.float64),
            "mutual": torch.zeros_like(weights, dtype=torch.float64),
        }
        differences: dict[str, list[Tensor]] = {"base": [], "mutual": [], "total": []}
        last: dict[str, Tensor] = {}
        loss, divergence, ranges = torch.zeros(()), torch.zeros(()), []
        jacobian = torch.zeros(len(self.students))
        for number, rows in enumerate(order.split(self.batch)):
            logits = self._logits(rows)
            base = base_loss(logits, self.y[rows], self.label_smoothing)
            mutual = mutual_loss(logits, alpha, temperature=self.temperature)
            loss, divergence = loss + base.detach().double().cpu(), divergence + mutual.detach().double().cpu()
            ranges.append(self._log_ratio_ranges(logits.detach()))
            parts = {
                "base": self._flat(torch.autograd.grad(base.sum(), parameters, retain_graph=True, allow_unused=True)),
                "mutual": beta * self._flat(
                    torch.autograd.grad(mutual.sum(), parameters, retain_graph=number == 0, allow_unused=True)
                ),
            }  # fmt: skip
            if number == 0:
                jacobian = self._jacobian(logits, parameters, step)
            for name, value in parts.items():
                sums[name] += value
            parts["total"] = parts["base"] + parts["mutual"]
            if number % 2:
                for name, value in parts.items():
                    step_apart = value - last[name]
                    differences[name].append(self._dot(step_apart, step_apart).cpu() / 2)
            last = parts
        count = self.batches
        base_gradient = sums["base"] / count + decay
        bias = sums["mutual"] / count
        # Half the mean squared difference of two disjoint batches is S²/B, S² the samples' variance: a batch of B
        # of N varies about the full gradient by (1 - B/N) S²/B, the mean over the n measured by (1/n - 1/N) S².
        spread = {name: torch.stack(v) if v else torch.zeros(1, len(self.students)) for name, v in differences.items()}
        batch_share = 1 - self.batch / self.total
        sample_share = 1 / count - self.batch / self.total
        noise = batch_share * spread["total"].mean(0)
        pairs = max(len(differences["total"]), 1)
        error = batch_share * (spread["total"].std(0) / math.sqrt(pairs) if pairs > 1 else spread["total"][0])
        squares = {"base": self._dot(base_gradient, base_gradient), "mutual": self._dot(bias, bias)}
        unbiased = {name: v.cpu() - sample_share * spread[name].mean(0) for name, v in squares.items()}
        self._ranges = torch.cat(ranges, dim=-1)
        t = self.temperature
        scale = (beta * t * jacobian) ** 2
        mean_divergence = divergence / count / t**2
        hyperbolic = (
            torch.tanh(alpha * self._ranges.double() / 4).square().mean(dim=(1, 2)).cpu()
            if len(self.students) > 1
            else torch.zeros(1)
        )
        penalty = 0.5 * self.weight_decay * self._dot(weights, weights).cpu()
        record = BiasRecord(
            step=step, rate=rate, alpha=alpha, beta=beta, loss=_floats(loss / count + penalty),
            divergence=_floats(mean_divergence), base=_floats(unbiased["base"]), mutual=_floats(unbiased["mutual"]),
            inner=_floats(self._dot(base_gradient, bias)), noise=_floats(noise), noise_error=_floats(error),
            jacobian=_floats(jacobian), order_bound=_floats(2 * scale * hyperbolic),
            divergence_bound=_floats(scale * max(1.0, alpha) * mean_divergence),
            smoothness=(), martingale=(),
        )  # fmt: skip
        return _Before(record, base_gradient, bias)

    def _log_ratio_ranges(self, logits: Tensor) -> Tensor:
        """ρ of every student, peer and sample, shape (K, K - 1, B)."""
        z = logits / self.temperature
        students = len(z)
        rows = []
        for k in range(students):
            others = torch.stack([z[j] for j in range(students) if j != k]) if students > 1 else z[:0]
            gap = others - z[k]
            rows.append(gap.amax(-1) - gap.amin(-1))
        return torch.stack(rows)

    def _jacobian(self, logits: Tensor, parameters: Sequence[Tensor], step: int) -> Tensor:
        """√ E‖J‖_F² on one batch: with random signs v_x of every sample, E‖Σ_x J_xᵀ v_x‖² = Σ_x ‖J_x‖_F²."""
        signs = torch.randint(0, 2, logits.shape, generator=generator(self.seed, "signs", step)) * 2 - 1
        probe = signs.to(logits.device, logits.dtype)
        # The mutual gradient never points along the direction that shifts all logits.
        probe = probe - probe.mean(-1, keepdim=True)
        pulled = self._flat(torch.autograd.grad((logits * probe).sum(), parameters, allow_unused=True))
        return (self._dot(pulled, pulled) / logits.shape[1]).sqrt().cpu()

    @torch.no_grad()
    def _loss_now(self) -> Tensor:
        parts = [
            base_loss(self._logits(rows), self.y[rows], self.label_smoothing).double()
            for rows in torch.arange(len(self.y), device=self.y.device).split(self.batch)
        ]  # fmt: skip
        weights = self._weights()
        return torch.stack(parts).mean(0).cpu() + 0.5 * self.weight_decay * self._dot(weights, weights).cpu()

    def _finish(self, before: _Before, start: Tensor) -> BiasRecord:
        """What needs the update: the curvature along it, and the noise of its gradient."""
        move = self._weights() - start
        square = self._dot(move, move).cpu()
        loss = torch.tensor(before.record.loss, dtype=torch.float64)
        excess = self._loss_now() - loss - self._dot(before.base, move).cpu()
        resolution = 8 * torch.finfo(start.dtype).eps * loss.abs()
        smoothness = tuple(
            float(2 * e / s) if s > 0 and abs(e) > r else None
            for e, s, r in zip(excess, square, resolution, strict=True)
        )
        grads = [p.grad for part in self._parameters for p in part]
        martingale: tuple[float | None, ...] = (None,) * len(self.students)
        if all(g is not None for g in grads):
            noise = self._flat(grads) + self.weight_decay * start - before.base - before.bias
            martingale = _floats(self._dot(before.base, noise))
        return BiasRecord(**{**vars(before.record), "smoothness": smoothness, "martingale": martingale})

    # -- reading

    def budget(self, student: int, *, since: int = 0) -> Budget:
        """Averages of a student's measurements from a step on, with C2's bound and floor."""
        return summarise([r for r in self.records if r.step >= since], student, plain=self.plain)

    def advice(self, target: float, *, since: int = 0) -> Advice:
        """The greatest β, and the greatest α, that would bring C2's floor of every student under a target.

        Parameters
        ----------
        target : float
            A squared gradient norm.
        since : int
            Measurements from this step on count.
        """
        beta, alpha = math.inf, math.inf
        for k in range(len(self.students)):
            budget = self.budget(k, since=since)
            if budget.floor is None:
                return Advice(None, None, budget.reason)
            rate, last = self.records[-1].rate, self.records[-1]
            h = budget.smoothness * rate
            allowed = bias_under(target, h, budget.noise)
            if allowed is None:
                reason = f"noise alone leaves {h * budget.noise / (2 - h):.3g}: take a smaller step or a larger batch"
                return Advice(None, None, reason)
            if budget.mutual > 0:
                beta = min(beta, last.beta * math.sqrt(allowed / budget.mutual))
            scale = 2 * (last.beta * self.temperature * last.jacobian[k]) ** 2
            alpha = min(alpha, order_under(allowed, scale, self._ranges[k].double()))
        return Advice(beta, alpha)


@dataclass(frozen=True)
class _Before:
    record: BiasRecord
    base: Tensor
    bias: Tensor


def _floats(values: Tensor) -> PerStudent:
    return tuple(float(v) for v in values)
