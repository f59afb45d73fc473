"""The problems' declared constants are true: gradient, smoothness, minimum, noise and bias, searched for a breach."""

import itertools
import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate

from convergence import problems
from convergence.data import real_data
from convergence.moments import bias_excess, noise_variance
from convergence.probes import gradient_error, largest_curvature, least_value
from convergence.problems._bernstein import largest_norm
from convergence.problems.bias_models import BIAS_MODELS, relative
from convergence.problems.noise_models import NOISE_MODELS
from rdml_theory import renyi_divergence

# Other parameters than the default ones, and what part of Λ the search must reach with them.
VARIANTS = [
    ("quadratic", {"dim": 3, "smoothness": 2.5}, 1.0),
    ("quadratic_cosine", {"dim": 3, "curvature": 0.3, "amplitude": 0.7, "frequency": 1.7}, 1.0),
    ("robust_regression", {"loss": "cauchy", "scale": 2.0}, 1.0),
    ("double_well", {"curvature": 0.1, "height": 5.0}, 1.0),
    ("double_well", {"curvature": 1.0, "height": 1.2}, 1.0),
    ("phase_retrieval", {"size": 3.0}, 0.98),
    ("phase_retrieval", {"dim": 6}, 0.1),
    ("matrix_factorisation", {"rows": 5, "columns": 2}, 0.84),
    ("matrix_factorisation", {"size": 3.0}, 0.96),
    ("matrix_factorisation", {"rank": 2}, 0.36),
    ("mutual_learning", {"hidden": [0, 4], "alpha": 2.0}, 0.08),
]
SMALL = {"batch": 3, "hidden": [0, 4], "alpha": 2.0}
SUMS = [name for name in problems.available() if "batch" in problems.parameters(name)]


def small(name):
    """A problem with mini-batches, if it has any, and the game with students of two kinds."""
    return problems.get(name, **{key: SMALL[key] for key in SMALL if key in problems.parameters(name)})


@pytest.mark.parametrize(("name", "parameters", "part"), [*((n, {}, None) for n in problems.available()), *VARIANTS])
def test_gradient_and_smoothness(name, parameters, part):
    problem = problems.get(name, **parameters)
    assert gradient_error(problem, np.random.default_rng(0)).excess < 1
    budget = 6_000 if name == "mutual_learning" else 100_000
    found = largest_curvature(problem, np.random.default_rng(1), budget=budget).value
    assert found <= problem.smoothness * (1 + 1e-7)
    reached = problem.tightness if part is None else part
    assert found >= 0.995 * reached * problem.smoothness, (
        f"the search reaches {found / problem.smoothness:.4g} of Λ, expected {reached}: a smaller Λ may hold; "
        "if it is an upper bound only, say so in `tightness`"
    )


def test_the_page_on_problems_has_a_row_for_each():
    docs = Path(__file__).parents[2] / "docs"
    made = runpy.run_path(str(docs / "problem_table.py"))
    for page in ("problems.md", "api/convergence.md"):
        assert made["MARK"] in (docs / page).read_text()
    assert made["modules"]().count(".. automodule:: ") == len(problems.available())
    rows = [line.split(" | ") for line in made["table"]().splitlines()[2:]]
    assert [row[0].strip("| `") for row in rows] == list(problems.available())
    assert {len(row) for row in rows} == {5}
    by_name = {row[0]: row[2:] for row in rows}
    assert by_name["| `sigmoid_loss`"] == ["0.1408", "71%", "lower bound |"]
    assert by_name["| `double_well`"] == ["1.5", "all of it", "exact |"]


def test_the_constant_of_the_sigmoid_loss_is_attained():
    # Independent samples: all margins can be where the loss is curved most.
    problem = problems.get("sigmoid_loss", features=np.eye(3) + 0.3, labels=[1, -1, 1])
    x = np.linalg.solve(problem.signed, np.full(3, np.log(2 + np.sqrt(3))))
    along = np.linalg.eigh(problem.signed.T @ problem.signed)[1][:, -1]
    ends = problem.gradient(x + np.outer([-1e-5, 1e-5], along))
    assert np.linalg.norm(ends[1] - ends[0]) / 2e-5 == pytest.approx(problem.smoothness, rel=1e-6)


