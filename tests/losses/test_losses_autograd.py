"""Derivatives of any order, transforms, compilation and autocast."""

import math
from functools import partial

import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import grad, hessian, jacfwd, jvp, vmap
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

from rdml_theory.losses import LearnableOrder, MutualLoss, RenyiDivLoss, mutual_loss, renyi_divergence

ORDERS = (0.0, 0.3, 0.5, 1.0, 1.001, 2.0, 5.0, math.inf)
pytestmark = [
    # torch imports its TorchScript decompositions with the first dual number
    pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning"),
    # and torch.compile instantiates any autograd function that it traces
    pytest.mark.filterwarnings("ignore:.*should not be instantiated.*:DeprecationWarning"),
]
DOUBLE = torch.float64
# second derivatives of moderate cases: some hundred roundings
TOLERANCE = 256 * torch.finfo(DOUBLE).eps


def random(*shape, seed, dtype=DOUBLE):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def covariance(w):
    return torch.diag(w) - w[:, None] * w


@pytest.mark.parametrize("alpha", ORDERS)
@pytest.mark.parametrize("spread", [1.0, 1e-3])
def test_gradcheck_and_gradgradcheck(alpha, spread):
    student = random(2, 3, seed=1)
    teacher = student + spread * random(2, 3, seed=2)
    order = torch.tensor(alpha, dtype=DOUBLE, requires_grad=0.0 < alpha < math.inf)
    inputs = (teacher.requires_grad_(), student.requires_grad_(), order)
    # at infinity the escort jumps where the largest ratio changes: step less than the gap
    eps = 1e-6 if alpha < math.inf else 1e-7
    tolerances = {"eps": eps, "atol": 1e-5 if alpha < math.inf else 1e-4}
    assert gradcheck(renyi_divergence, inputs, check_forward_ad=True, **tolerances)
    assert gradgradcheck(renyi_divergence, inputs, **tolerances)


