"""Errors of values and gradients of every entry point against the definition in 110 digits."""

import math
import zlib

import pytest
import torch
from exact_losses import exact, normwise, ulps

from rdml_theory.losses import RenyiDivLoss, mutual_loss, renyi_divergence

ORDERS = (0.0, 0.1, 0.5, 0.9, 0.999, 1.0, 1.001, 1.5, 2.0, 5.0, 20.0, math.inf)
NEAR_ONE = tuple(1.0 + sign * 10.0**-k for k in (1, 3, 6, 9, 12) for sign in (-1, 1))
# the NumPy core's promise for values from logits, in units of 1 + the condition number
VALUE_ULPS = 4.0
# its promise for gradients near consensus and for orders next to one, in 2^-53
GRADIENT_UNITS = 64.0
# half a unit in the last place, and what float64 leaves of it before the one rounding
ROUNDED_ONCE = 0.5 + 1e-5
# the fused losses take a pair from products of float64 while that costs less than another half unit of float32
FUSED = {torch.float32: 0.5, torch.float16: 1e-4, torch.bfloat16: 1e-5}
# float32 gradients, entries of size up to 1: rounded once, half a unit of numbers just below one
FLOAT32_GRADIENT = 2.0**-25 + 1e-9
BITS = {torch.float64: 53, torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}


def generator(*axes):
    """Return random numbers that depend on the named axes of a test and on nothing else."""
    return torch.Generator().manual_seed(zlib.crc32(repr(axes).encode()))


def pair(*axes, classes, scale, near=None, dtype=torch.float64):
    random = generator(*axes, classes, scale, near)
    student = torch.randn(classes, generator=random, dtype=torch.float64) * scale
    noise = torch.randn(classes, generator=random, dtype=torch.float64)
    teacher = noise * scale if near is None else student + near * noise
    return teacher.to(dtype), student.to(dtype)


def by_function(teacher, student, alpha):
    return renyi_divergence(teacher, student, alpha)


def by_module(teacher, student, alpha):
    return RenyiDivLoss(alpha)(student[None], teacher[None])


def by_cohort(teacher, student, alpha):
    return mutual_loss([student[None], teacher[None]], alpha)[0]


def by_stack(teacher, student, alpha):
    return mutual_loss(torch.stack([student, teacher, teacher]).unsqueeze(1), alpha)[0]


ROUTES = (by_function, by_module, by_cohort, by_stack)


@pytest.mark.parametrize("near", [None, 1e-3, 1e-8])
@pytest.mark.parametrize("scale", [1.0, 10.0, 100.0])
@pytest.mark.parametrize("classes", [2, 10, 40])
def test_float64_values_keep_the_promise_of_the_core(classes, scale, near):
    for alpha in (*ORDERS, *NEAR_ONE, 1e-3, 300.0):
        teacher, student = pair("float64", alpha, classes=classes, scale=scale, near=near)
        target = exact(teacher.tolist(), student.tolist(), alpha)
        value = renyi_divergence(teacher, student, alpha).item()
        assert value >= 0.0
        assert ulps(value, target.value) <= VALUE_ULPS * (1.0 + target.condition), alpha


@pytest.mark.parametrize("near", [1e-3, 1e-8])
@pytest.mark.parametrize("classes", [2, 10, 40])
def test_float64_derivatives_near_consensus(classes, near):
    for alpha in (0.1, 0.5, 0.9, 1.0, 1.001, 1.5, 2.0, 5.0, *NEAR_ONE):
        teacher, student = pair("near", alpha, classes=classes, scale=1.0, near=near)
        target = exact(teacher.tolist(), student.tolist(), alpha)
        order = torch.tensor(alpha, dtype=torch.float64, requires_grad=True)
        inputs = (teacher.requires_grad_(), student.requires_grad_(), order)
        got = torch.autograd.grad(renyi_divergence(*inputs), inputs)
        assert normwise(got[0].tolist(), target.teacher) <= GRADIENT_UNITS, alpha
        assert normwise(got[1].tolist(), target.student) <= GRADIENT_UNITS, alpha
        assert normwise([got[2].item()], [target.order]) <= GRADIENT_UNITS, alpha


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_float64_derivatives_next_to_order_one(classes):
    for alpha in (1.0, *NEAR_ONE):
        teacher, student = pair("one", alpha, classes=classes, scale=1.0)
        target = exact(teacher.tolist(), student.tolist(), alpha)
        order = torch.tensor(alpha, dtype=torch.float64, requires_grad=True)
        inputs = (teacher.requires_grad_(), student.requires_grad_(), order)
        got = torch.autograd.grad(renyi_divergence(*inputs), inputs)
        assert normwise(got[0].tolist(), target.teacher) <= GRADIENT_UNITS, alpha
        assert normwise(got[1].tolist(), target.student) <= GRADIENT_UNITS, alpha
        assert normwise([got[2].item()], [target.order]) <= GRADIENT_UNITS, alpha