def test_the_largest_norm_of_polynomials_is_never_below_a_value():
    rng = np.random.default_rng(13)
    for dim, degree in ((1, 9), (2, 5), (3, 4)):
        powers = np.stack(np.meshgrid(*[np.arange(degree + 1)] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
        parts = rng.normal(size=(len(powers), dim, dim))
        parts += parts.swapaxes(1, 2)

        def matrix(t, powers=powers, parts=parts):
            return np.einsum("tp,pij->tij", (t[:, None, :] ** powers).prod(axis=-1), parts)

        upper, attained = largest_norm(matrix, dim, degree)
        corners = np.stack(np.meshgrid(*[[-1.0, 1.0]] * dim), axis=-1).reshape(-1, dim)
        t = np.vstack([rng.uniform(-1, 1, (20_000, dim)), corners])
        seen = np.abs(np.linalg.eigvalsh(matrix(t))).max()
        assert seen <= upper <= 1.021 * attained
        assert attained <= seen * 1.03
    # The largest value is inside, at t = 0.
    upper, attained = largest_norm(lambda t: (1 - t**2)[:, :, None], 1, 2, tolerance=1e-4)
    assert attained <= 1 <= upper <= 1.0001
    # A spent budget still bounds.
    rough, _ = largest_norm(lambda t: ((1 - t**2) ** 3)[:, :, None], 1, 6, budget=0)
    assert rough > 3


@pytest.mark.parametrize("name", problems.available())
def test_minimum_is_a_lower_bound_and_reached_where_it_says_so(name):
    problem = problems.get(name)
    few = {} if problem.attains_minimum else {"points": 24, "descents": 4}
    least = least_value(problem, np.random.default_rng(2), **few).value
    assert least >= problem.minimum - 1e-12
    if problem.attains_minimum:
        assert least == pytest.approx(problem.minimum, abs=1e-8), "not attained? Then say attains_minimum = False"


@pytest.mark.parametrize("name", SUMS)
def test_mini_batches_are_unbiased_and_keep_their_variance(name):
    """By quadrature: all samples are known, so the variance of a batch is an exact sum."""
    problem = small(name)
    x = problem.start + np.random.default_rng(4).normal(size=problem.dim)
    rows = np.tile(x, (100_000 if name != "mutual_learning" else 20_000, 1))
    errors = problem.sample_gradient(rows, np.random.default_rng(5)) - problem.gradient(x[None])
    bias = problem.bias_at(x[None], problem.gradient(x[None]))
    errors -= 0 if bias is None else bias
    assert (np.abs(errors.mean(axis=0)) <= 6 * errors.std(axis=0) / np.sqrt(len(rows)) + 1e-12).all()
    squares = (errors**2).sum(axis=1)
    assert squares.mean() + 6 * squares.std() / np.sqrt(len(rows)) <= problem.noise
    if name != "mutual_learning":
        each = problem.slopes(problem.features @ x)[:, None] * problem.features
        exact = ((each - each.mean(axis=0)) ** 2).sum(axis=1).mean() / 3
        assert abs(squares.mean() - exact) <= 6 * squares.std() / np.sqrt(len(rows))


def test_architectures_are_hidden_units_by_name():
    units = {"linear": [0, 0, 0], "two-layer": [5, 5, 5], "mixed": [0, 5, 0]}
    for architecture, hidden in units.items():
        named = problems.get("mutual_learning", students=3, architecture=architecture, hidden=5)
        listed = problems.get("mutual_learning", students=3, hidden=hidden)
        assert named.units == hidden
        np.testing.assert_array_equal(named.start, listed.start)
        assert named.smoothness == listed.smoothness
    assert problems.get("mutual_learning", architecture="mixed").units == [0, 4]


def test_students_with_different_data_and_layers_keep_their_bias():
    weights = np.ones((2, 32))
    weights[0, :16] = weights[1, 16:] = 0
    game = problems.get("mutual_learning", weights=weights * 2, hidden=[0, 5], alpha=2.0)
    assert game.dim == 3 * 3 + 3 * 5 + 6 * 3
    assert gradient_error(game, np.random.default_rng(7)).excess < 1
    x = np.random.default_rng(8).normal(size=(200, game.dim)) * 3
    bias = game.bias_at(x, game.gradient(x))
    assert 0 < (bias**2).sum(axis=1).max() <= game.bias
    assert np.abs(bias).max(axis=0).min() > 0


@pytest.mark.parametrize("oracle", [{"batch": 4}, {"noise": 0.5}, {}])
def test_a_draw_of_the_game_is_the_sum_of_its_parts(oracle):
    game = problems.get("mutual_learning", hidden=[0, 4, 2], students=3, alpha=2.0, **oracle)
    x = np.random.default_rng(3).normal(size=(5, game.dim))
    gradient, noise = game.gradient(x), np.zeros_like(x)
    game.noise_at(x, gradient, np.random.default_rng(4), noise)
    drawn = game.sample_gradient(x, np.random.default_rng(4))
    np.testing.assert_allclose(drawn, gradient + game.bias_at(x, gradient) + noise, atol=1e-13)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0, np.inf])
