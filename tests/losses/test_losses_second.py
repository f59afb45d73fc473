"""Second derivatives of every loss by every way into autograd, against the closed form in float64.

In the student's logits over the temperature the Hessian of one pair is Cov_q - (1 - alpha) Cov_w, and the derivative of
the gradient in the order -w (t - E_w t). The formulas below are in log space and share no code with the losses.
"""

import math

import pytest
import torch
from torch.autograd import functional
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from torch.utils.checkpoint import checkpoint

from rdml_theory.losses import LearnableOrder, LinearOrder, MutualLoss, RenyiDivLoss, mutual_loss, renyi_divergence

DOUBLE = torch.float64
ROWS, CLASSES = 3, 4
ALPHA, TAU = 1.7, 3.0
KEPT = torch.tensor([True, False, True])
LABELS = torch.tensor([1, -100, 2])
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated.*:DeprecationWarning"),
    # of PyTorch, at backward(create_graph=True), and at its tracer, which looks at the gradient of what is no leaf
    pytest.mark.filterwarnings("ignore:.*create_graph=True will create a reference cycle.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*grad attribute of a Tensor that is not a leaf.*:UserWarning"),
]


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


PEERS = random(2, ROWS, CLASSES, seed=1)


def product(z, v, alpha, tau=1.0, weights=None, peers=PEERS[:1]):
    """The Hessian times v of sum over rows of weights tau^2 D_alpha(p || q), mean over peers."""
    weights = torch.full((ROWS,), 1.0 / ROWS, dtype=DOUBLE) if weights is None else weights
    log_q, log_p = (z / tau).log_softmax(-1), (peers / tau).log_softmax(-1)
    q = log_q.exp()
    w = ((1.0 - alpha) * log_q + alpha * log_p).softmax(-1) if alpha < math.inf else torch.zeros_like(log_p)
    power = 1.0 - alpha if alpha < math.inf else 0.0
    times = [s * v - s * (s * v).sum(-1, keepdim=True) for s in (q, w)]
    return (times[0] - power * times[1].mean(0)) * weights[:, None]


def mutual(alpha, stacked=False, **options):
    """The loss of the first of three students, whose peers are constants, as a function of its logits."""

    def loss(z):
        x = [z, *PEERS]
        return mutual_loss(torch.stack(x) if stacked else x, alpha, **options)[0]

    return loss


def distilled(alpha, **options):
    targets = options.pop("targets", None)
    return lambda z: RenyiDivLoss(alpha, **options)(z, PEERS[0], targets=targets)


HALF = KEPT.to(DOUBLE) / 2.0
SCHEDULE = LinearOrder(ALPHA - 1.0, ALPHA, 1)
SCHEDULE.step()
# the loss as a function of the student's logits, and the arguments of `product`
LOSSES = {
    "renyi_divergence": (lambda z: renyi_divergence(PEERS[0], z, ALPHA).mean(), {}),
    "RenyiDivLoss": (distilled(ALPHA, temperature=TAU), {"tau": TAU}),
    "RenyiDivLoss at 1": (distilled(1.0), {"alpha": 1.0}),
    "RenyiDivLoss at 0": (distilled(0.0), {"alpha": 0.0}),
    "RenyiDivLoss at 1e15": (distilled(1e15), {"alpha": math.inf}),
    "RenyiDivLoss at inf": (distilled(math.inf), {"alpha": math.inf}),
    "RenyiDivLoss, masked": (distilled(ALPHA, targets=LABELS), {"weights": HALF}),
    "RenyiDivLoss, none": (lambda z: distilled(ALPHA, reduction="none")(z).mean(), {}),
    "RenyiDivLoss, scheduled": (distilled(SCHEDULE), {}),
    "RenyiDivLoss, an order per row": (distilled(torch.full((ROWS,), ALPHA, dtype=DOUBLE)), {}),
    "mutual_loss, two": (lambda z: mutual_loss([z, PEERS[0]], ALPHA)[0], {}),
    "mutual_loss": (mutual(ALPHA, temperature=TAU), {"tau": TAU, "peers": PEERS}),
    "mutual_loss at 1/2": (mutual(0.5), {"alpha": 0.5, "peers": PEERS}),
    "mutual_loss, stacked and masked": (mutual(ALPHA, True, mask=KEPT), {"weights": HALF, "peers": PEERS}),
    "mutual_loss, weighed": (
        mutual(ALPHA, beta=torch.tensor([1.5, 1.0, 2.0])), {"weights": torch.full((3,), 0.5).double(), "peers": PEERS},
    ),
    "mutual_loss, sum": (mutual(ALPHA, reduction="sum"), {"weights": torch.ones(3, dtype=DOUBLE), "peers": PEERS}),
    "MutualLoss, learned": (
        lambda z: MutualLoss(1.0, learn_alpha=True)([z, *PEERS])[0], {"alpha": 1.0, "peers": PEERS},
    ),
    "mutual_loss, twice the same": (
        # the peer is the student, and constant: D = 0, Hessian alpha Cov_q
        lambda z: mutual_loss([z, z], ALPHA)[0], {"peers": None},
    ),
}  # fmt: skip


