"""The formulation that `torch.compile` fuses: its accuracy, and the choice between it and the eager kernels.

Its plain tensor operations are checked eagerly against the definition over the whole grid. How they are reached, masked
and differentiated is checked through the tracer alone (backend "aot_eager"), which needs no C++ compiler; the code
that is generated is tried by `make test-full`.
"""

import math
import zlib

import pytest
import torch
from exact_losses import exact, ulps

from rdml_theory.losses import LinearOrder, MutualLoss, RenyiDivLoss, _compiled, _quick, mutual_loss

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated.*:DeprecationWarning"),
]
# float64 all through; what remains is the truncated series, rounding over |t|, and the condition of the sum
VALUE_ERROR = 1e-9
# one rounding of entries up to 1, and the float64 error of the powers
GRADIENT_ERROR = {torch.float32: 2.0**-25 + 1e-9, torch.float64: 1e-12}


@pytest.fixture(autouse=True)
def _fresh_tracer():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def pair(*axes, classes, scale, near=None):
    random = torch.Generator().manual_seed(zlib.crc32(repr((*axes, classes, scale, near)).encode()))
    student = torch.randn(classes, generator=random) * scale
    noise = torch.randn(classes, generator=random)
    return (noise * scale if near is None else student + near * noise), student


def evaluate(teacher, student, alpha, kind=torch.float64):
    """Value and student's gradient by the fused formulation, run eagerly."""
    one = torch.ones((), dtype=torch.float64)
    value, gradient = _compiled._fast([student[None], teacher[None]], alpha, one, one, 1, (True, False), kind)
    return value.item(), gradient[0]


@pytest.fixture(params=[0, 10**9], ids=["classes last", "rows last"])
def _either_axis(monkeypatch, request):
    monkeypatch.setattr(_compiled, "FEW", request.param)


def in_range(teacher, student, alpha):
    """Otherwise the eager kernels serve."""
    both = torch.cat([teacher, student])
    spread = 2.0 * both.abs().max().item() + math.log(len(teacher))
    return spread * max(1.0, alpha, abs(1.0 - alpha)) <= _quick.RANGE


def compiled(function, backend="aot_eager"):
    return torch.compile(function, fullgraph=True, backend=backend)


