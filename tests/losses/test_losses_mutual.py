"""The mutual loss and the distillation loss: semantics, masks, memory, and both sides of every switch."""

import math

import pytest
import torch
from torch.nn import functional

from rdml_theory.losses import (
    LearnableOrder,
    MutualLoss,
    RenyiDivLoss,
    _cohort,
    _exact,
    _quick,
    mutual_loss,
    renyi_divergence,
)

ROUNDED = 2 * torch.finfo(torch.float32).eps
TINY = torch.finfo(torch.float32).tiny


def random(*shape, seed=0, dtype=torch.float32, scale=1.0):
    return (scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).to(dtype)


def by_pairs(x, alpha, temperature=1.0):
    """Per-row losses and their gradients by the pair function, in float64."""
    x = x.double().requires_grad_()
    students = x.shape[0]
    y = x / temperature
    rows = [
        torch.stack([renyi_divergence(y[j].detach(), y[k], alpha) for j in range(students) if j != k]).mean(0)
        for k in range(students)
    ]
    value = temperature**2 * torch.stack(rows)
    return value.detach(), torch.autograd.grad(value.sum(), x)[0]


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0, 1.05, 2.0, 7.0, math.inf])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("students", [2, 3, 5])
def test_all_pairs_against_the_pair_function(alpha, temperature, students):
    for scale in (1.0, 30.0, 1000.0):
        x = random(students, 9, 6, seed=students, scale=scale)
        value, gradient = by_pairs(x, alpha, temperature)
        for stacked in (True, False):
            leaf = x.clone().requires_grad_()
            got = mutual_loss(
                leaf if stacked else list(leaf.unbind(0)), alpha, temperature=temperature, reduction="none"
            )
            assert got.shape == (students, 9)
            torch.testing.assert_close(got.double(), value, rtol=ROUNDED, atol=TINY)
            got.sum().backward()
            torch.testing.assert_close(leaf.grad.double(), gradient, rtol=0, atol=ROUNDED * temperature)


def test_peers_are_detached():
    x = random(3, 4, 5).requires_grad_()
    for k in range(3):
        (gradient,) = torch.autograd.grad(mutual_loss(x, 1.5)[k], x)
        others = [j for j in range(3) if j != k]
        assert gradient[k].abs().max() > 0
        assert gradient[others].abs().max() == 0


def test_order_one_is_vanilla_mutual_learning():
    x = random(4, 16, 10).requires_grad_()
    logs = x.log_softmax(-1)
    expected = torch.stack(
        [
            sum(functional.kl_div(logs[k], logs[j].detach().exp(), reduction="batchmean") for j in range(4) if j != k)
            / 3
            for k in range(4)
        ]
    )
    losses = mutual_loss(x, 1)
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=0)
    wanted = torch.autograd.grad(expected.sum(), x)[0]
    torch.testing.assert_close(torch.autograd.grad(losses.sum(), x)[0], wanted, rtol=0, atol=ROUNDED)


def test_distillation_equals_kl_div_loss():
    z, u = random(16, 10, seed=1).requires_grad_(), random(16, 10, seed=2)
    for reduction in ("batchmean", "sum"):
        kl = torch.nn.KLDivLoss(reduction=reduction)(z.log_softmax(-1), u.softmax(-1))
        torch.testing.assert_close(RenyiDivLoss(1.0, reduction=reduction)(z, u), kl, rtol=1e-5, atol=0)
    # the mean of KLDivLoss also divides by the number of classes
    mean = torch.nn.KLDivLoss(reduction="none")(z.log_softmax(-1), u.softmax(-1)).mean()
    torch.testing.assert_close(RenyiDivLoss(1.0, reduction="mean")(z, u) / 10, mean, rtol=1e-5, atol=0)
    kl = functional.kl_div((z / 3).log_softmax(-1), (u / 3).softmax(-1), reduction="batchmean") * 9
    loss = RenyiDivLoss(1.0, temperature=3.0)(z, u)
    torch.testing.assert_close(loss, kl, rtol=1e-5, atol=0)
    wanted = torch.autograd.grad(kl, z)[0]
    torch.testing.assert_close(torch.autograd.grad(loss, z)[0], wanted, rtol=0, atol=ROUNDED)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 3.3])