def by_grad(f, z, v):
    z = z.clone().requires_grad_()
    (g,) = torch.autograd.grad(f(z), z, create_graph=True)
    return torch.autograd.grad(g, z, v)[0]


def by_backward(f, z, v):
    z = z.clone().requires_grad_()
    f(z).backward(create_graph=True)
    g, z.grad = z.grad, None
    (g * v).sum().backward()
    return z.grad


def by_backward_inputs(f, z, v):
    z = z.clone().requires_grad_()
    other = torch.ones((), dtype=DOUBLE, requires_grad=True)
    (f(z) * other).backward(inputs=[z], create_graph=True)
    g, z.grad = z.grad, None
    (g * v).sum().backward(inputs=[z])
    return z.grad


def by_checkpoint(f, z, v):
    return by_grad(lambda z: checkpoint(f, z, use_reentrant=False), z, v)


def by_a_function_of_parameters(f, z, v):
    """The logits as outputs of a linear layer, z = e theta, so that they are no leaf of the graph."""
    theta = z.clone().requires_grad_()
    eye = torch.eye(ROWS, dtype=DOUBLE)
    (g,) = torch.autograd.grad(f(eye @ theta) + theta.square().sum(), theta, create_graph=True)
    return torch.autograd.grad(g, theta, v)[0] - 2.0 * v


def by_batched_grads(f, z, v):
    z = z.clone().requires_grad_()
    (g,) = torch.autograd.grad(f(z), z, create_graph=True)
    return torch.autograd.grad(g, z, torch.stack([v, -v]), is_grads_batched=True)[0][0]


def contracted(matrix, v):
    return (matrix * v).flatten(2).sum(-1)