def test_bias_of_two_layers_is_the_slope_of_the_divergence_with_peers_held_constant(alpha):
    rng = np.random.default_rng(9)
    game = problems.get("mutual_learning", hidden=[0, 4, 2], students=3, alpha=alpha, beta=0.7, size=1.5)
    x = 2 * rng.normal(size=game.dim)

    def logits(theta):
        """From the definition, one sample after the other."""
        found = []
        for k, u in enumerate(game.units):
            part = theta[game.cuts[k] : game.cuts[k + 1]]
            if not u:
                found.append([part.reshape(3, 3).T @ row for row in game.inputs[k]])
                continue
            first, second = part[: 3 * u].reshape(3, u), 1.5 * np.tanh(part[3 * u :].reshape(u + 1, 3) / 1.5)
            found.append([second.T @ np.r_[np.tanh(first.T @ row), 1.0] for row in game.inputs[k]])
        return [np.array(z) for z in found]

    peers = logits(x)
    bias = game.bias_at(x[None], None)[0]
    for k in range(3):
        direction = np.zeros(game.dim)
        direction[game.cuts[k] : game.cuts[k + 1]] = rng.normal(size=game.cuts[k + 1] - game.cuts[k])

        def along(shift, k=k, direction=direction):
            own = logits(x + shift * direction)[k]
            parts = [renyi_divergence(peers[j], own, alpha, domain="logits").mean() for j in range(3) if j != k]
            return 0.7 * sum(parts) / 2

        coarse, fine = ((along(e) - along(-e)) / (2 * e) for e in (2e-4, 1e-4))
        assert (4 * fine - coarse) / 3 == pytest.approx(bias @ direction, rel=1e-7)


@pytest.mark.parametrize(("hidden", "size", "part"), [(6, 1.0, 0.5), (16, 4.0, 0.9), (64, 0.2, 0.7)])
def test_smoothness_of_two_layers_is_nearly_reached_in_corners(hidden, size, part):
    """Corners that no search finds, with two classes that stay equally likely.

    The first layer's: U = 0, V ≈ ±R, all units pull in step. The second's: all units are 1, V = 0.
    """
    features = np.random.default_rng(0).normal(size=(32, 2))
    game = problems.get("mutual_learning", features=[features], labels=np.arange(32) % 2, hidden=hidden, size=size)
    classes, first = np.array([1.0, -1.0]), 3 * hidden
    pulling, ones = np.zeros((2, game.dim))
    pulling[first:-2] = np.tile(12 * size * classes, hidden)
    ones[first - hidden : first] = 30
    axis = np.linalg.eigh(game.inputs[0].T @ game.inputs[0])[1][:, -1]
    along = np.zeros((2, game.dim))
    along[0, :first] = np.outer(axis, np.full(hidden, hidden**-0.5)).ravel()
    along[1, first:] = np.tile(classes, hidden + 1) / np.sqrt(2 * (hidden + 1))
    corners = np.stack([pulling, ones])
    change = (game.gradient(corners + 1e-5 * along) - game.gradient(corners - 1e-5 * along)) / 2e-5
    reached = np.linalg.norm(change, axis=1).max() / game.smoothness
    assert part <= reached <= 1


def test_named_data_split_by_features_or_by_samples():
    features, labels = real_data("breast_cancer")
    by_features = problems.get("mutual_learning", data="breast_cancer", students=3, alpha=2.0)
    same = problems.get("mutual_learning", features=np.split(features, 3, axis=1), labels=labels, alpha=2.0)
    x = np.random.default_rng(11).normal(size=(2, same.dim))
    np.testing.assert_array_equal(by_features.gradient(x), same.gradient(x))
    np.testing.assert_array_equal(by_features.bias_at(x, x), same.bias_at(x, x))
    # Student k's base loss is the mean over every third sample; R is over all of them.
    by_samples = problems.get("mutual_learning", data="breast_cancer", split="samples", students=3, alpha=2.0)
    x = np.random.default_rng(12).normal(size=(1, by_samples.dim))
    gradients, biases = (np.split(g[0], 3) for g in (by_samples.gradient(x), by_samples.bias_at(x, x)))
    for k, own in enumerate(np.split(x, 3, axis=1)):
        alone = problems.get("mutual_learning", features=[features[k::3]], labels=labels[k::3])
        np.testing.assert_allclose(gradients[k], alone.gradient(own)[0], atol=1e-14)
        assert biases[k].any()
    alike = problems.get("mutual_learning", data="iris", split="none")
    assert alike.inputs[0].shape == (150, 5)
    assert not alike.bias_at(alike.start[None], None).any()


