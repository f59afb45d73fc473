"""The bias budget of mutual learning, measured while any loop trains: what pulls a student, and how hard.

For student k with base loss L_k and mutual loss R_k the update is θ ← θ - η(∇L_k + b_k + n_k), where b_k = β∇R_k is the
bias that the peers add and n_k the noise of the mini-batch. :class:`BiasMonitor` measures ‖∇L‖², ‖b‖², E‖n‖², the
curvature along the path and the bounds that the theory gives for them; see the page on the bias monitor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from convergence import Assumptions, Recipe, largest_bias, largest_order, mutual_bias_bound, recipe
from convergence.advice import REACH
from convergence.arguments import flag, number, whole
from rdml_theory.losses import mutual_loss
from verify.monitor.budget import NEGLIGIBLE, Advice, BiasRecord, Budget, PerStudent, summarise
from verify.monitor.samples import check_samples, gathered, logits_of, taken
from verify.streams import generator

__all__ = ["BiasMonitor"]

Scheduled = float | Callable[[int], float]

BELOW_ONE = math.nextafter(1.0, 0.0)

RECORDS = 20
"""Measurements at least of a training whose length is known."""

WORK = 3.0
"""Cost of a measured batch in training steps: one pass forward, two backward, one more forward, and what is summed."""


class BiasMonitor:
    r"""Measure the bias budget of K students in anybody's training loop.

    Parameters
    ----------
    students : sequence of Module
        The networks, called as ``student(x)``, or ``student(**x)`` for a dictionary, which return logits (B, C), or an
        object, a dictionary or a tuple that holds them (``logits``, or the first entry).
    x, y : Tensor
        The training samples (N, ...), in one tensor or in a tuple, a list or a dictionary of them, and their labels: of
        shape (N,), or distributions (N, C).
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
        Whether the training is plain SGD at a constant rate, for which C2 is a theorem. The measured steps are held
        against it: where they show that it is not, no bound is given.
    prepare : callable, optional
        From samples to what students take.
    autocast : torch.dtype, optional
        That of ``torch.autocast`` in the loop, under which the students are then called here too. Gradients are then
        compared to that precision only.
    steps : int
        Of the training, if it is known: it is then measured 20 times at least, whatever that costs.
    seed : int
        Of the samples' choice and order and of the probes. The global random state is left as it is.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or out of its range, labels without a logit, weights that are not finite; and
        from :meth:`observe`, an order, weight or rate out of its range.

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
    ...     base = torch.stack([cross_entropy(z, y[rows]) for z in logits])
    ...     (base + mutual_loss(logits, 2.0)).sum().backward()
    ...     with monitor.observe(step, rate=0.1):
    ...         optimizer.step()
    >>> budget = monitor.budget(0)
    >>> budget.base <= budget.bound, budget.stability < 2
    (True, True)
    """

    def __init__(
        self,
        students: Sequence[nn.Module],
        x: Any,
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
        prepare: Callable[[Any], Any] = lambda x: x,
        autocast: torch.dtype | None = None,
        steps: int = 0,
        seed: int = 0,
    ) -> None:
        self.students = _checked_students(students)
        check_samples(x, y)
        total = len(y)
        self.batch = _integer("batch", batch, 1)
        if self.batch > total:
            raise ValueError(f"batch = {batch}: expected a batch of the {total} samples")
        share = number("overhead", overhead, least=0, strict=True)
        self.samples = _integer("samples", samples, 0)
        self.alpha, self.beta = alpha, beta
        for name in ("alpha", "beta"):
            if not callable(getattr(self, name)):
                self._at(name, 0)
        self.temperature = number("temperature", temperature, least=0, strict=True)
        self.weight_decay = number("weight_decay", weight_decay, least=0)
        self.label_smoothing = number("label_smoothing", label_smoothing, least=0, most=BELOW_ONE)
        if not callable(prepare):
            raise TypeError(f"prepare = {prepare!r}: expected a function of samples")
        self.plain, self.prepare, self.seed = flag("plain", plain), prepare, _integer("seed", seed, 0)
        if autocast not in (None, torch.bfloat16, torch.float16):
            raise TypeError(f"autocast = {autocast!r}: expected torch.bfloat16, torch.float16 or None")
        self.x, self.y, self.autocast = x, y, autocast
        self.total: float = total
        """Samples that the training draws from; infinite if that is not known."""
        if 0 < self.samples < total:
            # Whole batches, at least two: their differences show the noise.
            size = min(max(self.samples // self.batch, 2) * self.batch, total)
            rows = torch.randperm(total, generator=generator(self.seed, "measured"))[:size].to(y.device)
            self.x, self.y = taken(x, rows), y[rows]
        self.every = max(1, math.ceil(WORK * len(self.y) / self.batch / share))
        if _integer("steps", steps, 0):
            self.every = max(1, min(self.every, steps // RECORDS))
        self.records: list[BiasRecord] = []
        self._parameters = [[p for p in s.parameters() if p.requires_grad] for s in self.students]
        self._sizes = [sum(p.numel() for p in part) for part in self._parameters]
        self._ranges: np.ndarray | None = None
        with self._undisturbed(), torch.no_grad():
            self._check_students()

    @classmethod
    def of_loader(cls, students: Sequence[nn.Module], loader: Any, *, samples: int = 0, **told: Any) -> BiasMonitor:
        """A monitor of the samples in a loader's batches, pairs (x, y) or dictionaries with "labels", read once.

        Where the loader has more than was read, or draws with replacement, a part of the data is measured, so that no
        bound is given. Where it augments samples, what is measured is not quite what the training sees: leave ``plain``
        out, for no bound holds then.

        Parameters
        ----------
        students : sequence of Module
            The networks.
        loader : iterable
            Such as a ``torch.utils.data.DataLoader``.
        samples : int
            How many to read, in whole batches; 0 for all.
        **told
            As for the class; ``batch`` is the size of the loader's batches unless it is given.

        Examples
        --------
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> data = TensorDataset(torch.randn(64, 4), torch.randint(0, 3, (64,)))
        >>> monitor = BiasMonitor.of_loader([nn.Linear(4, 3), nn.Linear(4, 3)], DataLoader(data, 16), alpha=2.0)
        >>> monitor.batch, monitor.total
        (16, 64)
        """
        x, y, size, total = gathered(loader, _integer("samples", samples, 0))
        monitor = cls(students, x, y, **{"batch": size, **told})
        monitor.total = total
        return monitor

    def _check_students(self) -> None:
        """A batch shows whether the students take the samples, and whether every label has a logit."""
        x = self.prepare(taken(self.x, slice(self.batch)))
        size = len(self.y[: self.batch])
        shapes = []
        for k, student in enumerate(self.students):
            if not all(bool(p.isfinite().all()) for p in student.parameters()):
                raise ValueError(f"students[{k}] has weights that are not finite: it has diverged, or was badly loaded")
            try:
                logits = self._called(student, x)
            except Exception as error:
                words = str(error).strip().splitlines() or [type(error).__name__]
                what = f"of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"in a {type(x).__name__}"
                raise ValueError(f"students[{k}] cannot take x {what}: {words[0]}") from error
            if not isinstance(logits, Tensor) or logits.ndim != 2 or not logits.is_floating_point():
                got = f"{logits.dtype} {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
                raise TypeError(f"students[{k}] returned {got}: expected logits (B, C)")
            shapes.append(tuple(logits.shape))
        if len(set(shapes)) > 1 or shapes[0][0] != size:
            raise ValueError(f"students returned logits of shapes {shapes} for {size} samples: expected one (B, C)")
        if self.y.ndim == 2:
            if self.y.shape[1] != shapes[0][1]:
                raise ValueError(
                    f"y has rows of {self.y.shape[1]} numbers: expected {shapes[0][1]}, as there are logits"
                )
            return
        low, high = int(self.y.min()), int(self.y.max())
        if low < 0 or high >= shapes[0][1]:
            wrong = low if low < 0 else high
            raise ValueError(
                f"y holds the label {wrong}: expected 0 to {shapes[0][1] - 1}, as there are that many logits"
            )

    def _at(self, name: str, step: int) -> float:
        """Order or weight at a step."""
        source = getattr(self, name)
        value = source(step) if callable(source) else source
        if isinstance(value, Tensor) and value.numel() == 1:
            value = value.item()
        return number(name, value, least=0, infinite=name == "alpha")

    @property
    def _whole_data(self) -> bool:
        return len(self.y) == self.total

    def _parts(self, order: Tensor) -> Sequence[Tensor]:
        """The samples in parts of about a batch; in halves if batches are larger, whose difference shows the noise."""
        count = 1 if self.batch == self.total else max(len(order) // self.batch, 2)
        return order.tensor_split(count)

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

        Notes
        -----
        The body leaves the gradients it applied in the parameters: the step is compared with them.
        """
        step, rate = _integer("step", step, 0), number("rate", rate, least=0)
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
        devices = [self.y.device] if self.y.device.type == "cuda" else []
        try:
            with torch.random.fork_rng(devices=devices):
                # Not torch.manual_seed: it seeds the other devices too, and takes a millisecond where there are none.
                torch.default_generator.manual_seed(self.seed)
                for device in devices:
                    with torch.cuda.device(device):
                        torch.cuda.manual_seed(self.seed)
                yield
        finally:
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

    def _called(self, student: nn.Module, x: Any) -> Any:
        """What a student makes of samples, its logits where they can be told."""
        with torch.autocast(self.y.device.type, self.autocast, enabled=self.autocast is not None):
            return logits_of(student(**x) if isinstance(x, Mapping) else student(x))

    def _logits(self, rows: Tensor) -> Tensor:
        x = self.prepare(taken(self.x, rows))
        logits = torch.stack([self._called(s, x) for s in self.students])
        return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits

    def _base_loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """L_k without its weight decay, shape (K,)."""
        # Classes before samples: on a CPU a softmax over a short last axis costs twenty times as much.
        classes_first = logits.transpose(1, 2).contiguous()
        labels = y.expand(len(logits), -1) if y.ndim == 1 else y.T.expand(len(logits), -1, -1).to(logits.dtype)
        return cross_entropy(classes_first, labels, reduction="none", label_smoothing=self.label_smoothing).mean(1)

    def _measure(self, step: int, rate: float) -> _Before:
        alpha, beta = self._at("alpha", step), self._at("beta", step)
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
        parts_of_data = self._parts(order)
        for n, rows in enumerate(parts_of_data):
            share = len(rows) / len(order)
            logits = self._logits(rows)
            base = self._base_loss(logits, self.y[rows])
            mutual = mutual_loss(logits, alpha, temperature=self.temperature)
            loss = loss + share * base.detach().double().cpu()
            divergence = divergence + share * mutual.detach().double().cpu()
            ranges.append(self._log_ratio_ranges(logits.detach()))
            parts = {
                "base": self._flat(torch.autograd.grad(base.sum(), parameters, retain_graph=True, allow_unused=True)),
                "mutual": beta * self._flat(
                    torch.autograd.grad(mutual.sum(), parameters, retain_graph=n == 0, allow_unused=True)
                ),
            }  # fmt: skip
            if n == 0:
                jacobian = self._jacobian(logits, parameters, step)
            for name, value in parts.items():
                sums[name] += share * value
            parts["total"] = parts["base"] + parts["mutual"]
            if n % 2:
                # Means of two disjoint sets of a and b samples differ by (1/a + 1/b) S², S² the samples' variance.
                per_sample = 1 / (1 / len(rows) + 1 / len(parts_of_data[n - 1]))
                for name, value in parts.items():
                    step_apart = value - last[name]
                    differences[name].append(self._dot(step_apart, step_apart).cpu() * per_sample)
            last = parts
        base_gradient = sums["base"] + decay
        bias = sums["mutual"]
        # Drawn without replacement, a batch of B of N varies about the full gradient by (1/B - 1/N) S², the mean over
        # the n measured by (1/n - 1/N) S².
        spread = {name: torch.stack(v) if v else torch.zeros(1, len(self.students)) for name, v in differences.items()}
        batch_share = 1 / self.batch - 1 / self.total
        sample_share = 1 / len(order) - 1 / self.total
        noise = batch_share * spread["total"].mean(0)
        pairs = max(len(differences["total"]), 1)
        error = batch_share * (spread["total"].std(0) / math.sqrt(pairs) if pairs > 1 else spread["total"][0])
        squares = {"base": self._dot(base_gradient, base_gradient), "mutual": self._dot(bias, bias)}
        unbiased = {name: v.cpu() - sample_share * spread[name].mean(0) for name, v in squares.items()}
        self._ranges = torch.cat(ranges, dim=-1).double().cpu().numpy()
        # The loss has the factor τ², its gradient in the logits therefore the factor τ.
        mean_divergence = divergence / self.temperature**2
        by_order, by_divergence = self._bounds(alpha, beta, jacobian, mean_divergence)
        penalty = 0.5 * self.weight_decay * self._dot(weights, weights).cpu()
        record = BiasRecord(
            step=step, rate=rate, alpha=alpha, beta=beta, loss=_floats(loss + penalty),
            divergence=_floats(mean_divergence), base=_floats(unbiased["base"]), mutual=_floats(unbiased["mutual"]),
            inner=_floats(self._dot(base_gradient, bias)), noise=_floats(noise), noise_error=_floats(error),
            jacobian=_floats(jacobian), order_bound=by_order, divergence_bound=by_divergence,
            smoothness=(), martingale=(),
        )  # fmt: skip
        return _Before(record, base_gradient, bias)

    def _bounds(self, alpha: float, beta: float, jacobian: Tensor, divergence: Tensor) -> tuple[PerStudent, PerStudent]:
        """C4's bounds of ‖b‖², by the order and by the divergence."""
        assert self._ranges is not None
        by_order, by_divergence = [], []
        for norm, mean, ranges in zip(jacobian.tolist(), divergence.tolist(), self._ranges, strict=True):
            if not (math.isfinite(norm) and mean < math.inf and np.isfinite(ranges).all()):
                by_order.append(math.nan)
                by_divergence.append(math.nan)
                continue
            scale = {"beta": beta * self.temperature, "jacobian": norm}
            each = mutual_bias_bound(alpha, **scale, log_ratio_range=ranges)
            by_order.append(float(np.mean(each)) if ranges.size else 0.0)
            by_divergence.append(mutual_bias_bound(alpha, **scale, divergence=max(mean, 0.0)))
        return tuple(by_order), tuple(by_divergence)

    def _log_ratio_ranges(self, logits: Tensor) -> Tensor:
        """ρ of every student, peer and sample, shape (K, K - 1, B)."""
        z = logits / self.temperature
        gaps = torch.stack([torch.cat([z[:k], z[k + 1 :]]) - own for k, own in enumerate(z)])
        return gaps.amax(-1) - gaps.amin(-1)

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
        order = torch.arange(len(self.y), device=self.y.device)
        parts = [
            self._base_loss(self._logits(rows), self.y[rows]).double() * (len(rows) / len(order))
            for rows in self._parts(order)
        ]  # fmt: skip
        weights = self._weights()
        return torch.stack(parts).sum(0).cpu() + 0.5 * self.weight_decay * self._dot(weights, weights).cpu()

    def _finish(self, before: _Before, start: Tensor) -> BiasRecord:
        """What needs the update: the curvature along it, the noise of its gradient, and whether it is a plain step."""
        record = before.record
        move = self._weights().double() - start.double()
        square = self._dot(move, move).cpu()
        loss = torch.tensor(record.loss, dtype=torch.float64)
        slope = self._dot(before.base, move).cpu()
        excess = self._loss_now() - loss - slope
        resolved = (square > 0) & (excess.abs() > 8 * torch.finfo(start.dtype).eps * loss.abs())
        smoothness = tuple(float(2 * e / s) if r else None for e, s, r in zip(excess, square, resolved, strict=True))
        grads = [[p.grad for p in part] for part in self._parameters]
        seen = [any(g is not None for g in part) for part in grads]
        applied = self._flat([g for part in grads for g in part]).double() + self.weight_decay * start.double()
        noise = applied - before.base - before.bias

        def where_seen(values: Tensor) -> tuple[float | None, ...]:
            return tuple(float(v) if s else None for v, s in zip(values, seen, strict=True))

        return replace(
            record, smoothness=smoothness, decrease=_floats(-slope - torch.where(resolved, excess, 0.0)),
            martingale=where_seen(self._dot(before.base, noise)), pull=where_seen(self._dot(before.bias, noise)),
            step_noise=where_seen(self._dot(noise, noise)),
            departure=self._departure(record.rate, start, move, applied, seen),
        )  # fmt: skip

    def _departure(
        self, rate: float, start: Tensor, move: Tensor, applied: Tensor, seen: Sequence[bool]
    ) -> tuple[float | None, ...]:
        """‖Δ + ηg‖/‖ηg‖ with the gradient g that the step was given; 0 within rounding, ∞ if not finite."""

        def norm(v: Tensor) -> Tensor:
            return self._dot(v, v).sqrt().cpu()

        off, step, size = norm(move + rate * applied), norm(rate * applied), norm(start)
        out: list[float | None] = []
        for k, part in enumerate(self._parameters):
            # Rounded: the weight, ηg and, within g, the weight decay; an optimizer makes one or two roundings of each.
            allowed = 4 * max(torch.finfo(p.dtype).eps for p in part) * float(size[k] + step[k])
            if seen[k] and not step[k].isfinite():
                out.append(math.inf)
            elif not seen[k] or not allowed < step[k]:
                out.append(None)
            else:
                out.append(float(off[k] / step[k]) if not off[k] <= allowed else 0.0)
        return tuple(out)

    # -- reading

    def budget(self, student: int, *, since: int = 0) -> Budget:
        """Averages of a student's measurements from a step on, with C2's bound and floor."""
        if _integer("student", student, 0) >= len(self.students):
            raise ValueError(f"student = {student}: expected 0 to {len(self.students) - 1}")
        since = _integer("since", since, 0)
        chosen = [r for r in self.records if r.step >= since]
        return summarise(
            chosen, student, plain=self.plain, whole=self._whole_data, exact=self.batch == self.total,
            resolution=4 * torch.finfo(self.autocast).eps if self.autocast else NEGLIGIBLE,
        )  # fmt: skip

    def advice(self, target: float, *, since: int = 0) -> Advice:
        """The greatest β, and the greatest α, that would bring C2's floor of every student under a target.

        Parameters
        ----------
        target : float
            A squared gradient norm.
        since : int
            Measurements from this step on count.
        """
        target = number("target", target, least=0, strict=True)
        beta, alpha = math.inf, math.inf
        for k in range(len(self.students)):
            budget = self.budget(k, since=since)
            if budget.floor is None:
                return Advice(None, None, budget.reason)
            if self._ranges is None:
                return Advice(None, None, "the last measurement was made before this monitor: observe a step first")
            last = self.records[-1]
            known = Assumptions(smoothness=budget.smoothness, gap=0.0, noise=budget.noise, bias=0.0)
            try:
                allowed = largest_bias(known, last.rate, target)
            except ValueError as error:
                return Advice(None, None, str(error))
            if budget.mutual > 0:
                beta = min(beta, last.beta * math.sqrt(allowed / budget.mutual))
            largest = largest_order(
                known, last.rate, target, beta=last.beta * self.temperature, jacobian=last.jacobian[k],
                log_ratio_range=self._ranges[k],
            )  # fmt: skip
            alpha = min(alpha, largest)
        return Advice(beta, alpha)

    def recipe(self, risk: float, *, reach: float = REACH) -> Recipe:
        """An order and a weight for a target risk, from how far the students were apart at the last measurement.

        Parameters
        ----------
        risk : float
            The target excess risk relative to a student alone; above 1/K, and at most 1.
        reach : float
            αρ̂, see :func:`convergence.recipe`.

        Returns
        -------
        Recipe
            With ρ̂ what most students find with most of their peers on 95% of the inputs, so that a single bad peer
            among three or more good students does not count. The cap is for logits over the temperature τ: on the
            logits themselves it is τ times that.

        Raises
        ------
        ValueError
            Before the first measurement, for a single student, or as :func:`convergence.recipe`.
        """
        if self._ranges is None or self._ranges.shape[1] == 0:
            raise ValueError(
                "no two students were measured by this monitor: observe a step of at least two students first"
            )
        return recipe(students=len(self.students), risk=risk, log_ratio_range=self._ranges, reach=reach)


@dataclass(frozen=True)
class _Before:
    record: BiasRecord
    base: Tensor
    bias: Tensor


def _integer(name: str, value: Any, least: int) -> int:
    return whole(name, value, least=least, most=2**63 - 1)


def _checked_students(students: Any) -> list[nn.Module]:
    """Different networks with trainable weights, as a list."""
    if not isinstance(students, Sequence | nn.ModuleList):
        raise TypeError(f"students has type {type(students).__name__}: expected a list of networks")
    out = list(students)
    for k, student in enumerate(out):
        if not isinstance(student, nn.Module):
            raise TypeError(f"students[{k}] has type {type(student).__name__}: expected a torch.nn.Module")
        if not any(p.requires_grad for p in student.parameters()):
            raise ValueError(f"students[{k}] has no trainable weights: leave it out")
    weights = [id(p) for s in out for p in s.parameters() if p.requires_grad]
    if not out or len(set(weights)) < len(weights):
        raise ValueError("students must be at least one network, none of which shares weights with another")
    return out


def _floats(values: Tensor) -> PerStudent:
    return tuple(float(v) for v in values)