def random(*shape, seed=0, scale=1.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def both(function, x, backend="aot_eager"):
    """Value and gradient of a function of logits, compiled and not."""
    out = []
    for f in (compiled(function, backend), function):
        leaf = x.clone().requires_grad_()
        value = f(leaf)
        value.sum().backward()
        out.append((value.detach(), leaf.grad))
    return out


def assert_same(function, x, backend="aot_eager", zero=0.0):
    (value, gradient), (wanted, wanted_gradient) = both(function, x, backend)
    assert value.dtype == wanted.dtype
    unit = torch.finfo(wanted.dtype).eps
    torch.testing.assert_close(value, wanted, rtol=unit, atol=zero, equal_nan=True)
    # the entries are at most two over the smallest batch below; each side is rounded once
    torch.testing.assert_close(gradient, wanted_gradient, rtol=2 * unit, atol=1e-9, equal_nan=True)


@pytest.mark.usefixtures("_either_axis")
@pytest.mark.parametrize("scale", [1.0, 10.0])
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_values_and_gradients_against_the_definition(classes, scale):
    for alpha in _compiled.ORDERS:
        teacher, student = pair("fused", alpha, classes=classes, scale=scale)
        if not in_range(teacher, student, alpha):
            continue
        target = exact(teacher.tolist(), student.tolist(), alpha)
        wanted = torch.tensor([float(x) for x in target.student], dtype=torch.float64)
        for kind, error in GRADIENT_ERROR.items():
            value, gradient = evaluate(teacher, student, alpha, kind)
            assert value == pytest.approx(float(target.value), rel=VALUE_ERROR)
            assert (gradient.double() - wanted).abs().max() <= error


@pytest.mark.parametrize("near", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_values_near_consensus(scale, near):
    for classes in (2, 10, 60):
        for alpha in _compiled.ORDERS:
            teacher, student = pair("near", alpha, classes=classes, scale=scale, near=near)
            target = exact(teacher.tolist(), student.tolist(), alpha)
            if target.value < torch.finfo(torch.float32).tiny or not in_range(teacher, student, alpha):
                continue
            # |t| is as small as the spacing of the logits, and so much of it is rounding
            assert ulps(evaluate(teacher, student, alpha)[0], target.value, 24) <= 0.1
            value, gradient = evaluate(student, student, alpha)
            assert value == 0.0
            assert gradient.abs().max() <= 1e-14


@pytest.mark.parametrize("alpha", _compiled.ORDERS)
def test_both_sides_of_the_switches(alpha):
    """The edge of the series, and the switch to log S."""
    for factor in (1 - 1e-6, 1 + 1e-6):
        t = factor * 0.5
        for sign in (1, -1):
            q = 0.25
            p = q * math.exp(sign * t)
            teacher = torch.tensor([p, 1 - p], dtype=torch.float64).log()
            student = torch.tensor([q, 1 - q], dtype=torch.float64).log()
            target = exact(teacher.tolist(), student.tolist(), alpha)
            assert evaluate(teacher, student, alpha)[0] == pytest.approx(float(target.value), rel=VALUE_ERROR)
    if alpha < 1.0:
        teacher = torch.tensor([0.0, 0.0], dtype=torch.float64)
        for gap in torch.linspace(1.0, 30.0, 30, dtype=torch.float64):
            student = torch.stack([torch.zeros((), dtype=torch.float64), gap])
            target = exact(teacher.tolist(), student.tolist(), alpha)
            assert evaluate(teacher, student, alpha)[0] == pytest.approx(float(target.value), rel=VALUE_ERROR)


@pytest.fixture
def eager_calls(monkeypatch):
    """Count the calls of the eager kernels from compiled code."""
    calls = []
    original = _compiled.cohort
    monkeypatch.setattr(_compiled, "cohort", lambda *args, **options: calls.append(1) or original(*args, **options))
    return calls


@pytest.mark.parametrize(
    ("alpha", "few", "students"),
    [
        (0.5, 0, 2),
        (1.0, _compiled.FEW, 3),
        pytest.param(2.0, 0, 3, marks=pytest.mark.slow),
        pytest.param(2.0, _compiled.FEW, 2, marks=pytest.mark.slow),
    ],
)
def test_regular_logits_take_the_fused_formulation(alpha, few, students, eager_calls, monkeypatch):
    """Two students take the compiler half as long as three; of mixed types, below, there are three at either order."""
    monkeypatch.setattr(_compiled, "FEW", few)
    x = random(students, 2, 4, 6)
    assert_same(lambda x: mutual_loss(list(x.unbind(0)), alpha, temperature=2.5, beta=0.7), x)
    if alpha != 1.0:
        assert_same(lambda x: RenyiDivLoss(alpha)(x[0], x[1].detach()), x)
    assert not eager_calls


@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_wide_logits_and_irregular_orders_take_the_eager_kernels(alpha, eager_calls):
    function = compiled(lambda x: mutual_loss(x, alpha))
    wide = random(2, 8, 6, scale=1e3).clamp(-1e4, 1e4)
    excluded = random(2, 8, 6).index_fill(2, torch.tensor([1]), -math.inf)
    broken = random(2, 8, 6).index_fill(1, torch.tensor([2]), math.nan)
    for count, x in enumerate((wide, excluded, broken), 1):
        leaf, plain = x.clone().requires_grad_(), x.clone().requires_grad_()
        value, expected = function(leaf), mutual_loss(plain, alpha)
        torch.testing.assert_close(value, expected, equal_nan=True, rtol=0, atol=0)
        value.sum().backward()
        expected.sum().backward()
        torch.testing.assert_close(leaf.grad, plain.grad, equal_nan=True, rtol=0, atol=1e-9)
        assert len(eager_calls) == count


def test_either_side_of_the_range(eager_calls):
    limit = (_quick.RANGE / 2.0 - math.log(4.0)) / 2.0
    function = compiled(lambda x: mutual_loss(x, 2.0, reduction="none"))
    for factor, calls in ((0.999, 0), (1.001, 1)):
        x = random(2, 2, 4, scale=1e-3)
        x[0, :, 0] = factor * limit
        value, expected = function(x), mutual_loss(x.double(), 2.0, reduction="none")
        torch.testing.assert_close(value.double(), expected, rtol=2.0**-23, atol=0)
        assert len(eager_calls) == calls


@pytest.mark.parametrize(("alpha", "dtype"), [(0.5, torch.float16), (1.7, torch.bfloat16)])
def test_masked_rows_may_hold_anything(alpha, dtype, eager_calls):
    x = random(2, 4, 5, 6).to(dtype)
    mask = random(4, 5, seed=1) > 0
    dirty = x.masked_fill(~mask.unsqueeze(-1), math.nan)
    assert_same(lambda x: mutual_loss(x, alpha, mask=mask, reduction="none"), dirty)
    function = compiled(lambda x, labels: mutual_loss(x, alpha, targets=labels))
    for kept in (mask, torch.zeros_like(mask)):
        leaf, plain = dirty.clone().requires_grad_(), dirty.clone().requires_grad_()
        value, expected = function(leaf, torch.where(kept, 1, -100)), mutual_loss(plain, alpha, mask=kept)
        torch.testing.assert_close(value, expected, rtol=torch.finfo(dtype).eps, atol=0)
        value.sum().backward()
        expected.sum().backward()
        torch.testing.assert_close(leaf.grad, plain.grad, rtol=2 * torch.finfo(dtype).eps, atol=1e-9)
        assert leaf.grad[:, ~kept].abs().max() == 0.0
    assert value.abs().max() == 0.0
    assert bool(eager_calls) == (alpha not in _compiled.ORDERS)


def test_mixed_types_and_inputs_that_need_no_gradient():
    x = random(3, 6, 5)
    parts = [x[0].clone().requires_grad_(), x[1].bfloat16().requires_grad_(), x[2].clone()]
    losses = compiled(lambda parts: mutual_loss(parts, 2.0))(parts)
    losses.sum().backward()
    plain = [y.detach().clone().requires_grad_(y.requires_grad) for y in parts]
    mutual_loss(plain, 2.0).sum().backward()
    assert parts[2].grad is None
    for a, b in zip(parts[:2], plain[:2], strict=True):
        assert a.grad.dtype == a.dtype
        torch.testing.assert_close(a.grad, b.grad)
    with torch.no_grad():
        value = compiled(lambda parts: mutual_loss(parts, 0.5))(parts)
    torch.testing.assert_close(value, mutual_loss(parts, 0.5))


# The compiler takes seconds; one order of each formulation is for the fast tests.
FEW = [
    pytest.param(alpha, marks=[] if alpha in (2.0, 1.7) else [pytest.mark.slow]) for alpha in (*_compiled.ORDERS, 1.7)
]


@pytest.mark.parametrize("alpha", FEW)
@pytest.mark.parametrize(
    "shape",
    [
        (2, 4, 1),
        (2, 0, 5),
        *(pytest.param(shape, marks=pytest.mark.slow) for shape in ((2, 1, 5), (2, 1, 1), (2, 1, 1, 5))),
    ],
)
def test_axes_of_length_one_and_zero(alpha, shape):
    # of one class it is zero, which the fused formulation finds up to the square of a rounding
    assert_same(lambda x: mutual_loss(x, alpha), random(*shape), zero=1e-30 if shape[-1] == 1 else 0.0)


@pytest.mark.parametrize("alpha", FEW)
def test_dynamic_shapes_from_the_start(alpha):
    function = torch.compile(lambda x: mutual_loss(x, alpha), fullgraph=True, backend="aot_eager", dynamic=True)
    for shape in ((2, 4, 5), (2, 7, 6)):
        leaf = random(*shape).requires_grad_()
        plain = leaf.detach().clone().requires_grad_()
        value, expected = function(leaf), mutual_loss(plain, alpha)
        torch.testing.assert_close(value, expected, rtol=torch.finfo(torch.float32).eps, atol=0)
        value.sum().backward()
        expected.sum().backward()
        torch.testing.assert_close(leaf.grad, plain.grad, rtol=0, atol=1e-7)


@pytest.mark.parametrize("alpha", FEW[: len(_compiled.ORDERS)])
def test_no_number_is_a_symbol_in_a_branch(alpha):
    """The code generator has no code for one, and dynamic=True makes symbols of numbers outside of a function."""
    seen = []

    def backend(graph, _):
        branches = [m for name, m in graph.named_modules() if "cond" in name]
        seen.extend(str(node.target) for branch in branches for node in branch.graph.nodes)
        return graph

    for loss in (RenyiDivLoss(alpha), MutualLoss(alpha, beta=0.5, temperature=3.0)):
        torch._dynamo.reset()
        z, u = random(4, 5).requires_grad_(), random(4, 5, seed=1)
        call = torch.compile(loss, fullgraph=True, backend=backend, dynamic=True)
        (call(z, u) if isinstance(loss, RenyiDivLoss) else call([z, u])[0]).backward()
    assert any("amax" in target or "sum" in target for target in seen)
    assert "item" not in seen


@pytest.mark.slow
def test_dynamic_shapes_through_the_code_generator():
    for loss in (RenyiDivLoss(2.0), MutualLoss(1.0), MutualLoss(0.5, temperature=3.0)):
        torch._dynamo.reset()
        call = torch.compile(loss, fullgraph=True, dynamic=True)
        for shape in ((2, 4, 5), (2, 9, 200)):
            z, u = random(*shape)
            gradients = []
            for function in (call, loss):
                leaf = z.clone().requires_grad_()
                (function(leaf, u) if isinstance(loss, RenyiDivLoss) else function([leaf, u])[0]).backward()
                gradients.append(leaf.grad)
            torch.testing.assert_close(*gradients, rtol=0, atol=1e-7)


@pytest.mark.parametrize("alpha", [2.0, 1.7])
def test_a_tensor_that_comes_twice(alpha):
    y = random(4, 5, seed=1)
    assert_same(lambda x: mutual_loss([x, y, x], alpha), random(4, 5))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 1.7, math.inf])
