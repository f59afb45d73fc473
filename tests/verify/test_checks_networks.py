"""The networks of the claims, written out in NumPy, against torch; and what the trainer's paths are measured to be."""

import numpy as np
import pytest
import torch
from torch.func import functional_call, jacrev, vmap
from torch.nn.functional import cross_entropy

from rdml_theory import renyi_divergence
from rdml_theory.losses import mutual_loss
from verify.checks.networks import DECAY, SAMPLES, Setting, Snapshot, digits, flat
from verify.checks.training import _Half, follow, generalise, put
from verify.trainer.networks import MLP


def torch_gradients(students, inputs, y, alpha, decay, smoothing=0.0):
    """L_k, ∇L_k and ∇R_k by autograd, student by student."""
    logits = torch.stack([s(x) for s, x in zip(students, inputs, strict=True)])
    out = []
    for k, student in enumerate(students):
        parameters = list(student.parameters())
        penalty = 0.5 * decay * sum(p.square().sum() for p in parameters)
        loss = cross_entropy(logits[k], y, label_smoothing=smoothing) + penalty
        pull = mutual_loss(logits, alpha)[k]
        both = [torch.autograd.grad(v, parameters, retain_graph=True) for v in (loss, pull)]
        out.append((float(loss.detach()), *(torch.cat([g.flatten() for g in gs]).numpy() for gs in both)))
    return out


def halves(setting, start):
    students = [_Half(setting.half(k)).double() for k in range(setting.students)]
    for student, layers in zip(students, start, strict=True):
        put(student, layers)
    x = torch.from_numpy(digits()[0][:, :SAMPLES].transpose(1, 0, 2))
    return students, [x] * setting.students, torch.from_numpy(digits()[1][:SAMPLES])


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_gradients_are_those_of_autograd(alpha):
    setting = Setting(alpha, beta=0.7, students=3)
    start = setting.start(3)
    here = setting.snapshot(start)
    for k, (loss, base, mutual) in enumerate(torch_gradients(*halves(setting, start), alpha, DECAY)):
        assert here.loss[k] == pytest.approx(loss, rel=1e-12)
        assert np.allclose(here.base(k), base, atol=1e-14)
        assert np.allclose(here.bias(k, alpha, 0.7), 0.7 * mutual, atol=1e-13)
        each = here.sample_gradients(k, alpha, 0.7)
        assert np.allclose(each.mean(0), base + 0.7 * mutual, atol=1e-13)
        assert here.sample_variance(k, alpha, 0.7) == pytest.approx(each.var(axis=0).sum(), rel=1e-12)


def test_rectifiers_and_smoothing():
    torch.manual_seed(0)
    students = [MLP((5,), 4, 6).double() for _ in range(2)]
    x, y = torch.randn(30, 5, dtype=torch.float64), torch.randint(0, 4, (30,))
    layers = [[p.detach().numpy() for p in s.parameters()] for s in students]
    layers = [list(zip(parts[::2], parts[1::2], strict=True)) for parts in layers]
    here = Snapshot(layers, [x.numpy()] * 2, y.numpy(), decay=0.1, smoothing=0.2, rectified=True)
    for k, (_, base, mutual) in enumerate(torch_gradients(students, [x, x], y, 2.0, 0.1, 0.2)):
        assert np.allclose(here.base(k), base, atol=1e-14)
        assert np.allclose(here.pull(k, 2.0), mutual, atol=1e-14)
    with pytest.raises(ValueError, match="rectified"):
        here.curvature(0, here.base(0))


def test_a_loss_is_that_of_torch_where_a_probability_is_below_every_float():
    rng = np.random.default_rng(0)
    layers, x, y = [(300 * rng.normal(size=(4, 5)), rng.normal(size=4))], rng.normal(size=(30, 5)), np.arange(30) % 4
    here = Snapshot([layers], [x], y, decay=0.0, smoothing=0.2)
    expected = cross_entropy(torch.from_numpy(here.logits[0]), torch.from_numpy(y), label_smoothing=0.2)
    assert here.predicted[0].min() == 0
    assert here.loss[0] == pytest.approx(float(expected), rel=1e-13)