def check_rounded_once(teacher, student, alpha, dtype):
    """By every route, against one evaluation of the definition."""
    target = exact(teacher.tolist(), student.tolist(), alpha)
    for route in ROUTES:
        check_route(route, teacher, student, alpha, dtype, target)


def check_route(route, teacher, student, alpha, dtype, target):
    leaf = student.clone().requires_grad_()
    value = route(teacher, leaf, alpha)
    value.backward()
    assert value.dtype == dtype, (route, alpha)
    assert math.isfinite(value.item()), (route, alpha)
    assert value.item() >= 0.0
    tiny = torch.finfo(dtype).tiny
    if target.value > tiny:
        fused = 0.0 if route is by_function else FUSED[dtype]
        assert ulps(value.item(), target.value, BITS[dtype]) <= ROUNDED_ONCE + fused
    wanted = torch.tensor([float(x) for x in target.student], dtype=torch.float64)
    error = (leaf.grad.double() - wanted).abs()
    assert leaf.grad.isfinite().all()
    if dtype == torch.float32:
        assert error.max() <= FLOAT32_GRADIENT
    else:
        # one rounding to the type, and the absolute error of float64 where an entry almost vanishes
        unit = torch.finfo(dtype).eps * wanted.abs().clamp(min=tiny)
        assert (error <= 0.5 * unit + 1e-12).all()


def some(rows, columns, fast):
    """All pairs of two lists; those that are not in ``fast`` are for the slow tests."""
    return [pytest.param(a, b, marks=[] if (a, b) in fast else [pytest.mark.slow]) for a in rows for b in columns]


@pytest.mark.parametrize(
    ("scale", "dtype"),
    some(
        [1.0, 10.0, 30.0, 100.0],
        [torch.float32, torch.float16, torch.bfloat16],
        {
            (1.0, torch.float32), (100.0, torch.float32), (10.0, torch.float16), (30.0, torch.bfloat16),
            (1.0, torch.bfloat16), (100.0, torch.float16),
        },
    ),
)  # fmt: skip
def test_narrow_types_are_rounded_once(dtype, scale):
    for classes in (2, 10, 60):
        for alpha in ORDERS:
            teacher, student = pair("narrow", alpha, classes=classes, scale=scale, dtype=dtype)
            check_rounded_once(teacher, student, alpha, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 10.0, 30.0, 100.0])
def test_a_thousand_classes(scale):
    for alpha in ORDERS:
        for dtype in (torch.float32, torch.bfloat16):
            teacher, student = pair("thousand", alpha, classes=1000, scale=scale, dtype=dtype)
            check_rounded_once(teacher, student, alpha, dtype)


def test_logits_of_ten_thousand():
    for alpha in ORDERS:
        teacher, student = pair("huge", alpha, classes=10, scale=3000.0, dtype=torch.float32)
        check_rounded_once(teacher.clamp(-1e4, 1e4), student.clamp(-1e4, 1e4), alpha, torch.float32)


@pytest.mark.parametrize(
    ("near", "scale"), some([1e-2, 1e-4, 1e-6], [1.0, 10.0, 30.0], {(1e-2, 30.0), (1e-4, 1.0), (1e-6, 10.0)})
)
def test_float32_near_consensus(scale, near):
    for classes in (2, 10, 60):
        for alpha in (*ORDERS[1:-1], *NEAR_ONE):
            teacher, student = pair("consensus", alpha, classes=classes, scale=scale, near=near, dtype=torch.float32)
            check_rounded_once(teacher, student, alpha, torch.float32)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("dtype", list(BITS))
def test_equal_logits(route, dtype):
    student = pair("equal", classes=7, scale=10.0, dtype=dtype)[1]
    for alpha in ORDERS[:-1]:
        leaf = student.clone().requires_grad_()
        value = route(student, leaf, alpha)
        value.backward()
        assert value.item() == 0.0
        # the products of float64 leave their rounding of w
        assert leaf.grad.abs().max() <= 4 * torch.finfo(torch.float64).eps


@pytest.mark.parametrize("offset", [0.0, 64.0, -1024.0])
def test_a_constant_added_to_one_argument_changes_nothing(offset):
    for alpha in ORDERS:
        teacher, student = pair("offset", alpha, classes=10, scale=1.0, dtype=torch.float64)
        teacher, student = ((x * 1024).round() / 1024 for x in (teacher, student))  # the sum below is exact
        teacher, student = teacher.float(), student.float()
        check_rounded_once(teacher + offset, student, alpha, torch.float32)