def test_noise_bias_and_gradient_of_mini_batches_add_up():
    game = problems.get("mutual_learning", hidden=[0, 3], alpha=2.0, batch=4)
    x = np.random.default_rng(10).normal(size=(2, 5, game.dim))
    gradient, noise, sample = game.gradient(x), np.empty(x.shape), np.empty(x.shape)
    game.noise_at(x, gradient, [np.random.default_rng(i) for i in (1, 2)], noise)
    game.sample_into(x, gradient, [np.random.default_rng(i) for i in (1, 2)], sample)
    np.testing.assert_allclose(noise + gradient + game.bias_at(x, gradient), sample, atol=1e-14)
    for block, seed in enumerate((1, 2)):
        alone = game.sample_gradient(x[block], np.random.default_rng(seed))
        np.testing.assert_allclose(alone, sample[block], atol=1e-14)
        # From the definition: the mean over the samples drawn.
        rows = np.random.default_rng(seed).integers(0, 32, (5, 4))
        small = problems.get(
            "mutual_learning", features=[a[rows[3], :2] for a in game.inputs], labels=game.labels[rows[3]],
            hidden=[0, 3], alpha=2.0,
        )  # fmt: skip
        if small.classes == 3:
            at = x[block, 3:4]
            np.testing.assert_allclose(small.gradient(at) + small.bias_at(at, None), alone[3:4], atol=1e-14)


def test_pl_inequality_of_the_sine():
    x = np.linspace(-30, 30, 600_001)[:, None]
    problem = problems.get("pl_sine", dim=1)
    value, square = problem.value(x), problem.gradient(x)[:, 0] ** 2
    away = value > 1e-12
    assert (square[away] / (2 * value[away])).min() >= problem.pl_constant


def test_the_narrowing_valley_is_smooth_and_obeys_the_inequality():
    """By Bernstein coefficients in the four cells where it is no quadratic; the docstring says why that is enough."""
    problem = problems.get("narrowing_valley")
    mu, (top, _), side = problem.pl_constant, problem.start, 0.6

    def over(x):
        """1 - (‖∇f‖² - 2μf)/y², beside 0."""
        slack = (problem.gradient(x) ** 2).sum(axis=-1) - 2 * mu * problem.value(x)
        return (1 - slack / x[:, 1] ** 2)[:, None, None] * np.diag([1.0, 0.0])

    rng = np.random.default_rng(0)
    for cell in itertools.product((-0.5, 0.5), (0.5, 1.5)):
        middle = np.array([top, 0.0]) + side * np.array(cell)

        def there(t, middle=middle):
            return middle + side / 2 * t

        assert largest_norm(lambda t, there=there: problem.hessian(there(t)), 2, 2, tolerance=1e-3)[0] < 1
        assert largest_norm(lambda t, there=there: over(there(t)), 2, 4, tolerance=1e-3)[0] < 1
        x, v = there(rng.uniform(-0.99, 0.99, (20, 2))), 1e-6 * rng.normal(size=(20, 2))
        changed = (problem.gradient(x + v) - problem.gradient(x - v)) / 2
        np.testing.assert_allclose(np.einsum("nij,nj->ni", problem.hessian(x), v), changed, rtol=1e-6, atol=1e-14)
        for axis in (0, 1):  # across the edges of a cell nothing jumps
            edge = np.repeat(there(rng.uniform(-1, 1, (20, 2)))[:, None], 2, axis=1)
            edge[:, :, axis] = middle[axis] + side / 2 * (1 + np.array([-1e-12, 1e-12]))
            gradients = problem.gradient(edge)
            np.testing.assert_allclose(gradients[:, 0], gradients[:, 1], atol=1e-11)
    far = np.random.default_rng(1).uniform([-2 * top, -8.0], [2 * top, 8.0], (200_000, 2))
    assert ((problem.gradient(far) ** 2).sum(axis=-1) >= 2 * mu * problem.value(far) * (1 - 1e-12)).all()
    with pytest.raises(ValueError, match="at most 1/10"):
        problems.get("narrowing_valley", pl_constant=0.2)