def test_gradcheck_of_an_order_per_row_and_broadcasting():
    order = torch.tensor([0.4, 1.0, 3.0], dtype=DOUBLE, requires_grad=True)
    inputs = (random(1, 4, seed=1).requires_grad_(), random(2, 3, 4, seed=2).requires_grad_(), order)
    assert gradcheck(renyi_divergence, inputs)
    assert gradgradcheck(renyi_divergence, inputs)
    rows = [renyi_divergence(inputs[0][0], inputs[1][:, k], order[k]) for k in range(3)]
    torch.testing.assert_close(renyi_divergence(*inputs), torch.stack(rows, 1), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("alpha", ORDERS)
def test_hessian_blocks_in_closed_form(alpha):
    """d2D/dz2 = Cov_q - (1 - alpha) Cov_w and d2D/du dz = -alpha Cov_w, also at consensus."""
    for spread in (1.0, 1e-6, 0.0):
        if spread < 1.0 and alpha == math.inf:
            continue  # the largest ratio ties
        z = random(5, seed=3)
        u = z + spread * random(5, seed=4)
        q, p = z.softmax(-1), u.softmax(-1)
        if alpha == math.inf:
            student, mixed = covariance(q), torch.zeros(5, 5, dtype=DOUBLE)
        else:
            w = (alpha * p.log() + (1 - alpha) * q.log()).softmax(-1)
            student, mixed = covariance(q) - (1 - alpha) * covariance(w), -alpha * covariance(w)
        bound = TOLERANCE * max(1.0, alpha if alpha < math.inf else 1.0)
        got = hessian(lambda z, u=u: renyi_divergence(u, z, alpha))(z)
        torch.testing.assert_close(got, student, rtol=0, atol=bound)
        got = jacfwd(lambda u, z=z: grad(lambda z: renyi_divergence(u, z, alpha))(z))(u)
        torch.testing.assert_close(got, mixed, rtol=0, atol=bound)


def test_derivatives_in_the_order_pass_through_one():
    u, z = random(6, seed=5), random(6, seed=6)

    def value(a):
        return renyi_divergence(u, z, a)

    orders = [torch.tensor(1.0 + x, dtype=DOUBLE) for x in (-1e-6, 0.0, 1e-6)]
    first = [grad(value)(a).item() for a in orders]
    second = [grad(grad(value))(a).item() for a in orders]
    p = u.softmax(-1)
    t = u.log_softmax(-1) - z.log_softmax(-1)
    centred = t - (p * t).sum()
    assert first[1] == pytest.approx((p * centred**2).sum().item() / 2, rel=TOLERANCE)
    # the second derivative at one is a third of the third cumulant
    assert second[1] == pytest.approx((p * centred**3).sum().item() / 3, rel=1e-12)
    for values in (first, second):
        assert values[0] == pytest.approx(values[1], rel=1e-4)
        assert values[2] == pytest.approx(values[1], rel=1e-4)
    assert (first[2] - first[0]) / 2e-6 == pytest.approx(second[1], rel=1e-6)


def test_vmap_and_jvp():
    u, z, a = random(7, 4, seed=1), random(7, 4, seed=2), torch.linspace(0.0, 3.0, 7, dtype=DOUBLE)
    expected = renyi_divergence(u, z, a)
    torch.testing.assert_close(vmap(renyi_divergence)(u, z, a), expected, rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(vmap(renyi_divergence, (1, None, None))(u.T, z[0], 2.0), renyi_divergence(u, z[0], 2.0))
    torch.testing.assert_close(
        vmap(vmap(renyi_divergence, (None, 0, None)), (0, None, 0))(u, z, a),
        renyi_divergence(u[:, None], z, a[:, None]),
    )
    per_row = vmap(grad(renyi_divergence, argnums=(0, 1, 2)))(u, z, a)
    leaves = [x.clone().requires_grad_() for x in (u, z, a)]
    for got, wanted in zip(per_row, torch.autograd.grad(renyi_divergence(*leaves).sum(), leaves), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=TOLERANCE)
    tangents = (random(7, 4, seed=3), random(7, 4, seed=4), random(7, seed=5))
    _, tangent = jvp(renyi_divergence, (u, z, a), tangents)
    wanted = (per_row[0] * tangents[0]).sum(-1) + (per_row[1] * tangents[1]).sum(-1) + per_row[2] * tangents[2]
    torch.testing.assert_close(tangent, wanted, rtol=0, atol=TOLERANCE)
    with forward_ad.dual_level():
        dual = renyi_divergence(forward_ad.make_dual(u, tangents[0]), z, 2.0)
        got = forward_ad.unpack_dual(dual).tangent
    wanted = (vmap(grad(renyi_divergence), (0, 0, None))(u, z, 2.0) * tangents[0]).sum(-1)
    torch.testing.assert_close(got, wanted, rtol=0, atol=TOLERANCE)


def test_transforms_of_the_mutual_loss():
    x = random(3, 5, 4, seed=7)
    leaf = x.clone().requires_grad_()
    mutual_loss(leaf, 0.7).sum().backward()
    torch.testing.assert_close(grad(lambda x: mutual_loss(x, 0.7).sum())(x), leaf.grad, rtol=0, atol=TOLERANCE)
    batched = vmap(lambda x: mutual_loss(x, 0.7, temperature=2.0), in_dims=2, out_dims=1)(x.unsqueeze(3).mT)
    single = [mutual_loss(x[..., k : k + 1].expand(3, 5, 2), 0.7, temperature=2.0) for k in range(1)]
    assert batched.shape[0] == 3
    assert single[0].shape == (3,)


@pytest.mark.parametrize("alpha", [0.5, 0.7])
def test_forward_mode_of_the_losses(alpha):
    x, tangent = random(3, 5, 4, seed=7), random(3, 5, 4, seed=8)
    distil = RenyiDivLoss(alpha)
    for loss in (lambda x: mutual_loss(x, alpha).sum(), lambda x: distil(x[0], x[1].detach())):
        leaf = x.clone().requires_grad_()
        loss(leaf).backward()
        with forward_ad.dual_level():
            got = forward_ad.unpack_dual(loss(forward_ad.make_dual(x, tangent))).tangent
        torch.testing.assert_close(got, (leaf.grad * tangent).sum(), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_the_class_axis_may_be_anywhere(axis):
    u, z = random(3, 4, 5, seed=1), random(3, 4, 5, seed=2)
    moved = renyi_divergence(u.movedim(-1, axis), z.movedim(-1, axis), 1.5, dim=axis)
    torch.testing.assert_close(moved, renyi_divergence(u, z, 1.5), rtol=0, atol=TOLERANCE)


GENERATED = pytest.param("inductor", marks=pytest.mark.slow)  # its C++ takes a quarter of a minute to compile


@pytest.mark.parametrize("backend", ["aot_eager", GENERATED])
def test_an_order_that_is_a_tensor_compiles_without_graph_breaks(backend):
    """The code that is generated for it is that of the eager formulas, which takes long."""
    alpha = torch.tensor(1.5, dtype=DOUBLE)
    x = random(2, 6, 5, seed=1, dtype=torch.float32).requires_grad_()

    def function(x):
        return renyi_divergence(x[0], x[1], alpha).sum()

    torch._dynamo.reset()
    value, expected = torch.compile(function, fullgraph=True, backend=backend)(x), function(x)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(
        torch.autograd.grad(value, x)[0], torch.autograd.grad(expected, x)[0], rtol=1e-5, atol=1e-8
    )


@pytest.mark.parametrize("backend", ["aot_eager", GENERATED])
def test_compiled_modules_with_a_trained_order(backend):
    torch._dynamo.reset()
    criterion = MutualLoss(1.0, learn_alpha=True)
    logits = [random(6, 5, seed=k, dtype=torch.float32).requires_grad_() for k in range(3)]
    torch.compile(criterion, fullgraph=True, backend=backend)(logits).sum().backward()
    compiled, criterion.order.raw.grad = criterion.order.raw.grad, None
    criterion(logits).sum().backward()
    torch.testing.assert_close(compiled, criterion.order.raw.grad)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_returns_float32_and_the_same_numbers(dtype):
    x = random(3, 6, 5, seed=1, dtype=torch.float32).to(dtype)
    leaf = x.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = mutual_loss(leaf, 2.0)
        assert losses.dtype == torch.float32
        assert renyi_divergence(x[0], x[1], 2.0).dtype == torch.float32
        assert RenyiDivLoss(2.0)(x[0], x[1]).dtype == torch.float32
        assert mutual_loss(x.float(), 2.0).dtype == torch.float32
    torch.testing.assert_close(losses, mutual_loss(x.float(), 2.0), rtol=1e-6, atol=0)
    losses.sum().backward()
    assert leaf.grad.dtype == dtype
    assert mutual_loss(x, 2.0).dtype == dtype


def test_an_order_trained_through_one_by_any_optimizer():
    u, z = random(64, 10, seed=1), random(64, 10, seed=2)
    target = renyi_divergence(u, z, 0.5).mean()
    for make in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
        order = LearnableOrder(2.0)
        optimizer = make(order.parameters(), lr=0.05)
        seen = []
        for _ in range(120):
            optimizer.zero_grad()
            loss = (renyi_divergence(u, z, order()).mean() - target) ** 2
            loss.backward()
            assert order.raw.grad.isfinite()
            seen.append(order().item())
            optimizer.step()
        assert seen[0] == pytest.approx(2.0, rel=1e-6)
        assert seen[-1] == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("students", [2, 3])
def test_selective_checkpointing_sees_what_is_overwritten(students):
    """It refuses to use again what the forward pass has changed since, for which it must be told of changes."""
    x = random(students, 4, 10, seed=3, dtype=torch.float32).requires_grad_()
    kept = partial(create_selective_checkpoint_contexts, [torch.ops.aten.sum.dim_IntList])
    value = checkpoint(lambda x: mutual_loss(x, 1.5).sum(), x, use_reentrant=False, context_fn=kept)
    with pytest.raises(RuntimeError, match="has been mutated"):
        torch.autograd.grad(value, x)
