"""The update is the published algorithm; networks; schedules; precision."""

import dataclasses
import inspect
import re
import sys

import pytest
import torch
from torch.nn import functional

from verify.commands.training import flags
from verify.trainer import Config, Trainer, TrainerError
from verify.trainer import trainer as trainer_module
from verify.trainer.data import Data, Split
from verify.trainer.networks import NETWORKS, build_students, parse_students, unsafe_channels_last
from verify.trainer.trainer import make_objective, make_rate
from verify.trainer.update import Objective, StackedMLPs, base_loss, stackable

SHAPE, CLASSES, BATCH = (1, 40), 10, 64


def build(config, shape=SHAPE, classes=CLASSES):
    return build_students(config.students, shape, classes, seed=config.seed, width=config.width, norm=config.norm)


def cohort(config, shape=SHAPE, dtype=torch.float32, device="cpu"):
    """As a trainer has it that makes 10 steps an epoch."""
    precision = "float64" if dtype == torch.float64 else config.precision
    config = dataclasses.replace(config, precision=precision, monitor=0.0, batch=BATCH, device=device)
    samples = Split(torch.zeros(10 * BATCH, *shape), torch.zeros(10 * BATCH, dtype=torch.long))
    return Trainer(config, data=Data(samples, samples, samples, CLASSES), students=build(config, shape)).cohort


def batches(count, shape=SHAPE, seed=0, dtype=torch.float32):
    random = torch.Generator().manual_seed(seed)
    for _ in range(count):
        yield (
            torch.randn(BATCH, *shape, generator=random).to(dtype),
            torch.randint(0, CLASSES, (BATCH,), generator=random),
        )


def divergence(p_logits, q_logits, alpha):
    p, q = functional.softmax(p_logits, 1), functional.softmax(q_logits, 1)
    if alpha == 1:
        return (p * (p.log() - q.log())).sum(1).mean()
    return ((q * (p / q) ** alpha).sum(1).log() / (alpha - 1)).mean()