def test_excluded_classes():
    low = -math.inf
    teacher, student = torch.tensor([1.0, low, 0.0, 2.0]), torch.tensor([0.5, low, 1.0, -1.0])
    keep = [0, 2, 3]
    for alpha in ORDERS:
        target = exact(teacher[keep].tolist(), student[keep].tolist(), alpha)
        for route in ROUTES:
            leaf = student.clone().requires_grad_()
            value = route(teacher, leaf, alpha)
            value.backward()
            assert value.item() == pytest.approx(float(target.value), rel=1e-6)
            assert leaf.grad[1] == 0.0
            torch.testing.assert_close(
                leaf.grad[keep].double(), torch.tensor([float(x) for x in target.student]).double(), rtol=0, atol=1e-7
            )
    only_student = torch.tensor([0.0, low]), torch.tensor([0.0, 0.0])
    for alpha in ORDERS:
        # p is concentrated on the first class: D = -log q_1 for every order
        assert renyi_divergence(*only_student, alpha).item() == pytest.approx(math.log(2.0), rel=1e-6)
    missing = torch.tensor([0.0, 0.0]), torch.tensor([0.0, low], requires_grad=True)
    assert renyi_divergence(*missing, 2.0).item() == math.inf
    assert renyi_divergence(*missing, 0.5).item() == pytest.approx(math.log(2.0), rel=1e-6)
    renyi_divergence(*missing, 2.0).backward()
    assert missing[1].grad.tolist() == [1.0, -1.0]


@pytest.mark.parametrize("gap", [10.0, 15.0, 20.0])
def test_small_gradients_far_from_consensus(gap):
    """The escort agrees with q (or p) on its one large class, whose entry cancels: it is minus the rest."""
    # the rounding of log(p/q), up to 4 gap, is multiplied by the order
    units = 4 * 4 * gap
    for alpha, argument in ((0.1, 1), (0.2, 1), (1.5, 0), (3.0, 0)):
        random = generator("confident", alpha, gap)
        inputs = [torch.randn(6, generator=random, dtype=torch.float64) for _ in range(2)]
        inputs[argument][2] += 3 * gap
        inputs[1 - argument][3] += gap
        target = exact(inputs[0].tolist(), inputs[1].tolist(), alpha)
        leaf = inputs[argument].requires_grad_()
        (got,) = torch.autograd.grad(renyi_divergence(*inputs, alpha), leaf)
        assert normwise(got.tolist(), (target.teacher, target.student)[argument]) <= units * max(alpha, 1.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("stacked", [True, False])
def test_half_gradients_of_a_mean_are_rounded_once(dtype, stacked):
    """A mean over three rows divides; rounding before and after the division would show."""
    logits = torch.randn(3, 3, 50, generator=generator("mean", dtype)).to(dtype)
    wide = logits.double().requires_grad_()
    mutual_loss(wide, 1.7).sum().backward()
    leaf = logits.clone().requires_grad_()
    mutual_loss(leaf if stacked else list(leaf.unbind(0)), 1.7).sum().backward()
    info = torch.finfo(dtype)
    mantissa, exponent = torch.frexp(wide.grad)
    unit = torch.ldexp(torch.full_like(mantissa, info.eps), exponent - 1).clamp(min=info.tiny * info.eps)
    # float32 holds the gradient in between, with 2^-24 of its own
    assert ((leaf.grad.double() - wide.grad).abs() <= (0.5 + 2.0**-10) * unit).all()


@pytest.mark.parametrize("alpha", [1e6, 1e15, 1e16, 1e17, 1e200, 1e308])
def test_large_finite_orders_tend_to_infinity(alpha):
    random = torch.Generator().manual_seed(1)
    u, z = (torch.randn(2, 8, 5, generator=random, dtype=torch.float64)).unbind(0)
    results = []
    for order in (alpha, math.inf):
        leaves = [u.clone().requires_grad_(), z.clone().requires_grad_()]
        value = renyi_divergence(*leaves, order)
        results.append((value.detach(), *torch.autograd.grad(value.sum(), leaves)))
    (value, teacher, student), (limit, *gradients) = results
    # D differs by |log p| / alpha, at most 10 / alpha here
    torch.testing.assert_close(value, limit, rtol=1e-15, atol=10.0 / alpha)
    torch.testing.assert_close(teacher, gradients[0], rtol=0, atol=1e-15 + 2.0 / alpha)
    torch.testing.assert_close(student, gradients[1], rtol=0, atol=1e-15)


@pytest.mark.parametrize("temperature", [1e10, 1e50, 1e100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_high_temperatures_tend_to_a_variance(temperature, dtype):
    """tau^2 D tends to alpha/2 of the variance of u - z, and its gradient to alpha (z - u - mean) / C."""
    random = torch.Generator().manual_seed(2)
    z, u = torch.randn(2, 5, generator=random).to(dtype).unbind(0)
    leaf = z.clone().requires_grad_()
    loss = RenyiDivLoss(3.0, temperature=temperature)(leaf, u)
    loss.backward()
    gap = (z - u).double()
    gap -= gap.mean()
    unit = torch.finfo(dtype).eps + 10.0 / temperature
    torch.testing.assert_close(loss.double(), 1.5 * gap.square().mean(), rtol=4 * unit, atol=0)
    torch.testing.assert_close(leaf.grad.double(), 3.0 * gap / 5, rtol=0, atol=4 * unit)
