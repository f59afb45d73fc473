"""Two students: every order on both sides of each switch."""

import math
import threading

import pytest
import torch

from rdml_theory.losses import RenyiDivLoss, _cohort, _quick, mutual_loss, renyi_divergence

ORDERS = [0.3, 0.5, 1.0, 1.0001, 1.5, 2.0, 7.0]
HALF_UNIT = torch.finfo(torch.float32).eps / 2


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def losses_and_gradients(logits, alpha, **settings):
    leaves = [x.detach().clone().requires_grad_() for x in logits]
    rows = mutual_loss(leaves, alpha, reduction="none", **settings)
    rows.sum().backward()
    return rows.detach(), torch.stack([x.grad for x in leaves])


def by_pairs(logits, alpha, temperature=1.0):
    """The same in float64, by the pair function."""
    x = torch.stack([x.detach() for x in logits]).double().requires_grad_()
    y = x / temperature
    peers = [torch.cat([y[:k], y[k + 1 :]]).detach() for k in range(len(y))]
    rows = torch.stack([renyi_divergence(p, q.expand_as(p), alpha).mean(0) for p, q in zip(peers, y, strict=True)])
    rows = temperature**2 * rows
    return rows.detach(), torch.autograd.grad(rows.sum(), x)[0]


def assert_right(logits, alpha, temperature=1.0):
    rows, gradient = losses_and_gradients(logits, alpha, temperature=temperature)
    value, exact = by_pairs(logits, alpha, temperature)
    # half a unit for the rounding, half a unit for a value next to consensus
    torch.testing.assert_close(rows.double(), value, rtol=2 * HALF_UNIT, atol=0)
    torch.testing.assert_close(gradient.double(), exact, rtol=0, atol=HALF_UNIT * max(1.0, temperature))
    one, teacher = logits[0].detach().clone().requires_grad_(), logits[1].detach()
    alone = RenyiDivLoss(alpha, temperature=temperature, reduction="none")(one, teacher)
    alone.sum().backward()
    assert torch.equal(alone, rows[0])
    assert torch.equal(one.grad, gradient[0])


@pytest.mark.parametrize("alpha", ORDERS)
@pytest.mark.parametrize("edge", [False, True])
@pytest.mark.parametrize("side", [0.999, 1.001])
def test_both_sides_of_the_switch_on_the_size_of_the_logits(alpha, edge, side):
    size = _quick.RANGE / 2.0 / max(1.0, alpha, abs(1.0 - alpha)) if edge else 9.0
    x = random(2, 6, 5)
    x[0, 0, 0] = size * side  # the largest in absolute value, in a row of which the students think differently
    x[1, 0, 1] = -0.9 * size * side  # less far: with wider logits the exact formulas would serve
    assert x.abs().max() == x[0, 0, 0]
    assert_right(x, alpha)
    assert_right(x * 3.0, alpha, temperature=3.0)


@pytest.mark.parametrize("alpha", ORDERS)
@pytest.mark.parametrize("size", [3.0, 20.0, 40.0, 70.0, 250.0])
def test_any_size_of_the_logits(alpha, size):
    x = random(2, 6, 5)
    x[:, 0] = 0.0
    x[:, 0, :2] = torch.tensor([[size, -size], [-size, size]])  # students that contradict each other
    assert_right(x, alpha)
    assert_right(x + 900.0, alpha)


@pytest.mark.parametrize("alpha", ORDERS)
@pytest.mark.parametrize(("gap", "near"), [(0.0, 1e-11), (10.0, 1e-4), (30.0, 1e-4), (60.0, 1e-2)])
def test_consensus_of_students_that_are_sure(alpha, gap, near):
    # what they disagree on has so little mass that the softmaxes differ by less than their rounding
    x = torch.tensor([[gap, 0.0], [0.0, 0.3], [gap, 0.1]]) * torch.tensor([[[1.0]], [[1.0 + near]]])
    x[1] += torch.tensor([0.0, near])
    assert_right(x, alpha)


@pytest.mark.parametrize("alpha", [1e-3, 1e-9, 1e-13, 1e-20])
def test_the_divergence_is_proportional_to_small_orders(alpha):
    z = random(6, 5)
    assert_right([z, z + 1e-3 * random(6, 5, seed=1)], alpha)


@pytest.mark.parametrize("alpha", ORDERS)
@pytest.mark.parametrize("near", [0.0, 1e-7, 1e-5, 1e-4, 1e-3, 1e-2, 1.0])
def test_every_distance_from_consensus(alpha, near):
    z = random(40, 10)
    assert_right([z, z + near * random(40, 10, seed=1)], alpha)


@pytest.mark.parametrize("alpha", ORDERS)
@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_of_any_size(alpha, block, monkeypatch):
    x = random(2, 11, 5)
    x[1, 3] = x[0, 3] + 1e-5
    expected = losses_and_gradients(x, alpha)
    monkeypatch.setattr(_cohort, "BLOCK", block)
    got = losses_and_gradients(x, alpha)
    assert torch.equal(got[0], expected[0])
    assert torch.equal(got[1], expected[1])