def test_distillation_trains_a_teacher_that_asks_for_it(alpha):
    z, u = random(6, 5, seed=1).requires_grad_(), random(6, 5, seed=2).requires_grad_()
    loss = RenyiDivLoss(alpha, temperature=2.0)
    both = torch.autograd.grad(loss(z, u), (z, u))
    (alone,) = torch.autograd.grad(loss(z, u.detach()), z)
    torch.testing.assert_close(both[0], alone, rtol=0, atol=ROUNDED)
    reference = 4 * renyi_divergence(u.double() / 2, z.double() / 2, alpha).mean()
    torch.testing.assert_close(both[1], torch.autograd.grad(reference, u)[0], rtol=0, atol=ROUNDED)


def test_the_gradient_near_consensus_does_not_depend_on_the_temperature_and_scales_with_alpha():
    """Near consensus D = (alpha / 2) Var: order alpha is a weight alpha on the KL, and temperature^2 is the remedy."""
    base = random(1, 8, 10)
    x = (base + 1e-3 * random(2, 8, 10, seed=1)).double()

    def gradient(alpha, **options):
        leaf = x.clone().requires_grad_()
        mutual_loss(leaf, alpha, **options).sum().backward()
        return leaf.grad

    def distance(a, b):
        return ((a - b).norm() / b.norm()).item()

    # the next order of the expansion is |t| = 1e-3 times |alpha - 1|
    assert distance(gradient(2.0), gradient(1.0, beta=2.0)) < 1e-2
    assert distance(gradient(0.5), gradient(1.0, beta=0.5)) < 1e-2
    assert distance(gradient(1.0, temperature=100.0), gradient(1.0, temperature=200.0)) < 5e-2


def test_one_student_has_a_zero_loss_with_a_zero_gradient():
    for logits in (random(1, 4, 5).requires_grad_(), [random(4, 5).requires_grad_()]):
        losses = mutual_loss(logits, 2.0)
        assert losses.tolist() == [0.0]
        losses.sum().backward()
        leaf = logits[0] if isinstance(logits, list) else logits
        assert leaf.grad.abs().max() == 0.0
    assert mutual_loss(random(1, 4, 5), 2.0, reduction="none").shape == (1, 4)


def test_reductions_and_sequences():
    x = random(3, 4, 6, 5)
    rows = mutual_loss(x, 1.7, reduction="none")
    assert rows.shape == (3, 4, 6)
    for reduction, expected in (
        ("mean", rows.mean((1, 2))),
        ("batchmean", rows.sum((1, 2)) / 4),
        ("sum", rows.sum((1, 2))),
    ):
        per_row = torch.full((4, 6), 1.7, dtype=torch.float64)
        for alpha in (1.7, per_row):
            torch.testing.assert_close(mutual_loss(x, alpha, reduction=reduction), expected)
            torch.testing.assert_close(MutualLoss(alpha, reduction=reduction)(list(x)), expected)
    torch.testing.assert_close(mutual_loss(x, 1.7), mutual_loss(x.flatten(1, 2), 1.7))
    single = RenyiDivLoss(1.7, reduction="none")(x[0], x[1])
    assert single.shape == (4, 6)
    torch.testing.assert_close(RenyiDivLoss(1.7)(x[0], x[1]), single.mean())


@pytest.mark.parametrize("shape", [(4, 5), (4, 6, 5), (2, 3, 4, 5)])
def test_batchmean_and_sum_are_those_of_kl_div(shape):
    z, u = random(*shape), random(*shape, seed=1)
    for reduction in ("batchmean", "sum"):
        expected = torch.nn.KLDivLoss(reduction=reduction)(z.log_softmax(-1), u.softmax(-1))
        torch.testing.assert_close(RenyiDivLoss(1.0, reduction=reduction, dim=-1)(z, u), expected)
        torch.testing.assert_close(mutual_loss([z, u], 1.0, reduction=reduction, dim=-1)[0], expected)
    one = RenyiDivLoss(1.0, reduction="batchmean")(z.flatten(0, -2)[0], u.flatten(0, -2)[0])
    torch.testing.assert_close(one, RenyiDivLoss(1.0, reduction="sum")(z.flatten(0, -2)[:1], u.flatten(0, -2)[:1]))