def test_jacobian_norms_are_those_of_the_whole_jacobian():
    setting = Setting()
    start = setting.start(2)
    (student, _), (x, _), _ = halves(setting, start)
    rows = vmap(jacrev(lambda p, v: functional_call(student, p, (v[None],))[0]), in_dims=(None, 0))(
        dict(student.named_parameters()), x[:20]
    )
    jacobian = torch.cat([j.flatten(2) for j in rows.values()], dim=2).detach()
    expected = torch.linalg.matrix_norm(jacobian, 2).square().numpy()
    assert np.allclose(setting.snapshot(start, np.arange(20)).jacobian_norms(0), expected, rtol=1e-10)


def test_curvature_is_what_makes_taylor_exact():
    setting = Setting(beta=0.0, students=1)
    here = setting.snapshot(setting.start(2))
    move, at = -0.3 * here.base(0), 0
    moved = []
    for weight, bias in here.layers[0]:
        parts = []
        for part in (weight, bias):
            parts.append(part + move[at : at + part.size].reshape(part.shape))
            at += part.size
        moved.append(tuple(parts))
    after = setting.snapshot([moved]).loss[0]
    exact = 2 * (after - here.loss[0] - here.base(0) @ move) / (move @ move)
    assert here.curvature(0, move) == pytest.approx(exact, rel=1e-6)


def test_curvatures_along_a_segment_are_those_of_autograd():
    """Of three layers, with smoothing and decay: the Hessian of torch, in the direction of the segment."""
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=shape), rng.normal(size=shape[0])) for shape in ((6, 5), (4, 6), (3, 4))]
    here = Snapshot([layers], [rng.normal(size=(30, 5))], rng.integers(0, 3, 30), decay=0.1, smoothing=0.2)
    move, at = rng.normal(size=len(flat(layers))), torch.from_numpy(flat(layers))
    x, y = torch.from_numpy(here.inputs[0]), torch.from_numpy(here.labels)

    def loss(theta):
        parts = theta.split([part.size for layer in layers for part in layer])
        z = x
        for n, (weight, bias) in enumerate(layers):
            z = (torch.tanh(z) if n else z) @ parts[2 * n].view(weight.shape).T + parts[2 * n + 1].view(bias.shape)
        return cross_entropy(z, y, label_smoothing=0.2) + 0.05 * theta.square().sum()

    places, way = np.array([0.0, 0.3, 1.0]), torch.from_numpy(move)
    hessians = [torch.autograd.functional.hessian(loss, at + s * way) for s in places]
    exact = [float(way @ hessian @ way / (way @ way)) for hessian in hessians]
    assert here.curvatures(0, move, places) == pytest.approx(exact, rel=1e-12)


def test_the_joint_gradient_is_that_of_the_joint_objective():
    setting = Setting(0.5, students=3)
    start = setting.start(2)
    here = setting.snapshot(start)

    def objective(shift):
        first, bias = start[0][0]
        at = setting.snapshot([[(first + shift * direction, bias), *start[0][1:]], *start[1:]])
        z = at.logits
        pairs = [renyi_divergence(z[j], z[k], 0.5, domain="logits").mean() for k in range(3) for j in range(k)]
        return at.loss.sum() + sum(pairs) / 2

    direction = np.random.default_rng(0).standard_normal(start[0][0][0].shape)
    slope = (objective(1e-4) - objective(-1e-4)) / 2e-4
    joint = [here.joint_gradient(k, 1.0) for k in range(3)]
    assert slope == pytest.approx(float(joint[0][: direction.size] @ direction.ravel()), rel=1e-6)
    # At α = ½ the students' update is this gradient.
    for k, gradient in enumerate(joint):
        assert np.allclose(here.base(k) + here.bias(k, 0.5, 1.0), gradient, atol=1e-12)