@pytest.mark.parametrize("model", NOISE_MODELS)
def test_noise_has_mean_zero_and_the_declared_variance(model):
    rng = np.random.default_rng(3)
    gradient = np.tile([0.3, -2.0, 1.0, 0.0], (400_000, 1))
    draw = NOISE_MODELS[model](gradient, 0.7, rng)
    squares = (draw**2).sum(axis=1)
    # Six standard errors: one false alarm in 5e8.
    assert abs(squares.mean() - 0.49) <= 6 * squares.std() / np.sqrt(len(draw)) + 1e-12
    assert (np.abs(draw.mean(axis=0)) <= 6 * draw.std(axis=0) / np.sqrt(len(draw)) + 1e-15).all()


def test_heavy_tails_by_quadrature():
    """E m² of m = c/√U, U uniform on [1e-4, 1], with the c of the docstring; and the tail is heavier than normal."""
    c2 = (1 - 1e-4) / np.log(1e4)
    second, _ = integrate.quad(lambda u: c2 / u / (1 - 1e-4), 1e-4, 1)
    assert second == pytest.approx(1.0)
    draw = NOISE_MODELS["heavy_tailed"](np.zeros((400_000, 1)), 1.0, np.random.default_rng(9))
    assert np.abs(draw).max() <= np.sqrt(c2 / 1e-4)
    assert (draw**4).mean() > 100


def test_noise_does_not_depend_on_the_memory_order():
    """In blocks of any order in memory, one generator fills one block."""
    for model in NOISE_MODELS.values():
        gradient = np.random.default_rng(10).normal(size=(2, 64, 3))
        swapped = np.empty((2, 3, 64)).swapaxes(1, 2)
        together = model(gradient, 1.0, [np.random.default_rng(i) for i in (1, 2)], swapped)
        for block, seed in enumerate((1, 2)):
            alone = model(gradient[block], 1.0, np.random.default_rng(seed), np.empty((3, 64)).T)
            np.testing.assert_array_equal(together[block], alone)