@pytest.mark.parametrize("shape", [(8,), (4, 6)])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.7, 2.0])
def test_targets_with_an_ignore_index_stand_beside_cross_entropy(shape, alpha):
    x = random(3, *shape, 5)
    targets = torch.randint(0, 5, shape, generator=torch.Generator().manual_seed(2))
    dropped = random(*shape, seed=3) > 0.5
    for index in (-100, 3):
        labels = targets.masked_fill(dropped, index)
        kept = labels != index
        expected = mutual_loss(x[:, kept], alpha)
        leaf = x.masked_fill(~kept.unsqueeze(-1), math.nan).requires_grad_()
        losses = mutual_loss(leaf, alpha, targets=labels, ignore_index=index)
        torch.testing.assert_close(losses, expected)
        losses.sum().backward()
        assert leaf.grad[:, ~kept].abs().max() == 0.0
        module = MutualLoss(alpha, ignore_index=index)
        torch.testing.assert_close(module(leaf, targets=labels), expected)
        # a mask takes more rows away
        mask = random(*shape, seed=4) > 0
        torch.testing.assert_close(module(leaf, mask, targets=labels), mutual_loss(x[:, kept & mask], alpha))
        distillation = RenyiDivLoss(alpha, ignore_index=index)
        torch.testing.assert_close(
            distillation(leaf[0], leaf[1].detach(), targets=labels), mutual_loss(x[:2, kept], alpha)[0]
        )
        # both losses average over the same positions
        rows = torch.nn.functional.cross_entropy(
            x[0].flatten(0, -2), labels.flatten(), ignore_index=index, reduction="none"
        )
        mean = torch.nn.functional.cross_entropy(x[0].flatten(0, -2), labels.flatten(), ignore_index=index)
        torch.testing.assert_close(rows.sum() / kept.sum(), mean)
        torch.testing.assert_close(losses, mutual_loss(leaf, alpha, mask=kept, reduction="sum") / kept.sum())
        batchmean = mutual_loss(leaf, alpha, targets=labels, ignore_index=index, reduction="batchmean")
        torch.testing.assert_close(batchmean, losses.detach() * kept.sum() / shape[0])


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, torch.full((4, 6), 1.5)])
def test_a_batch_without_counted_positions_gives_zero_not_nan(alpha):
    x = random(3, 4, 6, 5).requires_grad_()
    labels = torch.full((4, 6), -100)
    for reduction in ("mean", "batchmean", "sum"):
        losses = mutual_loss(x, alpha, targets=labels, reduction=reduction)
        assert losses.tolist() == [0.0, 0.0, 0.0]
        (gradient,) = torch.autograd.grad(losses.sum(), x)
        assert gradient.abs().max() == 0.0
        loss = RenyiDivLoss(alpha, reduction=reduction)(x[0], x[1].detach(), targets=labels)
        assert loss.item() == 0.0
        assert torch.autograd.grad(loss, x)[0].abs().max() == 0.0


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, math.inf])
def test_masked_rows_may_hold_anything(alpha):
    x = random(3, 4, 6, 5)
    labels = torch.randint(0, 5, (4, 6), generator=torch.Generator().manual_seed(1))
    labels[1:3, ::2] = -100
    mask = labels != -100
    dirty = x.masked_fill(~mask.unsqueeze(-1), math.nan)
    kept = mutual_loss(x[:, mask], alpha)
    for logits in (dirty.clone().requires_grad_(), list(dirty.clone().requires_grad_().unbind(0))):
        torch.testing.assert_close(mutual_loss(logits, alpha, mask=mask), kept)
        rows = mutual_loss(logits, alpha, mask=mask, reduction="none")
        assert rows[:, ~mask].abs().max() == 0
    leaf, clean = dirty.clone().requires_grad_(), x[:, mask].clone().requires_grad_()
    mutual_loss(leaf, alpha, mask=mask).sum().backward()
    mutual_loss(clean, alpha).sum().backward()
    assert leaf.grad[:, ~mask].abs().max() == 0
    torch.testing.assert_close(leaf.grad[:, mask], clean.grad, rtol=0, atol=1e-9)
    per_row = torch.full((4, 6), 1.0, dtype=torch.float64) * (alpha if alpha < math.inf else 3.0)
    if alpha < math.inf:
        torch.testing.assert_close(mutual_loss(dirty, per_row, mask=mask), kept)
    student = dirty[0].clone().requires_grad_()
    loss = RenyiDivLoss(alpha)(student, dirty[1], mask=mask)
    torch.testing.assert_close(loss, RenyiDivLoss(alpha)(x[0][mask], x[1][mask]))
    loss.backward()
    assert student.grad[~mask].abs().max() == 0
    nothing = torch.zeros(4, 6, dtype=torch.bool)
    losses = mutual_loss(leaf, alpha, mask=nothing)
    assert losses.tolist() == [0.0, 0.0, 0.0]
    assert torch.autograd.grad(losses.sum(), leaf)[0].abs().max() == 0