@pytest.mark.parametrize("batch", [SAMPLES, 200])
def test_every_step_of_a_path_adds_up(batch):
    setting = Setting(2.0)
    path = follow(setting, setting.start(0), step=0.1, steps=30, batch=batch, seed=1)
    square = path.base + path.bias + path.noise + 2 * (path.inner + path.drift + path.pull)
    change = -0.1 * (path.base + path.inner + path.drift) + 0.005 * path.smoothness * square
    assert np.allclose(path.after - path.loss, change, atol=1e-12)
    assert np.allclose(path.loss[1:], path.after[:-1])
    noise = np.sqrt(path.noise / path.bias).max()
    assert noise < 1e-4 if batch == SAMPLES else noise > 0.1


def test_some_steps_are_measured_as_they_are_among_all():
    setting = Setting(0.5)
    every, some = (
        follow(setting, setting.start(0), step=0.1, steps=12, times=t, keep=(3, 4, 9)) for t in (None, (3, 4, 9))
    )
    for name in ("loss", "after", "base", "bias", "smoothness"):
        assert np.array_equal(getattr(every, name)[[3, 4, 9]], getattr(some, name))
    for t in (3, 4, 9):
        assert np.array_equal(flat(every.kept[t].layers[0]), flat(some.kept[t].layers[0]))
    assert np.array_equal(flat(every.end[1]), flat(some.end[1]))


def test_with_momentum_a_step_is_that_of_heavy_ball():
    setting = Setting(0.5)
    path = follow(setting, setting.start(0), step=0.1, momentum=0.9, steps=4, keep=range(4), precision="float64")
    places = [
        np.concatenate([flat(part) for part in layers])
        for layers in (*(s.layers for s in path.kept.values()), path.end)
    ]
    gradients = [np.concatenate([s.base(k) + s.bias(k, 0.5, 1.0) for k in range(2)]) for s in path.kept.values()]
    for before, here, after, gradient in zip(places, places[1:], places[2:], gradients[1:], strict=False):
        assert np.allclose(after - here, 0.9 * (here - before) - 0.1 * gradient, atol=1e-12)


def test_many_seeds_at_once_are_trained_as_one_by_one():
    """Against a plain loop over the seeds, with the gradients of the cohort in double precision."""
    setting, seeds, at = Setting(2.0, beta=0.7), 2, dict(step=0.2, steps=12, batch=60)
    (accuracy,), (nll,) = generalise([(2.0, 0.7)], **at, seeds=seeds, seed=5)
    random = torch.Generator().manual_seed(5)
    first = torch.randn(2, seeds, 32, 8, generator=random).double().numpy() / 32**0.5
    last = torch.randn(2, seeds, 8, 10, generator=random).double().numpy() / 8**0.5
    orders = [torch.rand(seeds, SAMPLES, generator=random).argsort(1).numpy() for _ in range(2)]
    x, y = digits()
    for s in range(seeds):
        layers = [[(first[k, s].T, np.zeros(8)), (last[k, s].T, np.zeros(10))] for k in range(2)]
        for number in range(12):
            rows = orders[number // 10][s, 60 * (number % 10) :][:60]
            here = setting.snapshot(layers, rows)
            moved = [flat(layers[k]) - 0.2 * (here.base(k) + here.bias(k, 2.0, 0.7)) for k in range(2)]
            layers = [
                [(v[:256].reshape(8, 32), v[256:264]), (v[264:344].reshape(10, 8), v[344:])] for v in moved
            ]  # fmt: skip
        test = Snapshot(layers, [x[k, SAMPLES:] for k in range(2)], y[SAMPLES:])
        assert nll[s] == pytest.approx(test.loss.mean(), rel=1e-4)
        right = np.mean([(z.argmax(1) == y[SAMPLES:]).mean() for z in test.logits])
        assert accuracy[s] == pytest.approx(right, abs=3 / len(y[SAMPLES:]))


def test_a_seed_is_the_same_for_all_objectives():
    """Orders that differ by a rounding give the same scores, others do not."""
    objectives = [(alpha, 1.0) for alpha in (2.0, 2.0 + 1e-9, 0.5)]
    _, scores = generalise(objectives, step=0.2, steps=10, batch=60, seeds=3, seed=1)
    assert np.allclose(scores[0], scores[1], rtol=1e-4)
    assert not np.allclose(scores[0], scores[2], rtol=1e-2)