@pytest.mark.parametrize("layout", ["list", "directed", "stack", "transposed stack", "no rows", "mixed types"])
def test_the_opaque_operation_is_as_it_says(alpha, layout):
    x = random(2, 4, 5)
    stack = random(5, 4, 3).transpose(0, 2) if layout == "transposed stack" else random(3, 4, 5)
    lists = {"no rows": [y[:0] for y in x], "mixed types": [x[0].bfloat16(), x[1]]}
    parts = [stack] if "stack" in layout else lists.get(layout, list(x))
    directed = layout == "directed"
    learners = 1 if directed else 3 if "stack" in layout else 2
    one = torch.ones((), dtype=torch.float64)
    for needs in ([True] * len(parts), [True, False], [False, False]):
        for slope in (True, False):
            if not (directed and all(needs)):
                arguments = (parts, alpha * one, one, one, learners, needs[: len(parts)], slope)
                torch.library.opcheck(_compiled._cohort_op, arguments, test_utils=("test_schema", "test_faketensor"))


def test_many_students_and_float64_take_the_opaque_operation():
    x = random(6, 4, 5)
    assert _compiled.MOST_PAIRS < 6 * 5
    assert_same(lambda x: mutual_loss(x, 2.0), x)
    (value, _), (wanted, _) = both(lambda x: mutual_loss(x, 2.0), x[:3].double())
    torch.testing.assert_close(value, wanted, rtol=1e-15, atol=0)