def test_an_empty_batch_gives_zero():
    x = random(3, 0, 5).requires_grad_()
    losses = mutual_loss(x, 2.0)
    losses.sum().backward()
    assert losses.tolist() == [0.0, 0.0, 0.0]
    assert x.grad.shape == (3, 0, 5)


def test_an_order_per_row():
    x = random(3, 4, 5).requires_grad_()
    orders = torch.tensor([0.5, 1.0, 2.0, 3.0])
    rows = mutual_loss(x, orders, reduction="none")
    for k, alpha in enumerate(orders.tolist()):
        torch.testing.assert_close(rows[:, k], mutual_loss(x[:, k : k + 1], alpha))
        single = RenyiDivLoss(orders, reduction="none")(x[0], x[1])
        torch.testing.assert_close(single[k], renyi_divergence(x[1, k], x[0, k], alpha))


def test_beta_may_weigh_students_separately():
    x = random(3, 4, 5)
    beta = torch.tensor([0.0, 1.0, 2.5])
    torch.testing.assert_close(mutual_loss(x, 2.0, beta=beta), mutual_loss(x, 2.0) * beta)
    torch.testing.assert_close(mutual_loss(x, 2.0, beta=0.3), mutual_loss(x, 2.0) * 0.3)
    rows = mutual_loss(x, 2.0, beta=beta, reduction="none")
    torch.testing.assert_close(rows, mutual_loss(x, 2.0, reduction="none") * beta[:, None])


@pytest.mark.parametrize("alpha", [0.3, 0.995, 1.0, 1.005, 1.02, 2.0, 6.0])
@pytest.mark.parametrize("near", [None, 1e-2, 1e-5])
@pytest.mark.parametrize("students", [2, 3])
def test_the_slope_in_the_order(alpha, near, students):
    base = random(1, 6, 5)
    x = random(students, 6, 5) if near is None else base + near * random(students, 6, 5, seed=1)
    order = torch.tensor(alpha, dtype=torch.float64, requires_grad=True)
    weights = torch.arange(1.0, students + 1.0, dtype=torch.float64)
    (slope,) = torch.autograd.grad(mutual_loss(x, order).double() @ weights, order)
    exact = torch.tensor(alpha, dtype=torch.float64, requires_grad=True)
    y = x.double()
    rows = [
        (k + 1) * torch.stack([renyi_divergence(y[j], y[k], exact) for j in range(students) if j != k]).mean()
        for k in range(students)
    ]
    (wanted,) = torch.autograd.grad(sum(rows), exact)
    assert slope.item() == pytest.approx(wanted.item(), rel=1e-6)
    criterion = RenyiDivLoss(order)
    (slope,) = torch.autograd.grad(criterion(x[0], x[1]), order)
    (wanted,) = torch.autograd.grad(renyi_divergence(y[1], y[0], exact).mean(), exact)
    assert slope.item() == pytest.approx(wanted.item(), rel=1e-6)


def test_mixed_types_and_strided_inputs():
    x = random(2, 6, 5)
    half = [x[0].clone().requires_grad_(), x[1].half().requires_grad_()]
    losses = mutual_loss(half, 2.0)
    assert losses.dtype == torch.float32
    losses.sum().backward()
    assert [y.grad.dtype for y in half] == [torch.float32, torch.float16]
    strided = random(5, 6, 2).permute(2, 1, 0).requires_grad_()
    torch.testing.assert_close(mutual_loss(strided, 2.0), mutual_loss(strided.contiguous(), 2.0))
    torch.autograd.grad(mutual_loss(strided, 2.0).sum(), strided)