def test_orthogonal_noise_is_orthogonal_and_defined_at_zero():
    rng = np.random.default_rng(4)
    gradient = np.vstack([rng.normal(size=(100, 3)), np.zeros((3, 3)), [[0.0, 0.0, 2.0]]])
    gradient[:100, 2] = 0
    draw = NOISE_MODELS["orthogonal"](gradient, 1.5, rng)
    np.testing.assert_allclose((draw * gradient).sum(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(draw, axis=1), 1.5, rtol=1e-14)


@pytest.mark.parametrize("model", BIAS_MODELS)
def test_bias_has_the_declared_norm(model):
    gradient = np.vstack([np.random.default_rng(5).normal(size=(50, 3)), np.zeros((1, 3))])
    norms = np.linalg.norm(BIAS_MODELS[model](gradient, 0.6), axis=1)
    declared = np.full(51, 0.6)
    if model == "adversarial":
        # It stops SGD where the gradient is that small.
        declared = np.minimum(declared, np.linalg.norm(gradient, axis=1))
        assert 0 < (declared < 0.6).sum() < 51
    np.testing.assert_allclose(norms, declared, rtol=1e-14)


def test_relative_bias():
    gradient = np.random.default_rng(5).normal(size=(50, 3))
    squares = (relative(gradient, 0.5) ** 2).sum(axis=1)
    np.testing.assert_allclose(squares, 0.25 * (gradient**2).sum(axis=1))
    problem = problems.get("pl_sine", relative_bias=0.25)
    np.testing.assert_allclose(problem.sample_gradient(gradient[:, :1].repeat(5, 1), np.random.default_rng(0)),
                               0.5 * problem.gradient(gradient[:, :1].repeat(5, 1)))  # fmt: skip


@pytest.mark.parametrize("noise_model", NOISE_MODELS)
def test_oracle_is_gradient_plus_bias_plus_noise(noise_model):
    problem = problems.get("quadratic_cosine", dim=3, noise=0.49, bias=0.36, noise_model=noise_model)
    noise = noise_variance(problem, np.random.default_rng(6), error_rate=1e-6, points=24)
    assert noise.low <= 0.49 <= noise.high
    bias = bias_excess(problem, np.random.default_rng(7), error_rate=1e-6, points=24)
    assert bias.low <= 0.6 <= bias.high
    assert bias.high - bias.low < 0.2


@pytest.mark.parametrize("name", problems.available())
def test_values_and_gradients_at_points_of_any_memory_order(name):
    problem = small(name)
    x = np.random.default_rng(8).normal(size=(6, 2 * problem.dim))
    whole = x[:, ::2].copy()
    value, gradient = problem.value(whole), problem.gradient(whole)
    views = (x[:, ::2], np.asfortranarray(whole))
    same = [(view, value, gradient) for view in views]
    same += [(whole[::2], value[::2], gradient[::2]), (x[0, ::2], value[0], gradient[0])]
    for view, values, gradients in same:
        np.testing.assert_allclose(problem.value(view), values, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(problem.gradient(view), gradients, rtol=1e-13, atol=1e-13)


def test_protocol_and_errors():
    assert isinstance(problems.get("quadratic"), problems.Problem)
    features = np.ones((3, 2))
    cases = {
        "no such problem": lambda: problems.get("cubic"),
        "dim = 1": lambda: problems.get("quadratic", dim=1),
        "noise = -1": lambda: problems.get("quadratic", noise=-1),
        "bias = nan": lambda: problems.get("quadratic", bias=float("nan")),
        "expected one of them to be 0": lambda: problems.get("quadratic", bias=1.0, relative_bias=0.1),
        "noise_model = 'loud'": lambda: problems.get("quadratic", noise_model="loud"),
        "bias_model = 'mean'": lambda: problems.get("quadratic", bias_model="mean"),
        "smoothness = 0": lambda: problems.get("quadratic", smoothness=0),
        "amplitude = -1": lambda: problems.get("quadratic_cosine", amplitude=-1),
        "parameters .'colour'.*takes dim": lambda: problems.get("quadratic", colour=1),
        "finite radius": lambda: problems.get("quadratic", radius=float("inf")),
        "radius = nan: expected a number": lambda: problems.get("quadratic", radius=float("nan")),
        "frequency = 0": lambda: problems.get("quadratic_cosine", frequency=0),
        "expected more than curvature": lambda: problems.get("double_well", height=0.1),
        "loss = 'huber'": lambda: problems.get("robust_regression", loss="huber"),
        "both features and targets": lambda: problems.get("robust_regression", features=features),
        "labels -1 or 1": lambda: problems.get("sigmoid_loss", features=features, labels=[0, 1, 1]),
        "no other noise": lambda: problems.get("sigmoid_loss", batch=4, noise=1.0),
        "weight = -1": lambda: problems.get("nonconvex_logistic", weight=-1),
        "size = 0": lambda: problems.get("phase_retrieval", size=0),
        "at least 1 of each": lambda: problems.get("matrix_factorisation", rank=0),
        "bias = 1.0: the bias is the mutual gradient": lambda: problems.get("mutual_learning", bias=1.0),
        "bias_model = 'constant'": lambda: problems.get("mutual_learning", bias_model="constant"),
        "hidden = -1: expected": lambda: problems.get("mutual_learning", hidden=-1),
        "one for each of 2 students": lambda: problems.get("mutual_learning", hidden=[0, 1, 2]),
        "architecture = 'deep': expected one of linear": lambda: problems.get("mutual_learning", architecture="deep"),
        "expected one integer >= 0": lambda: problems.get("mutual_learning", architecture="mixed", hidden=[0, 4]),
        "beta = inf: expected a finite number >= 0": lambda: problems.get("mutual_learning", beta=np.inf),
        "no other noise than that of batch": lambda: problems.get("mutual_learning", batch=4, noise_model="gaussian"),
        "data = 'mnist': no such data; available are breast_cancer": lambda: problems.get(
            "mutual_learning", data="mnist"
        ),
        "split = 'rows': expected one of features": lambda: problems.get("mutual_learning", data="iris", split="rows"),
        "students = 5: expected 1 to 4": lambda: problems.get("mutual_learning", data="iris", students=5),
        "expected data too": lambda: problems.get("mutual_learning", split="samples"),
        "students = 3.*expected 1": lambda: problems.get(
            "mutual_learning", features=[features], labels=[0, 1, 1], students=3
        ),
        "expected K arrays": lambda: problems.get("mutual_learning", features=[features], labels=[0, 1]),
    }
    for message, call in cases.items():
        with pytest.raises(ValueError, match=message):
            call()