def test_a_schedule_and_a_changing_batch_compile_a_few_times_only():
    schedule = LinearOrder(2.0, 0.5, steps=20)
    criterion = MutualLoss(schedule)
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    function = torch.compile(criterion, fullgraph=True, backend=counter)
    for step in range(20):
        x = random(2, 4 + step, 5, seed=step)
        torch.testing.assert_close(function(x), mutual_loss(x, schedule.value(step)))
        schedule.step()
    assert counter.frame_count <= 3


def test_nothing_but_one_array_per_student_is_saved():
    x = random(4, 64, 50).requires_grad_()
    saved = {}

    def pack(tensor):
        saved[tensor.data_ptr()] = tensor.numel()
        return tensor

    function = compiled(lambda x: mutual_loss(list(x.unbind(0)), 2.0).sum())
    function(x)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        function(x)
    for view in (x, *x.unbind(0)):
        saved.pop(view.data_ptr(), None)  # the logits themselves, which take no new memory
    assert 0 < sum(saved.values()) <= (4 + 0.1) * 64 * 50


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.999, 1.0, 1.5, 2.0, 20.0])
def test_generated_code(alpha):
    for x in (random(3, 8, 10), random(1, 8, 10) + random(3, 8, 10, seed=1, scale=1e-4), random(3, 8, 10, scale=500.0)):
        assert_same(lambda x: mutual_loss(x, alpha), x, "inductor")
        assert_same(lambda x: mutual_loss(x.bfloat16(), alpha, mask=x[0, :, 0].detach() > 0), x, "inductor")


@pytest.mark.slow
@pytest.mark.parametrize("alpha", _compiled.ORDERS)
@pytest.mark.parametrize("classes", [9, _compiled.FEW + 5])
def test_generated_code_for_logits_of_any_layout_and_batch(alpha, classes):
    layouts = (lambda x: x, lambda x: x.transpose(0, 1).contiguous().transpose(0, 1), lambda x: x.mT.contiguous().mT)
    for layout in layouts:
        torch._dynamo.reset()
        function = torch.compile(lambda x: mutual_loss(x, alpha, reduction="none"), fullgraph=True)
        for rows in (40, 17):
            leaf = layout(random(3, rows, classes)).requires_grad_()
            plain = leaf.detach().requires_grad_()
            value, expected = function(leaf), mutual_loss(plain, alpha, reduction="none")
            torch.testing.assert_close(value, expected, rtol=torch.finfo(torch.float32).eps, atol=0)
            value.sum().backward()
            expected.sum().backward()
            torch.testing.assert_close(leaf.grad, plain.grad, rtol=1e-6, atol=1e-7)