def test_backward_twice():
    x = random(3, 4, 5).requires_grad_()
    losses = mutual_loss(x, 2.0)
    first = torch.autograd.grad(losses.sum(), x, retain_graph=True)[0]
    torch.testing.assert_close(torch.autograd.grad(losses.sum(), x)[0], first)


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("students", [2, 4])
def test_saves_one_array_per_student(stacked, students):
    rows, classes = 64, 50
    x = random(students, rows, classes).requires_grad_()
    saved = {}

    def pack(tensor):
        saved[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        mutual_loss(x if stacked else list(x.unbind(0)), 2.0)
    for view in (x, *x.unbind(0)):
        saved.pop(view.data_ptr(), None)  # the logits themselves, which take no new memory
    assert students * rows * classes <= sum(saved.values()) <= (students + 0.1) * rows * classes


class TestSwitches:
    """Both sides of every threshold agree with the pair function, which agrees with the definition."""

    @pytest.mark.parametrize("alpha", [0.3, 1.0, 1.7, 2.0, 0.5])
    def test_range_of_the_products(self, alpha):
        limit = _quick.RANGE / max(1.0, alpha, abs(1.0 - alpha))
        for factor in (0.999, 1.001):
            x = torch.zeros(3, 2, 4)
            x[0, :, 0], x[1, :, 1] = factor * limit, -factor * limit / 2
            x += random(3, 2, 4) * 1e-3
            value, gradient = by_pairs(x, alpha)
            leaf = x.clone().requires_grad_()
            rows = mutual_loss(leaf, alpha, reduction="none")
            rows.sum().backward()
            torch.testing.assert_close(rows.double(), value, rtol=ROUNDED, atol=0)
            torch.testing.assert_close(leaf.grad.double(), gradient, rtol=0, atol=ROUNDED)

    @pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0, 1.001, 1.7, 2.0, 5.0])
    def test_consensus_and_far_pairs_in_one_row(self, alpha, monkeypatch):
        calls = []
        original = _quick.near_consensus
        monkeypatch.setattr(_quick, "near_consensus", lambda *args: calls.append(1) or original(*args))
        base = random(1, 40, 6, scale=3.0)
        for k in range(2, 9):
            # the difference passes the switch somewhere; the third student is far from both
            x = torch.cat([base, base + 10.0**-k * random(1, 40, 6, seed=k), random(1, 40, 6, seed=1, scale=20.0)])
            value, _ = by_pairs(x, alpha)
            rows = mutual_loss(x, alpha, reduction="none").double()
            torch.testing.assert_close(rows, value, rtol=ROUNDED, atol=0)
            pair = mutual_loss(x[:2], alpha, reduction="none").double()
            torch.testing.assert_close(pair, by_pairs(x[:2], alpha)[0], rtol=ROUNDED, atol=0)
        # three pairs and one, of seven distances; orders below a half call it anew, with the students exchanged
        assert 0 < len(calls) <= 7 * 4 * (2 if alpha < 0.5 else 1)

    @pytest.mark.parametrize("students", [2, 3])
    @pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0, 1.7, 2.0, 4.0])
    def test_edge_of_the_differences(self, alpha, students, monkeypatch):
        """Down to log-ratios far below the rounding of the probabilities, where the exact formulas take over."""
        calls = []
        original = _cohort._by_formulas
        monkeypatch.setattr(_cohort, "_by_formulas", lambda *args: calls.append(1) or original(*args))
        scales = [2.0**-k for k in range(10, 60, 2)]
        for scale in scales:
            x = scale * random(students, 1, 6)
            value, _ = by_pairs(x, alpha)
            rows = mutual_loss(x, alpha, reduction="none").double()
            torch.testing.assert_close(rows, value, rtol=ROUNDED, atol=0)
        assert 0 < len(calls) < len(scales)

    def test_slope_next_to_one(self):
        x = random(3, 4, 5)
        for alpha in (1.0 - _quick.SLOPE_NEAR_ONE, 1.0 + _quick.SLOPE_NEAR_ONE):
            for shift in (-1e-6, 1e-6):
                order = torch.tensor(alpha + shift, dtype=torch.float64, requires_grad=True)
                (slope,) = torch.autograd.grad(mutual_loss(x, order).sum(), order)
                exact = order.detach().requires_grad_()
                y = x.double()
                total = sum(
                    renyi_divergence(y[j], y[k], exact).mean() / 2 for j in range(3) for k in range(3) if j != k
                )
                (wanted,) = torch.autograd.grad(total, exact)
                assert slope.item() == pytest.approx(wanted.item(), rel=1e-9)

    @pytest.mark.parametrize("block", [1, 7, 64, 10**6])
    def test_blocks_of_any_size(self, block, monkeypatch):
        x = random(3, 11, 5)
        near = torch.cat([x[:1], x[:1] + 1e-5 * random(1, 11, 5, seed=2)])
        expected = [mutual_loss(x, 1.7), mutual_loss(near, 1.7), mutual_loss(x.double(), 1.7)]
        monkeypatch.setattr(_cohort, "BLOCK", block)
        got = [mutual_loss(x, 1.7), mutual_loss(near, 1.7), mutual_loss(x.double(), 1.7)]
        for a, b in zip(got, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=0)