ENTRIES = {
    "grad": by_grad,
    "backward": by_backward,
    "backward(inputs=)": by_backward_inputs,
    "checkpoint": by_checkpoint,
    "parameters": by_a_function_of_parameters,
    "batched": by_batched_grads,
    "functional.hvp": lambda f, z, v: functional.hvp(f, z, v)[1],
    "functional.vhp": lambda f, z, v: functional.vhp(f, z, v)[1],
    "functional.hessian": lambda f, z, v: contracted(functional.hessian(f, z), v),
    "functional.hessian, vectorized": lambda f, z, v: contracted(functional.hessian(f, z, vectorize=True), v),
    "func, grad of grad": lambda f, z, v: grad(lambda z: (grad(f)(z) * v).sum())(z),
    "func, jvp of grad": lambda f, z, v: jvp(grad(f), (z,), (v,))[1],
    "func, vjp of grad": lambda f, z, v: vjp(grad(f), z)[1](v)[0],
    "func, grad of jvp": lambda f, z, v: grad(lambda z: jvp(f, (z,), (v,))[1])(z),
    "func, hessian": lambda f, z, v: contracted(hessian(f)(z), v),
    "func, jacrev of jacrev": lambda f, z, v: contracted(jacrev(jacrev(f))(z), v),
    "func, jacfwd of jacrev": lambda f, z, v: contracted(jacfwd(jacrev(f))(z), v),
    "func, vmap": lambda f, z, v: vmap(lambda v: jvp(grad(f), (z,), (v,))[1])(torch.stack([v, -v]))[0],
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_hessian_vector_products(entry):
    for number, (name, (f, options)) in enumerate(LOSSES.items()):
        z, v = random(ROWS, CLASSES, seed=10 + number), random(ROWS, CLASSES, seed=40 + number)
        options = {"alpha": ALPHA} | options
        if options.get("peers", ()) is None:
            options["peers"] = z[None]
        wanted = product(z, v, **options)
        got = ENTRIES[entry](f, z, v)
        # beta is float32; otherwise some hundred roundings of numbers below one
        assert (got - wanted).abs().max() <= 1e-13, name


@pytest.mark.parametrize("name", ["renyi_divergence", "RenyiDivLoss", "mutual_loss"])
def test_forward_mode_over_itself_is_refused(name):
    """PyTorch hands a rule of forward mode the arguments without the tangents of other levels."""
    with pytest.raises(RuntimeError, match="reverse mode"):
        jacfwd(jacfwd(LOSSES[name][0]))(random(ROWS, CLASSES, seed=8))


@pytest.mark.parametrize("make", [lambda a: RenyiDivLoss(a), lambda a: lambda z, u: mutual_loss([z, u], a)[0]])
def test_mixed_derivatives_in_the_order(make):
    z, alpha = random(ROWS, CLASSES, seed=2).requires_grad_(), torch.tensor(ALPHA, dtype=DOUBLE, requires_grad=True)
    log_q, log_p = z.detach().log_softmax(-1), PEERS[0].log_softmax(-1)
    w, t = ((1.0 - ALPHA) * log_q + ALPHA * log_p).softmax(-1), log_p - log_q
    mean = (w * t).sum(-1, keepdim=True)
    v = random(ROWS, CLASSES, seed=3)
    wanted = -(w * (t - mean) * v).sum() / ROWS
    loss = make(alpha)(z, PEERS[0])
    gz, ga = torch.autograd.grad(loss, (z, alpha), create_graph=True)
    torch.testing.assert_close(torch.autograd.grad(gz, alpha, v, retain_graph=True)[0], wanted, rtol=1e-13, atol=0)
    (gaz,) = torch.autograd.grad(ga, z, retain_graph=True)
    torch.testing.assert_close(gaz, -w * (t - mean) / ROWS, rtol=0, atol=1e-13)
    # a second time in the order, by a difference of the first
    (gaa,) = torch.autograd.grad(ga, alpha)
    first = []
    for step in (1e-4, -1e-4):
        moved = (alpha.detach() + step).requires_grad_()
        first.append(torch.autograd.grad(make(moved)(z, PEERS[0]), moved)[0])
    torch.testing.assert_close(gaa, (first[0] - first[1]) / 2e-4, rtol=1e-6, atol=0)


def test_third_derivatives_and_the_gradient_that_arrives():
    z, peer = random(2, 3, seed=4).requires_grad_(), random(2, 3, seed=5)
    assert torch.autograd.gradgradcheck(lambda z: RenyiDivLoss(0.6, reduction="none")(z, peer), (z,))
    assert torch.autograd.gradgradcheck(lambda z: torch.autograd.grad(
        mutual_loss([z, peer], 2.0)[0] ** 2, z, create_graph=True)[0], (z,))  # fmt: skip


@pytest.mark.parametrize("loss", [
    lambda z, mask: RenyiDivLoss(ALPHA)(z, PEERS[0], mask=mask), lambda z, mask: mutual(ALPHA, mask=mask)(z),
])  # fmt: skip
def test_a_mask_that_is_refilled_after_the_forward_pass(loss):
    z, mask = random(ROWS, CLASSES, seed=8).requires_grad_(), KEPT.clone()
    (wanted,) = torch.autograd.grad(loss(z, KEPT), z)
    value = loss(z, mask)
    mask.logical_not_()
    (got,) = torch.autograd.grad(value, z, create_graph=True)
    torch.testing.assert_close(got.detach(), wanted, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_narrow_types(dtype):
    z, v, peer = (x.to(dtype) for x in (*random(2, ROWS, CLASSES, seed=6), PEERS[0]))
    got = by_grad(lambda z: RenyiDivLoss(ALPHA)(z, peer).double(), z, v)
    assert got.dtype == dtype
    wanted = product(z.double(), v.double(), ALPHA, peers=peer[None].double())
    torch.testing.assert_close(got.double(), wanted, rtol=0, atol=torch.finfo(dtype).eps)


def test_a_trained_order_is_differentiated_twice():
    order = LearnableOrder(2.0)
    order.double()
    z = random(ROWS, CLASSES, seed=7)
    (g,) = torch.autograd.grad(RenyiDivLoss(order())(z, PEERS[0]), order.raw, create_graph=True)
    (second,) = torch.autograd.grad(g, order.raw)
    first = []
    for step in (1e-4, -1e-4):
        moved = LearnableOrder(2.0).double()
        with torch.no_grad():
            moved.raw.copy_(order.raw + step)
        first.append(torch.autograd.grad(RenyiDivLoss(moved())(z, PEERS[0]), moved.raw)[0])
    torch.testing.assert_close(second, (first[0] - first[1]) / 2e-4, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", [
    "renyi_divergence", pytest.param("RenyiDivLoss", marks=pytest.mark.slow),
    pytest.param("mutual_loss", marks=pytest.mark.slow), "RenyiDivLoss of float32",
])  # fmt: skip
def test_compiled_losses_refuse(name):
    """PyTorch itself takes what compiled code has kept for constants, without a word."""
    z, v = random(ROWS, CLASSES, seed=8), random(ROWS, CLASSES, seed=9)
    torch._dynamo.reset()
    loss = LOSSES[name][0] if name in LOSSES else lambda z: RenyiDivLoss(2.0)(z, PEERS[0].float())
    f = torch.compile(loss, backend="aot_eager", fullgraph=True)
    with pytest.raises(RuntimeError, match=r"double backward|second derivatives"):
        by_a_function_of_parameters(f if name in LOSSES else lambda z: f(z.float()), z, v)
    torch._dynamo.reset()


@pytest.mark.parametrize("name", [pytest.param("renyi_divergence", marks=pytest.mark.slow), "mutual_loss"])
def test_transforms_inside_of_compiled_functions(name):
    """PyTorch gives zero for the second derivative of any autograd function of an intermediate, without a word."""
    f, options = LOSSES[name]
    z, v = random(ROWS, CLASSES, seed=8), random(ROWS, CLASSES, seed=9)

    def hvp(z, v):
        return ENTRIES["func, grad of grad"](f, z, v)

    torch._dynamo.reset()
    with pytest.raises(RuntimeError, match=r"differentiate twice"):
        torch.compile(hvp, backend="aot_eager", fullgraph=True)(z, v)
    torch._dynamo.reset()
    wanted = product(z, v, **({"alpha": ALPHA} | options))
    assert (torch.compile(hvp, backend="aot_eager")(z, v) - wanted).abs().max() <= 1e-13
    torch._dynamo.reset()
