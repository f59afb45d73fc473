"""Errors, schedules, and what an import loads."""

import math
import os
import re
import subprocess
import sys
from contextlib import nullcontext, suppress
from decimal import Decimal
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from rdml_theory.losses import (
    ConstantOrder,
    CosineOrder,
    LearnableOrder,
    LinearOrder,
    MutualLoss,
    RenyiDivLoss,
    mutual_loss,
    renyi_divergence,
)

X = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))


def test_the_package_does_not_load_torch():
    code = "import sys, rdml_theory; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: renyi_divergence([0.0, 1.0], X, 2.0), TypeError, "teacher_logits has type list: .*Tensor"),
        (lambda: renyi_divergence(X, X.long(), 2.0), TypeError, "student_logits has .*int64: .*float"),
        (lambda: renyi_divergence(X, X[..., :3], 2.0), ValueError, "has 5 classes .* 3 .*same classes"),
        (lambda: renyi_divergence(X[:2], X, 2.0), ValueError, r"\(2, 4\).*\(3, 4\).*that broadcast"),
        (lambda: renyi_divergence(X, X, torch.ones(7)), ValueError, r"\(7,\) for alpha: .*broadcast"),
        (lambda: renyi_divergence(X, X, 2.0, dim=3), ValueError, r"dim = 3: .*teacher.*\(3, 4, 5\)"),
        (lambda: renyi_divergence(X[..., :0], X[..., :0], 2.0), ValueError, "at least one class"),
        (lambda: renyi_divergence(torch.tensor(1.0), X, 2.0), ValueError, "0-d tensor.*class axis"),
        (lambda: renyi_divergence(X, X, -0.5), ValueError, r"alpha = -0.5: .*\[0, inf\]"),
        (lambda: renyi_divergence(X, X, math.nan), ValueError, r"alpha = nan: .*\[0, inf\]"),
        (lambda: renyi_divergence(X, X, torch.tensor([1.0, -2.0, 0.0, 1.0])), ValueError, r"alpha = -2.*\[0, inf\]"),
        (lambda: renyi_divergence(X, X, torch.tensor(math.nan)), ValueError, r"alpha = nan: .*\[0, inf\]"),
        (lambda: renyi_divergence(X, X, "2"), TypeError, r"alpha = '2' \(str\): expected a real number"),
        (lambda: renyi_divergence(X, X, True), TypeError, r"alpha = True \(bool\): expected a real number"),
        (lambda: renyi_divergence(X, X, torch.tensor(True)), TypeError, "alpha has dtype torch.bool: expected real"),
        (lambda: mutual_loss(X[0], 2.0), ValueError, r"\(4, 5\): expected \(K, B, C\).*stack"),
        (lambda: mutual_loss(X[:0], 2.0), ValueError, "at least one student"),
        (lambda: mutual_loss([], 2.0), ValueError, "at least one student"),
        (lambda: mutual_loss(3.0, 2.0), TypeError, "type float: expected a tensor .* or a list"),
        (lambda: mutual_loss([X[0], "x"], 2.0), TypeError, r"logits\[1\].*str"),
        (
            lambda: mutual_loss([X[0], X[1, :, :3]], 2.0),
            ValueError,
            r"\(4, 5\) and logits\[1\] \(4, 3\): expected the same classes",
        ),
        (lambda: mutual_loss([X[0], X[1, :2]], 2.0), ValueError, r"\(4, 5\).*\(2, 5\): expected the same batch"),
        (lambda: mutual_loss([X[0, 0], X[1, 0]], 2.0), ValueError, r"\(B, C\)"),
        (
            lambda: mutual_loss(X, 2.0, temperature=0.0),
            ValueError,
            "temperature = 0.0: expected a number from 1e-100 to 1e.100",
        ),
        (lambda: mutual_loss(X, 2.0, temperature=1e200), ValueError, "temperature = 1e.200: .*from 1e-100 to 1e.100"),
        (lambda: RenyiDivLoss(2.0, temperature=1e-150), ValueError, "temperature = 1e-150: .*from 1e-100 to 1e.100"),
        (lambda: RenyiDivLoss(2 + 0j), TypeError, "alpha = .*complex.*: expected a real number"),
        (lambda: RenyiDivLoss(10**400), ValueError, "alpha is beyond float64: .*inf"),
        (lambda: MutualLoss(2.0, beta=10**400), ValueError, "beta is beyond float64"),
        (lambda: MutualLoss(2.0, beta=1e36), ValueError, "beta = 1e.36: expected a number from 0 to 1e.35"),
        (lambda: MutualLoss(2.0, learn_alpha=torch.ones(2)), TypeError, "learn_alpha = .*: expected True or False"),
        (lambda: mutual_loss(X, 2.0, beta=torch.tensor([1.0, math.nan, 1.0])), ValueError, "beta = .*nan.*: expected"),
        (lambda: mutual_loss(X, 2.0, dim=2), ValueError, "dim = 2: .*from -2 to 1 for one student"),
        (lambda: mutual_loss(X, 2.0, dim="1"), TypeError, "dim = '1' .*: expected an integer"),
        (lambda: RenyiDivLoss(2.0, dim=5)(X, X), ValueError, "dim = 5: .*student_logits, from -3 to 2$"),
        (lambda: renyi_divergence(X, X, 2.0, dim=0.5), TypeError, "dim = 0.5 .*: expected an integer"),
        (lambda: mutual_loss(X, 2.0, reduction=torch.ones(2)), ValueError, "reduction = tensor.*: expected one of"),
        (lambda: RenyiDivLoss(2.0)(X.long(), X), TypeError, "student_logits has .*int64: expected floating"),
        (lambda: mutual_loss(X, 2.0, temperature="1"), TypeError, "temperature = '1' .*: expected a real number"),
        (lambda: mutual_loss(X, 2.0, beta=-1.0), ValueError, "beta = -1.0: expected a number from 0"),
        (lambda: mutual_loss(X, 2.0, beta=math.nan), ValueError, "beta = nan: expected a number"),
        (lambda: mutual_loss(X, 2.0, beta=torch.tensor([1.0, -1.0, 2.0])), ValueError, "beta = .*-1.*from 0"),
        (lambda: mutual_loss(X, 2.0, beta=torch.tensor(math.inf)), ValueError, "beta = inf: expected numbers"),
        (lambda: mutual_loss(X, 2.0, beta=torch.ones(3) > 0), TypeError, "beta has dtype torch.bool: expected real"),
        (lambda: mutual_loss(X, 2.0, beta=torch.ones(2)), ValueError, r"beta has shape \(2,\): .*shape \(3,\)"),
        (lambda: mutual_loss(X[:1], 2.0, beta=torch.ones(5)), ValueError, r"beta has shape \(5,\): .*shape \(1,\)"),
        (lambda: mutual_loss(X.to(torch.float8_e4m3fn), 2.0), TypeError, "float8_e4m3fn, .*: expected a dense tensor"),
        (lambda: mutual_loss([X[0], X[1].to_sparse()], 2.0), TypeError, r"logits\[1\] has .*sparse_coo: .*dense"),
        (lambda: mutual_loss(X, 2.0, reduction="avg"), ValueError, "'avg': .*'batchmean', 'mean', 'sum', 'none'"),
        (lambda: mutual_loss(X, 2.0, mask=torch.ones(4)), TypeError, "mask has .*float32, .*boolean"),
        (lambda: mutual_loss(X, 2.0, mask=[True] * 4), TypeError, "mask has type list: .*boolean"),
        (lambda: mutual_loss(X, 2.0, mask=torch.ones(3, dtype=bool)), ValueError, r"mask has shape \(3,\): .*\(4,\)"),
        (lambda: mutual_loss(X, 2.0, targets=[0] * 4), TypeError, "targets has type list: expected a torch.Tensor"),
        (lambda: mutual_loss(X, 2.0, targets=torch.ones(4)), TypeError, "targets has .*float32.*: expected class"),
        (lambda: mutual_loss(X, 2.0, targets=torch.ones(4) > 0), TypeError, "targets has .*: expected class.*mask="),
        (lambda: mutual_loss(X, 2.0, targets=torch.ones(3).long()), ValueError, r"targets has shape \(3,\): .*\(4,\)"),
        (lambda: mutual_loss(X, 2.0, ignore_index=0.5), TypeError, "ignore_index = 0.5 .*: expected an integer"),
        (lambda: RenyiDivLoss(2.0, ignore_index=None), TypeError, "ignore_index = None .*: expected an integer"),
        (lambda: mutual_loss(X, torch.ones(3)), ValueError, r"alpha has shape \(3,\): expected one order.*\(4,\)"),
        (lambda: mutual_loss(X.softmax(-1), 2.0), ValueError, "logits has non-negative.*before softmax"),
        (lambda: mutual_loss(list(X.half().softmax(-1)), 2.0), ValueError, r"logits\[0\] has non-negative rows"),
        (lambda: RenyiDivLoss(2.0)(X[0], X[1].softmax(-1)), ValueError, "teacher_logits has non-negative rows"),
        (lambda: RenyiDivLoss(2.0)(X[0].softmax(-1), X[1]), ValueError, "student_logits has non-negative rows"),
        (
            lambda: RenyiDivLoss(2.0)(X[0], X[1, :, :3]),
            ValueError,
            r"student.*\(4, 5\) and teacher_logits \(4, 3\): expected the same classes",
        ),
        (lambda: RenyiDivLoss(2.0)(X[0], X[1, :2]), ValueError, r"\(4, 5\).*\(2, 5\): expected the same batch"),
        (lambda: RenyiDivLoss(-1.0), ValueError, r"\[0, inf\]"),
        (lambda: RenyiDivLoss(2.0, temperature=-1.0), ValueError, "temperature"),
        (lambda: RenyiDivLoss(2.0, reduction="avg"), ValueError, "reduction"),
        (lambda: MutualLoss("2"), TypeError, "alpha = '2' .*: expected a real number"),
        (lambda: MutualLoss(100.0, learn_alpha=True), ValueError, "initial = 100.0: .*strictly between"),
        (lambda: MutualLoss(-1.0, learn_alpha=True), ValueError, "alpha = -1.0: expected a finite number > 0"),
        (lambda: MutualLoss(LinearOrder(1.0, 2.0, 3), learn_alpha=True), TypeError, "alpha has type LinearOrder"),
        (lambda: LearnableOrder(1.0, low=2.0), ValueError, "strictly between"),
        (lambda: LinearOrder(-1.0, 2.0, 3), ValueError, r"\[0, inf\]"),
        (lambda: LinearOrder(1.0, math.inf, 3), ValueError, "finite"),
        (lambda: CosineOrder(1.0, 2.0, 0), ValueError, "at least 1"),
        (lambda: CosineOrder(1.0, 2.0, 1.5), TypeError, "integer"),
        (lambda: LinearOrder(1.0, 2.0, 3).value(-1), ValueError, "step = -1: expected at least 0"),
        (lambda: ConstantOrder(torch.tensor(1.0)), TypeError, "LearnableOrder"),
    ],
)
def test_errors_say_what_came_and_what_is_allowed(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("alpha", [0.0, 0.7, 2.0])
@pytest.mark.parametrize("students", [1, 2, 3])
@pytest.mark.parametrize("kind", ["meta", "fake"])
def test_logits_without_values_give_shapes_and_types(kind, students, alpha):
    device = "meta" if kind == "meta" else "cpu"
    with FakeTensorMode() if kind == "fake" else nullcontext():
        x = torch.randn(students, 3, 4, dtype=torch.bfloat16, device=device, requires_grad=True)
        mask = torch.ones(3, dtype=torch.bool, device=device)
        losses = mutual_loss(list(x), alpha, mask=mask)
        (losses.sum() + mutual_loss(x, alpha, reduction="none").sum()).backward()
        distilled = RenyiDivLoss(alpha)(x[0], x[-1].detach())
        divergences = renyi_divergence(x[0], x[-1], alpha)
    assert (losses.shape, losses.dtype, losses.device.type) == ((students,), torch.bfloat16, device)
    assert (x.grad.shape, x.grad.dtype) == (x.shape, x.dtype)
    assert (distilled.shape, divergences.shape) == ((), (3,))


def test_what_looks_like_probabilities_but_is_not():
    # one row cannot be told from logits, log-probabilities are logits, and so are zeros
    mutual_loss([X[0, :1].softmax(-1), X[1, :1].softmax(-1)], 2.0)
    mutual_loss(X.log_softmax(-1), 2.0)
    mutual_loss(torch.zeros(3, 4, 5), 2.0)
    RenyiDivLoss(1)(X[0].abs(), X[1].abs())
    # each student saw one sample only
    mutual_loss(X[:, :1].softmax(-1), 2.0)
    # many classes in a narrow type: sums near one, but not as near as rounding allows
    sparse = torch.zeros(2, 8, 1000, dtype=torch.bfloat16)
    sparse[..., 0] = 1.25
    mutual_loss(sparse, 2.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: mutual_loss(list(x), 2.0),
        lambda x: mutual_loss(x, torch.full((2,), 2.0)),
        lambda x: RenyiDivLoss(2.0, reduction="none")(x[1], x[0]),
    ],
)
def test_logits_of_zeros_and_a_one_work(call):
    """They are no softmax of finite logits; they may be labels, so that is said."""
    x = torch.stack([torch.eye(2), torch.eye(2).flip(0)])
    with pytest.warns(UserWarning, match="one-hot") as caught:
        value = call(x)
    assert {w.filename for w in caught} == {__file__}
    torch.testing.assert_close(value, call(x - 1.0))
    with pytest.raises(ValueError, match="subtract"):
        call(torch.tensor([[[0.25, 0.75], [1.0, 0.0]]]).repeat(2, 1, 1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("classes", [2, 10, 1000, 50000])
def test_probabilities_are_told_in_every_type(dtype, classes):
    random = torch.Generator().manual_seed(classes)
    for scale in (0.1, 1.0, 10.0):
        x = (torch.randn(2, 4, classes, generator=random) * scale).to(dtype).softmax(-1)
        with pytest.raises(ValueError, match="as probabilities do"):
            mutual_loss(x, 2.0)


def test_integer_orders_are_orders():
    torch.testing.assert_close(mutual_loss(X, 2), mutual_loss(X, 2.0))
    torch.testing.assert_close(renyi_divergence(X[0], X[1], torch.tensor(2)), renyi_divergence(X[0], X[1], 2.0))
    assert isinstance(mutual_loss(X, 0), torch.Tensor)


@pytest.mark.parametrize("number", [np.int64, np.int8, np.float32, np.float64, np.float16, Fraction])
def test_real_numbers_of_every_kind_are_numbers(number):
    two = number(2)
    expected = mutual_loss(X, 2.0, beta=2.0, temperature=2.0)
    torch.testing.assert_close(mutual_loss(X, two, beta=two, temperature=two), expected, rtol=0, atol=0)
    torch.testing.assert_close(MutualLoss(two, beta=two, temperature=two)(X), expected, rtol=0, atol=0)
    torch.testing.assert_close(renyi_divergence(X[0], X[1], two), renyi_divergence(X[0], X[1], 2.0), rtol=0, atol=0)
    torch.testing.assert_close(RenyiDivLoss(two)(X[0], X[1]), RenyiDivLoss(2.0)(X[0], X[1]), rtol=0, atol=0)
    assert LinearOrder(two, number(4), steps=np.int64(2)).value(np.int32(1)) == 3.0
    assert LearnableOrder(two, low=number(1), high=number(4))().item() == pytest.approx(2.0)


@pytest.mark.parametrize("alpha", [2.0, torch.full((2, 3, 3), 1.5)])
def test_classes_on_axis_one_as_in_images(alpha):
    """(B, C, H, W), with targets (B, H, W) as nn.CrossEntropyLoss takes them."""
    x = torch.randn(3, 2, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    last = x.movedim(2, -1)
    labels = torch.randint(0, 5, (2, 3, 3), generator=torch.Generator().manual_seed(1))
    labels[0, 1] = -100
    leaf = x.clone().requires_grad_()
    losses = mutual_loss(leaf, alpha, dim=1, targets=labels)
    losses.sum().backward()
    plain = last.clone().requires_grad_()
    expected = mutual_loss(plain, alpha, dim=-1, targets=labels)
    expected.sum().backward()
    torch.testing.assert_close(losses, expected, rtol=0, atol=0)
    torch.testing.assert_close(leaf.grad.movedim(2, -1), plain.grad, rtol=0, atol=0)
    for dim in (1, -3):
        torch.testing.assert_close(mutual_loss(list(x), alpha, dim=dim, targets=labels), expected, rtol=0, atol=0)
        torch.testing.assert_close(MutualLoss(alpha, dim=dim)(x, targets=labels), expected, rtol=0, atol=0)
        rows = RenyiDivLoss(alpha, dim=dim, reduction="none")(x[0], x[1])
        assert rows.shape == (2, 3, 3)
        torch.testing.assert_close(
            rows, RenyiDivLoss(alpha, dim=-1, reduction="none")(last[0], last[1]), rtol=0, atol=0
        )
    for call in (
        lambda: MutualLoss(alpha)(x),
        lambda: mutual_loss(list(x), 2.0),
        lambda: RenyiDivLoss(2.0)(x[0], x[1]),
    ):
        with (
            pytest.warns(UserWarning, match="last axis is taken for the classes; pass dim=1") as caught,
            suppress(ValueError),
        ):
            call()
        assert caught[0].filename == __file__
    with pytest.raises(ValueError, match=r"targets has shape .*: expected that of the logits.*dim= says"):
        mutual_loss(list(x), 2.0, dim=-1, targets=labels)


def bad_calls(count, seed):
    """Calls of every loss in which some arguments are of the wrong kind, type, range or shape."""
    random = np.random.default_rng(seed)
    things = [
        None, "2", b"x", [], [1.0], {}, (), object(), print, torch, np.ones(3), np.array(2.0), True, np.True_, 2 + 1j,
        np.complex64(1j), math.nan, -math.inf, -1, -1e-300, 10**400, -(10**400), 1e200, 1e-200, 2.5, -7, 99, np.nan,
        Fraction(10**400), Decimal(2), torch.tensor(1j), torch.tensor(True), torch.tensor(math.nan), torch.ones(7),
        torch.tensor(-1.0), torch.ones(0), torch.ones(3, 4).long(), torch.ones(2, 3).to_sparse(), float, "mean ",
        torch.ones(4, dtype=torch.bool), torch.ones(3, 4, 5).softmax(-1), torch.ones((3, 4, 5), dtype=torch.complex64),
        torch.ones(3, 4, 5).to(torch.float8_e5m2), [torch.ones(4, 5), None], [torch.ones(4, 5), torch.ones(4)],
        torch.zeros(3, 4, 0), torch.zeros(0, 4, 5), np.array([object()]), np.datetime64("2020-01-01"), slice(3),
    ]  # fmt: skip
    names = ("alpha", "beta", "temperature", "reduction", "mask", "targets", "ignore_index", "dim")

    def bad():
        return things[random.integers(len(things))]

    def logits():
        return X if random.random() < 0.6 else bad()

    def options(*allowed):
        chosen = [name for name in allowed if random.random() < 2.0 / len(allowed)]
        return {name: bad() for name in chosen}

    module = ("alpha", "temperature", "reduction", "ignore_index", "dim")
    for _ in range(count):
        kind = random.integers(6)
        if kind == 0:
            yield partial(mutual_loss, logits(), **({"alpha": 2.0} | options(*names)))
        elif kind == 1:
            make = partial(MutualLoss, **options("beta", "learn_alpha", *module))
            yield partial(built_and_called, make, logits(), **options("mask", "targets"))
        elif kind == 2:
            make = partial(RenyiDivLoss, **options(*module))
            yield partial(built_and_called, make, logits(), logits(), **options("mask", "targets"))
        elif kind == 3:
            yield partial(renyi_divergence, logits(), logits(), **({"alpha": 2.0} | options("alpha", "dim")))
        elif kind == 4:
            yield partial(built_and_called, partial(LearnableOrder, **options("initial", "low", "high")))
        else:
            given = {"start": 1.0, "end": 2.0, "steps": 3} | options("start", "end", "steps")
            schedule = (LinearOrder, CosineOrder)[random.integers(2)]
            yield partial(scheduled, partial(schedule, **given), bad() if random.random() < 0.3 else 1)


def built_and_called(make, *arguments, **options):
    return make()(*arguments, **options)


def scheduled(make, step):
    return torch.tensor(make().value(step))


ARGUMENTS = re.compile(
    r"alpha|beta|temperature|reduction|mask|targets|ignore_index|dim|logits|student|teacher|learn_alpha|initial|low|high|"
    r"start|end|steps?|orders? |ramp|class"
)


@pytest.mark.parametrize("count", [100, pytest.param(2500, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:.*is taken for the classes:UserWarning")
def test_bad_calls_end_in_an_error_that_names_the_argument(count):
    """With the fixed seed 0, and in the long run with a fresh one, too."""
    refused = 0
    for seed in (0,) if count == 100 else (0, int.from_bytes(os.urandom(4), "big")):
        for number, call in enumerate(bad_calls(count, seed)):
            message = None
            try:
                out = call()
            except (TypeError, ValueError) as error:
                message = str(error)
            if message is None:
                assert not out.isnan().any(), (seed, number, call)
            else:
                refused += 1
                assert ARGUMENTS.search(message), (seed, number, call, message)
    assert refused > 0.6 * count


def test_schedules_do_not_lag():
    for make in (LinearOrder, CosineOrder):
        schedule = make(2.0, 0.5, steps=8)
        criterion = MutualLoss(schedule)
        seen = []
        for _ in range(10):
            seen.append(schedule.alpha)
            torch.testing.assert_close(criterion(X), mutual_loss(X, seen[-1]))
            schedule.step()
        assert seen[0] == 2.0
        assert seen[8] == 0.5
        assert seen[9] == 0.5
        assert seen == [schedule.value(n) for n in range(10)]
        assert seen[:9] == sorted(seen[:9], reverse=True)
        assert seen[4] == pytest.approx(1.25)
    assert LinearOrder(0.0, 1.0, 4).value(1) == 0.25
    assert CosineOrder(0.0, 1.0, 4).value(1) == pytest.approx(0.5 * (1 - math.cos(math.pi / 4)))
    assert ConstantOrder(math.inf).value(7) == math.inf


def test_schedules_resume():
    schedule = CosineOrder(2.0, 0.0, steps=8)
    for _ in range(3):
        schedule.step()
    fresh = CosineOrder(2.0, 0.0, steps=8)
    fresh.load_state_dict(schedule.state_dict())
    assert fresh.alpha == schedule.alpha == schedule.value(3)
    torch.testing.assert_close(MutualLoss(fresh)(X), mutual_loss(X, schedule.value(3)))
    assert fresh.step() == schedule.value(4)
    assert "steps_taken=4" in repr(fresh)


def test_a_trained_order_stays_in_range():
    order = LearnableOrder(0.7, low=0.5, high=3.0)
    assert order().item() == pytest.approx(0.7, rel=1e-6)
    for raw, expected in ((-1e3, 0.5), (1e3, 3.0)):
        with torch.no_grad():
            order.raw.fill_(raw)
        assert order().item() == pytest.approx(expected, rel=1e-9)
    assert "low=0.5" in repr(order)


def test_the_loss_alone_lowers_a_trained_order():
    criterion = MutualLoss(1.0, learn_alpha=True)
    optimizer = torch.optim.SGD(criterion.parameters(), lr=1.0)
    before = criterion.alpha.item()
    criterion(X).sum().backward()
    optimizer.step()
    assert criterion.alpha.item() < before