def two_classes(ratio, q=0.3):
    """Logits of p and q with log(p/q) = ratio in the first class."""
    p = q * math.exp(ratio)
    return torch.tensor([p, 1 - p]).double().log(), torch.tensor([q, 1 - q]).double().log()


@pytest.mark.parametrize("edge", [_exact.NEAR, 1.0, _exact.RATIO, 0.5])
@pytest.mark.parametrize("alpha", [0.2, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0, 6.0])
def test_thresholds_of_the_row_kernel(edge, alpha):
    """Values next to a threshold in any of the variables that carry one, on either side, against the definition."""
    from exact_losses import exact, normwise, ulps

    for variable in (1.0, abs(alpha - 1.0), alpha):
        if variable == 0.0 or edge / variable > 30:
            continue
        for factor in (1 - 1e-9, 1 + 1e-9):
            for sign in (-1.0, 1.0):
                ratio = sign * factor * edge / variable
                q = 0.3 if ratio < 1.0 else 0.3 * math.exp(-ratio)
                u, z = two_classes(ratio, q)
                target = exact(u.tolist(), z.tolist(), alpha)
                leaf = z.clone().requires_grad_()
                value = renyi_divergence(u, leaf, alpha)
                value.backward()
                assert ulps(value.item(), target.value) <= 4 * (1 + target.condition)
                assert normwise(leaf.grad.tolist(), target.student) <= 64 * (1 + abs(ratio))


@pytest.mark.parametrize("level", [1.0 - _exact.CANCEL, _exact.HUGE_SUM])
def test_thresholds_of_the_sum(level):
    """S = sum p^alpha q^(1 - alpha) on either side of the switch to its logarithm."""
    from exact_losses import exact, ulps

    alpha = 0.5 if level < 1.0 else 2.0
    u = torch.tensor([0.0, 0.0], dtype=torch.float64)

    def power_sum(x):
        target = exact(u.tolist(), [0.0, x], alpha)
        return math.exp(float(target.value) * (alpha - 1.0))

    low, high = 0.0, 100.0
    for _ in range(60):  # S moves monotonically away from one
        middle = 0.5 * (low + high)
        low, high = (middle, high) if (power_sum(middle) > level) == (level < 1.0) else (low, middle)
    for shift in (-1e-9, 1e-9):
        z = torch.tensor([0.0, low + shift], dtype=torch.float64)
        target = exact(u.tolist(), z.tolist(), alpha)
        assert ulps(renyi_divergence(u, z, alpha).item(), target.value) <= 4 * (1 + target.condition)


def test_modules_hold_their_settings():
    x = random(3, 4, 5)
    criterion = MutualLoss(2.0, beta=0.5, temperature=2.0)
    torch.testing.assert_close(criterion(x), mutual_loss(x, 2.0, beta=0.5, temperature=2.0))
    assert "beta=0.5" in repr(criterion)
    assert criterion.alpha == 2.0
    trained = MutualLoss(1.0, learn_alpha=True)
    assert isinstance(trained.order, LearnableOrder)
    assert [p.shape for p in trained.parameters()] == [torch.Size([])]
    torch.testing.assert_close(trained(x), mutual_loss(x, 1.0))
    fresh = MutualLoss(3.0, learn_alpha=True)
    fresh.load_state_dict(trained.state_dict())
    assert fresh.alpha.item() == trained.alpha.item()
    assert MutualLoss(1).alpha == 1.0
    assert "alpha=1.5" in repr(RenyiDivLoss(1.5))