def literal_steps(config, students, data, beta=lambda step: 1.0):
    """The authors' algorithm, literally but without their clamp: K forward passes, then K backward passes and steps."""
    momentum = {"momentum": config.momentum, "nesterov": config.nesterov and config.momentum > 0}
    optimizers = [
        torch.optim.SGD(s.parameters(), lr=config.lr, weight_decay=config.weight_decay, **momentum) for s in students
    ]
    history = []
    for step, (x, y) in enumerate(data):
        outputs = [s(x) for s in students]
        for i, optimizer in enumerate(optimizers):
            mutual = sum(
                divergence(outputs[j].detach(), outputs[i], config.alpha) for j in range(len(students)) if j != i
            )
            base = functional.cross_entropy(outputs[i], y)
            loss = base + beta(step) * mutual / (len(students) - 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.append((base.item(), (loss - base).item()))
    return torch.tensor(history, dtype=torch.float64).view(-1, len(students), 2)


STEPS = 20
# A step adds up at most a thousand terms in one order or another, each with a rounding; in double precision these are
# so small that no step amplifies them into sight, not even one of a residual network or over the kink of a rectifier.
TOLERANCE = STEPS * 1000 * torch.finfo(torch.float64).eps


def deviation(config, *, steps=STEPS, dtype=torch.float64, fault=None, beta=lambda step: 1.0):
    """The greatest differences from the literal loop, of losses and of weights, with a fault in our configuration."""
    ours = cohort(dataclasses.replace(config, **(fault or {})), dtype=dtype)
    theirs = [s.to(dtype) for s in build(config)]
    data = list(batches(steps, dtype=dtype))
    expected = literal_steps(config, theirs, data, beta)
    got = torch.stack([ours.update(x, y, n) for n, (x, y) in enumerate(data)]).permute(0, 2, 1)
    pairs = zip(ours.parameters(), (p for s in theirs for p in s.parameters()), strict=True)
    return float((got - expected).abs().max()), max(float((p - q).detach().abs().max()) for p, q in pairs)


def plain(students, alpha, **changes):
    return Config(students=students, alpha=alpha, lr=0.05, lr_schedule="constant", width=8, **changes)


# An order is a matter of the loss: every one with students that are stacked, and one of each kind of the others.
@pytest.mark.parametrize(
    ("students", "alpha"),
    [("mlp:2", 0.5), ("mlp:2", 1.0), ("mlp:2", 2.0), ("mlp:4", 0.5), ("cnn:2,mlp:1", 0.5), ("resnet:2", 2.0)],
)
def test_equal_to_a_literal_loop_of_the_published_algorithm(students, alpha):
    assert max(deviation(plain(students, alpha))) < TOLERANCE


@pytest.mark.parametrize("students", ["mlp:2", "cnn:2,mlp:1"])
def test_a_step_in_single_precision_is_the_literal_one_to_its_roundings(students):
    """One step: of more, roundings may be amplified, in either loop."""
    assert max(deviation(plain(students, 2.0), steps=1, dtype=torch.float32)) < 32 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("fault", [{"momentum": 0.909}, {"beta": 1.01}, {"alpha": 1.01}, {"lr": 0.0505}], ids=str)
def test_a_fault_of_one_percent_is_far_outside_of_the_tolerance(fault):
    alpha = 1.0 if "alpha" in fault else 2.0
    losses, weights = deviation(plain("mlp:2", alpha), fault=fault)
    assert min(losses, weights) > 1e6 * TOLERANCE


def falling(step):
    """β from 1 to 0.2 over 20 steps, in a straight line, after two steps of rising."""
    return min(1.0, step / 2) * (1.0 - 0.8 * step / (STEPS - 1))


def test_the_weight_follows_its_schedule_in_the_losses(monkeypatch):
    """As in the literal loop, whose β is written out; a loss that takes another β is far outside."""
    moving = plain("cnn:1,mlp:1", 2.0, beta_end=0.2, beta_schedule="linear", beta_warmup=0.2, epochs=2)
    assert max(deviation(moving, beta=falling)) < TOLERANCE
    for wrong in (
        lambda step: moving.beta,
        lambda step: falling(max(step - 1, 0)),
        lambda step: falling(step) if step > 1 else 1.0,
        lambda step: falling(min(step + 1, STEPS - 1)),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(
                trainer_module, "make_objective", lambda *a, w=wrong: dataclasses.replace(make_objective(*a), weight=w)
            )
            assert min(deviation(moving, beta=falling)) > 1e6 * TOLERANCE


def test_sequential_students_see_their_peers_latest_weights():
    """Nor do they move with their peers: of momentum and weight decay each has its own step's."""
    settings = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}
    config = Config(
        students="mlp:2", alpha=2.0, nesterov=False, lr_schedule="constant", update="sequential", **settings
    )
    ours, theirs = cohort(config), build(config)
    optimizers = [torch.optim.SGD(s.parameters(), **settings) for s in theirs]
    for n, (x, y) in enumerate(batches(5)):
        ours.update(x, y, n)
        for k in range(2):
            with torch.no_grad():
                peer = theirs[1 - k](x)
            own = theirs[k](x)
            loss = functional.cross_entropy(own, y) + divergence(peer, own, 2.0)
            optimizers[k].zero_grad()
            loss.backward()
            optimizers[k].step()
    for mine, other in zip(ours.students, theirs, strict=True):
        for p, q in zip(mine.parameters(), other.parameters(), strict=True):
            assert (p - q).abs().max() < 1e-5


def test_sequential_counts_running_statistics_once_a_step():
    both = [cohort(Config(students="resnet:2", width=4, update=u, lr=0.0)) for u in ("sequential", "simultaneous")]
    for x, y in batches(3):
        for c in both:
            c.update(x, y, 0)
    for a, b in zip(both[0].students[0].buffers(), both[1].students[0].buffers(), strict=True):
        assert torch.allclose(a.double(), b.double())


def test_independent_students_are_those_of_a_single_run():
    together = cohort(Config(students="cnn:2", beta=0.0, lr_schedule="constant"))
    alone = cohort(Config(students="cnn:1", lr_schedule="constant"))
    for n, (x, y) in enumerate(batches(5)):
        together.update(x, y, n)
        alone.update(x, y, n)
    for p, q in zip(together.students[0].parameters(), alone.students[0].parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_clipping_is_for_each_student_alone(precision):
    """Of gradients as they are, not as the scaler of half precision has them."""
    bare = {"momentum": 0, "weight_decay": 0, "lr_schedule": "constant"}
    ours = cohort(Config(students="mlp:2", clip=0.01, lr=1.0, precision=precision, **bare))
    before = [[p.detach().clone() for p in s.parameters()] for s in ours.students]
    x, y = next(batches(1))
    ours.update(x, y, 0)
    for student, old in zip(ours.students, before, strict=True):
        moved = sum(float((p - q).detach().square().sum()) for p, q in zip(student.parameters(), old, strict=True))
        assert moved**0.5 == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_low_precision_trains(precision, optimizer):
    config = Config(students="mlp:2", alpha=2.0, precision=precision, optimizer=optimizer, lr=0.01, epochs=4)
    low, full = cohort(config), cohort(dataclasses.replace(config, precision="float32"))
    x, y = next(batches(1))
    losses, expected = (torch.stack([c.update(x, y, n) for n in range(30)]) for c in (low, full))
    assert (losses - expected).abs().max() < 0.02
    assert not torch.equal(losses, expected)
    assert (losses[-1, 0] < losses[0, 0]).all()
    assert low.scaler.is_enabled() == (precision == "float16")


def test_adamw_is_that_of_torch():
    config = Config(students="mlp:2", optimizer="adamw", lr=0.01, weight_decay=0.1, lr_schedule="constant")
    ours, theirs = cohort(config), build(config)
    moved = torch.optim.AdamW([p for s in theirs for p in s.parameters()], lr=0.01, weight_decay=0.1)
    for n, (x, y) in enumerate(batches(3)):
        ours.update(x, y, n)
        for p, q in zip(ours.parameters(), (q for s in theirs for q in s.parameters()), strict=True):
            q.grad = p.grad.clone()
        moved.step()
    for p, q in zip(ours.parameters(), (q for s in theirs for q in s.parameters()), strict=True):
        assert torch.allclose(p, q, atol=1e-6)


def test_a_learned_order_moves_and_stays_in_its_range():
    ours = cohort(Config(students="mlp:2", alpha=2.0, alpha_schedule="learned", lr=0.1))
    for n, (x, y) in enumerate(batches(10)):
        ours.update(x, y, n)
    assert 0.05 < float(ours.learned().detach()) < 2.0


def test_a_learned_order_does_not_decay():
    x, y = next(batches(1))
    found = []
    for decay in (0.0, 0.5):
        ours = cohort(Config(students="mlp:2", alpha=2.0, alpha_schedule="learned", lr=0.1, weight_decay=decay))
        ours.update(x, y, 0)
        found.append(ours.learned.raw.detach().clone())
    assert torch.equal(*found)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_base_loss_is_cross_entropy(smoothing):
    logits = torch.randn(3, 20, 5, dtype=torch.float64, requires_grad=True)
    y = torch.randint(0, 5, (20,))
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    ours = base_loss(logits, y, smoothing)
    theirs = torch.stack([functional.cross_entropy(z, y, label_smoothing=smoothing) for z in logits])
    assert torch.allclose(ours, theirs, atol=1e-14)
    gradients = [torch.autograd.grad((weights * loss).sum(), logits)[0] for loss in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-15)


def test_schedules_do_not_lag():
    config = Config(
        lr=1.0, lr_schedule="step", lr_milestones=(2, 3), epochs=4, alpha=2.0, alpha_end=0.5, alpha_schedule="linear",
        beta=1.0, beta_end=0.0, beta_schedule="cosine",
    )  # fmt: skip
    rate, objective = make_rate(config, 5), make_objective(config, 5)
    assert [rate(n) for n in (0, 9, 10, 14, 15, 19)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert (objective.order(0), objective.order(19)) == (2.0, 0.5)
    assert (objective.weight(0), objective.weight(19)) == (1.0, 0.0)
    # The rate rises from its first part on; a cosine begins after that, and would be zero after the end.
    rising = make_rate(Config(lr=1.0, lr_schedule="cosine", lr_warmup=2.0, epochs=4), 5)
    assert [rising(n) for n in (0, 4, 9, 10, 15, 20)] == pytest.approx([0.1, 0.5, 1, 1, 0.5, 0])


@pytest.mark.parametrize("students", NETWORKS)
@pytest.mark.parametrize("shape", [(1, 40), (3, 32, 32)])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_networks_take_signals_and_images(students, shape, norm):
    taken = inspect.signature(NETWORKS[students]).parameters
    assert "width" in taken, f"{students}: a line of NETWORKS takes a width, for --width"
    config = Config(students=students, norm=norm, width=8)
    (network,) = build(config, shape, 7)
    out = network(torch.zeros(3, *shape))
    assert out.shape == (3, 7)
    has_batch_norm = any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in network.modules())
    assert has_batch_norm == ("norm" in taken and norm == "batch")


def test_every_field_has_a_flag_with_help_and_default_and_the_networks_are_named():
    told = {flag.name: flag.help for flag in flags()}
    assert list(told) == [field.name for field in dataclasses.fields(Config)]
    for field in dataclasses.fields(Config):
        words, default = told[field.name].rsplit(" (default: ", 1)
        assert (words[-1], default) == (".", f"{field.default})")
    assert set(NETWORKS) <= set(re.findall(r"\w+", told["students"]))


def test_narrow_strided_convolutions_are_refused_channels_last(tmp_path):
    """Their gradient corrupts memory: oneDNN issue 6035; eight channels are enough for AVX2, sixteen for AVX-512."""
    conv = torch.nn.Conv2d
    for layer in (conv(4, 8, 1, stride=2), conv(15, 8, 1, stride=(1, 3)), conv(32, 32, 1, stride=2, groups=4)):
        assert "1 x 1 convolution of" in unsafe_channels_last(torch.nn.Sequential(torch.nn.ReLU(), layer))
    for layer in (conv(16, 4, 1, stride=2), conv(4, 8, 1), conv(4, 8, 3, stride=2), torch.nn.Conv1d(4, 8, 1, stride=2)):
        assert unsafe_channels_last(layer) is None
    narrow = {"data": "digits", "students": "mlp,resnet", "width": 8, "monitor": 0.0, "out": tmp_path}
    with pytest.raises(TrainerError, match=r"student 1, a ResNet, has a 1 x 1 .* width of at least 16"):
        Trainer(Config(**narrow, channels_last=True, device="cpu"))
    # Also among networks of one's own, however many the configuration names.
    own = [torch.nn.Sequential(conv(1, 4, 3), conv(4, 10, 1, stride=2), torch.nn.Flatten()) for _ in range(3)]
    with pytest.raises(TrainerError, match=r"student 0, a Sequential, has a 1 x 1"):
        Trainer(Config(**narrow, channels_last=True, device="cpu"), students=own)
    Trainer(Config(**narrow, device="cpu"))
    for wide in ({"width": 16}, {"students": "cnn:2", "width": 8}, {"students": "resnet18", "width": 0}):
        Trainer(Config(**{**narrow, **wide}, channels_last=True, device="cpu"))


def test_resnet18_has_its_published_size():
    (network,) = build(Config(students="resnet18"), (3, 32, 32))
    assert sum(p.numel() for p in network.parameters()) == 11_173_962


def test_students_start_apart_and_as_the_seed_says():
    a, b, c = (build(Config(students="mlp:2", seed=s)) for s in (0, 0, 1))
    weights = [s[0][1].weight for s in (a, b, c)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(a[0][1].weight, a[1][1].weight)


def test_a_factory_of_your_own(monkeypatch, tmp_path):
    (tmp_path / "own_networks.py").write_text(
        "import torch\n"
        "def good(shape, classes):\n    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(classes))\n"
        "def wide(shape, classes):\n    return good(shape, classes + 1)\n"
        "def number(shape, classes):\n    return 3\n"
        "def broken(shape, classes):\n    return 1 / 0\n"
    )
    (tmp_path / "broken_network.py").write_text("def net(:\n")
    (tmp_path / "leaving_network.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert len(build(Config(students="own_networks:good:2"))) == 2
    with pytest.raises(TrainerError, match="outputs a sample where the data has 10 classes"):
        build(Config(students="mlp,own_networks:wide"))
    with pytest.raises(TrainerError, match="is a int: expected a torch"):
        build(Config(students="own_networks:number"))
    with pytest.raises(TrainerError, match="has no function missing"):
        build(Config(students="own_networks:missing"))
    for students, message in (
        ("no_such_module:x", "cannot be imported .*; install it or name another$"),
        ("mlp:x", "mlp cannot be imported .*; so many of a network are written as mlp:2$"),
        (
            "own_networks:broken",
            r"own_networks:broken raised ZeroDivisionError: .*by zero \(own_networks\.py, line 9\)",
        ),
        ("broken_network:net", r"broken_network raised SyntaxError: .*\(broken_network\.py, line 1\)"),
        ("leaving_network:net", r"leaving_network raised SystemExit \(leaving_network\.py, line 1\)"),
    ):
        with pytest.raises(TrainerError, match=message):
            build(Config(students=students))


def test_a_network_of_the_working_folder(tmp_path, monkeypatch):
    """The console script does not put the folder on the path, as `python -m` does: the file is found, and last."""
    for name in ("network_of_this_folder", "json"):
        (tmp_path / f"{name}.py").write_text(
            "from torch import nn\n"
            "def net(shape, classes): return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))\n"
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert len(build(Config(students="network_of_this_folder:net:2"))) == 2
    with pytest.raises(TrainerError, match="json has no function net"):
        build(Config(students="json:net"))


@pytest.mark.parametrize("text", ["", "mlp:0", "mlp:x:y:z", "mlp,,cnn"])
def test_bad_cohorts(text):
    with pytest.raises(TrainerError, match="expected names and numbers"):
        parse_students(text)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_networks_of_other_libraries(library):
    pytest.importorskip(library)
    (network,) = build(Config(students=f"{library}/resnet18"), (3, 64, 64))
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 10)


def test_stacked_students_are_the_students():
    config = Config(students="mlp:3", width=16, alpha=2.0)
    students = build(config)
    x, y = next(batches(1))
    apart = torch.stack([s(x) for s in students])
    stacked = StackedMLPs(students)
    assert torch.allclose(stacked(x), apart, atol=1e-5)
    base_loss(stacked(x), y).sum().backward()
    for s in students:
        own = torch.autograd.grad(functional.cross_entropy(s(x), y), list(s.parameters()))
        for p, g in zip(s.parameters(), own, strict=True):
            assert torch.allclose(p.grad, g, atol=1e-6)
    for p in stacked.parameters():
        p.data += 1
    assert not torch.allclose(torch.stack([s(x) for s in students]), apart)
    assert not stackable(build(Config(students="cnn:2")))
    assert not stackable(build(Config(students="mlp:1")))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_gpu_computes_what_a_cpu_computes(precision):
    config = Config(students="cnn:2", alpha=2.0, precision=precision, channels_last=True)
    here, there = (cohort(config, (3, 32, 32), device=device) for device in ("cpu", "cuda"))
    for n, (x, y) in enumerate(batches(3, (3, 32, 32))):
        a, b = here.update(x, y, n), there.update(x.cuda(), y.cuda(), n).cpu()
        assert torch.allclose(a, b, atol=1e-4 if precision == "float32" else 0.05)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0, float("inf")])
def test_a_dead_student_is_not_pulled_back(alpha):
    """With all rectifiers off only the output biases have a gradient, beside a confident peer, at every order."""
    torch.manual_seed(0)
    x, y = torch.rand(32, 5), torch.arange(32) % 3

    def gradients_of(bias):
        student = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Linear(7, 3))
        torch.nn.init.constant_(student[0].bias, bias)
        peer = 8.0 * functional.one_hot(y, 3).float()
        objective = Objective(lambda step: alpha, lambda step: 1.0)
        base, mutual = objective.losses(torch.stack([student(x), peer]), y, 0)
        (base[0] + mutual[0]).backward()
        return [float(part.grad.abs().max()) for part in student.parameters()]

    *weights, output = gradients_of(-100.0)
    assert weights == [0.0, 0.0, 0.0]
    # Balanced classes, a uniform student: at most the biases' own start moves it.
    assert output > 0
    assert min(gradients_of(1.0)) > 1e-3, "a student with live units is pulled"