@pytest.mark.parametrize("alpha", ORDERS)
def test_any_weight(alpha):
    x = random(2, 4, 5)
    rows, gradient = losses_and_gradients(x, alpha)
    for beta in (0.0, 1e-320, 1e-200, 1e-20, 0.7, 1e20, 1e35):
        scaled = losses_and_gradients(x, alpha, beta=beta)
        torch.testing.assert_close(scaled[0], rows * beta, rtol=2e-7, atol=0)
        torch.testing.assert_close(scaled[1], gradient * beta, rtol=2e-7, atol=1e-7 * beta)


@pytest.mark.parametrize("alpha", [*ORDERS, 0.9, 1000.0])
@pytest.mark.parametrize("beta", [1e-97, 1e-50, 1e-39, 1e35])
def test_any_weight_of_logits_at_the_edge_of_the_range(alpha, beta):
    size = 0.49 * (_quick.RANGE / max(1.0, alpha, abs(1.0 - alpha)) - math.log(3))
    x = size * torch.tensor([[[1.0, -1.0, -1.0]], [[-1.0, 1.0, -1.0]]])
    x = x.requires_grad_()
    losses = mutual_loss(x, alpha, beta=beta)
    losses.sum().backward()
    rows, gradient = by_pairs(x, alpha)
    torch.testing.assert_close(losses.double(), (rows.squeeze(1) * beta).float().double(), rtol=1e-6, atol=1e-45)
    torch.testing.assert_close(x.grad.double(), gradient * beta, rtol=1e-6, atol=1e-6 * beta + 1e-45)


def test_mixed_types_and_numbers_that_do_not_fit():
    x = random(2, 4, 5)
    rows, gradient = losses_and_gradients([x[0].bfloat16(), x[1]], 2.0)
    value, exact = by_pairs([x[0].bfloat16().float(), x[1]], 2.0)
    torch.testing.assert_close(rows.double(), value, rtol=2 * HALF_UNIT, atol=0)
    torch.testing.assert_close(gradient.double(), exact, rtol=0.0, atol=2**-8)
    x[1, 2, 3] = torch.nan
    rows, gradient = losses_and_gradients(x, 2.0)
    assert rows[:, [0, 1, 3]].isfinite().all()
    assert rows[:, 2].isnan().all()
    assert gradient[:, [0, 1, 3]].isfinite().all()


def test_probabilities_beside_logits_are_told():
    x = random(2, 4, 5)
    with pytest.raises(
        ValueError, match=r"logits\[1\] has non-negative rows that all sum to 1, as probabilities do: expected logits"
    ):
        mutual_loss([x[0], x[1].softmax(-1)], 2.0)
    with pytest.raises(ValueError, match="teacher_logits has non-negative rows"):
        RenyiDivLoss(2.0)(x[0], x[1].softmax(-1))


@pytest.mark.parametrize("alpha", ORDERS)
def test_results_do_not_depend_on_earlier_calls(alpha):
    x, other = random(2, 6, 5), random(2, 6, 5, seed=1)
    losses_and_gradients(random(2, 1, 1), alpha)  # so that the next call needs new buffers
    with torch.inference_mode():
        mutual_loss(other, alpha)
    rows, gradient = losses_and_gradients(x, alpha)
    kept = rows.clone(), gradient.clone()
    for shape in ((2, 6, 5), (2, 3, 7), (2, 6, 5)):
        losses_and_gradients(random(*shape, seed=2), alpha)
    again = losses_and_gradients(x, alpha)
    # what was returned is not memory that later calls write to
    for first, then, now in zip(kept, (rows, gradient), again, strict=True):
        assert torch.equal(first, then)
        assert torch.equal(first, now)


def test_gradients_wait_while_other_losses_are_computed():
    first, second = (random(2, 6, 5, seed=s).requires_grad_() for s in (0, 1))
    losses = [mutual_loss(x, 2.0).sum() for x in (first, second)]
    for loss in losses:
        loss.backward()
    alone = random(2, 6, 5).requires_grad_()
    mutual_loss(alone, 2.0).sum().backward()
    assert torch.equal(first.grad, alone.grad)


def test_threads_have_buffers_of_their_own():
    expected = {seed: losses_and_gradients(random(2, 50, 20, seed=seed), 2.0) for seed in range(4)}
    wrong = []
    barrier = threading.Barrier(4)

    def work(seed):
        barrier.wait()
        for _ in range(50):
            got = losses_and_gradients(random(2, 50, 20, seed=seed), 2.0)
            if not all(map(torch.equal, got, expected[seed])):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in expected]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.parametrize("offset", [20.0, 90.0, 290.0])
@pytest.mark.parametrize("alpha", [1e-3, 0.3, 2.0])
@pytest.mark.parametrize("students", [2, 3])
def test_what_all_logits_have_in_common_costs_no_digits(offset, alpha, students):
    logits = [offset + 1e-4 * random(64, 5, seed=k) for k in range(students)]
    _, gradient = losses_and_gradients(logits, alpha)
    _, exact = by_pairs(logits, alpha)
    assert (gradient.double() - exact).abs().max() <= 1.1 * HALF_UNIT * exact.abs().max()
