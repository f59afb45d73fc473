"""Constants on boxes of weights: they bound what is inside, they are near it, and they are about nothing else."""

from itertools import pairwise

import numpy as np
import pytest

from convergence import MutualLearning, box_constants, path_constants
from convergence.boxes import _ULPS, Ball, _norm, _softmax, _sum, _tanh

GAME = MutualLearning(hidden=[4, 3], alpha=2.0, size=1.5)
RNG = np.random.default_rng(20261127)


def curvature(game, x, k, step=1e-5):
    """The eigenvalue of ∇²L_k that is largest in size, from differences of gradients."""
    part = game.players[k]
    moves = np.zeros((part.stop - part.start, game.dim))
    moves[:, part] = step * np.eye(part.stop - part.start)
    hessian = (game.gradient(x + moves) - game.gradient(x - moves))[:, part] / (2 * step)
    return np.abs(np.linalg.eigvalsh((hessian + hessian.T) / 2)).max()


def gram(game, x, k, step=1e-6):
    """The root of the greatest eigenvalue of the mean of JᵀJ, from differences of logits."""
    part = game.players[k]
    jacobian = []
    for i in range(part.start, part.stop):
        move = step * np.eye(game.dim)[i]
        jacobian.append((game.logits(x + move)[k] - game.logits(x - move)[k]) / (2 * step))
    stacked = np.array(jacobian).reshape(len(jacobian), -1)
    return np.linalg.norm(stacked, 2) / np.sqrt(game.samples)


@pytest.mark.parametrize("game", [GAME, MutualLearning(hidden=[2, 2], weights=RNG.uniform(0, 3, (2, 32)))])
def test_no_point_of_a_box_has_more_and_a_small_box_hardly_more_than_its_middle(game):
    x = game.start + RNG.normal(size=game.dim) * 0.3
    for radius, loss in ((0.0, 1e-6), (1e-4, 0.05), (0.1, np.inf)):
        known = box_constants(game, x - radius, x + radius)
        for at in (x, *(x + radius * RNG.choice([-1, 1], (4, game.dim)))):
            z = game.logits(at)
            for k in range(game.students):
                spread = np.ptp(z[k] - z[1 - k], axis=1).max()
                assert curvature(game, at, k) <= known.smoothness[k] * (1 + 1e-6)
                assert gram(game, at, k) <= known.jacobian[k] * (1 + 1e-6)
                assert spread <= known.log_ratio_range[k] * (1 + 1e-12)
        if np.isfinite(loss):
            # The negative control: with constants 5% lower the middle of the box refutes them.
            for k in range(game.students):
                assert curvature(game, x, k) > known.smoothness[k] * (1 - loss)
                assert gram(game, x, k) > known.jacobian[k] * (1 - loss)


def test_they_are_less_than_those_for_all_weights():
    known = box_constants(GAME, GAME.start - 0.05, GAME.start + 0.05)
    assert max(known.smoothness) < min(GAME.student_smoothness)
    assert max(known.jacobian) < min(GAME.student_jacobian)


def test_a_run_that_leaves_its_box_breaks_the_constants():
    game = MutualLearning(hidden=[4, 4], alpha=1.0)
    path = [game.start]
    for _ in range(300):
        base, mutual = game.gradients(path[-1])
        path.append(path[-1] - 0.01 * (base + mutual))
    early = path_constants(game, path[:2], boxes=1)
    low, high = np.min(path[:2], axis=0), np.max(path[:2], axis=0)
    assert not ((low <= path[-1]) & (path[-1] <= high)).all()
    # The negative control: outside, they are false.
    assert any(curvature(game, path[-1], k) > early.smoothness[k] for k in (0, 1))
    assert any(gram(game, path[-1], k) > early.jacobian[k] for k in (0, 1))
    later = path_constants(game, path[-20:], boxes=10)
    for k in (0, 1):
        assert curvature(game, path[-1], k) <= later.smoothness[k] * (1 + 1e-6)
        assert gram(game, path[-1], k) <= later.jacobian[k] * (1 + 1e-6)


def test_every_step_lies_in_a_piece():
    path = GAME.start + np.cumsum(RNG.normal(size=(5, GAME.dim)) * 0.02, axis=0)
    steps = [box_constants(GAME, np.minimum(a, b), np.maximum(a, b)) for a, b in pairwise(path)]
    pieces = [box_constants(GAME, piece.min(axis=0), piece.max(axis=0)) for piece in (path[:3], path[2:])]
    for boxes, parts in ((2, pieces), (4, steps), (50, steps)):
        known = path_constants(GAME, path, boxes=boxes)
        for name in ("smoothness", "jacobian", "log_ratio_range"):
            assert np.array_equal(getattr(known, name), np.max([getattr(part, name) for part in parts], axis=0))


def test_norms_of_balls_bound_those_of_their_matrices():
    for size in (1, 2, 30):
        mid, rad = RNG.normal(size=(size, size)), RNG.uniform(0, 0.1, (size, size))
        mid, rad = mid + mid.T, rad + rad.T
        bound = _norm(Ball(mid, rad))
        for sign in (np.ones((size, size)), RNG.choice([-1, 1], (size, size))):
            inside = mid + rad * np.triu(sign) + (rad * np.triu(sign, 1)).T
            assert np.linalg.norm((inside + inside.T) / 2, 2) <= bound
        assert bound <= np.linalg.norm(mid, 2) + np.linalg.norm(rad, 2) * (1 + 1e-6) + 1e-6


def test_arithmetic_contains_that_of_exact_numbers():
    flint = pytest.importorskip("flint")
    for _ in range(200):
        a, b = 10.0 ** RNG.uniform(-3, 3, 2) * RNG.choice([-1, 1], 2)
        one, two = (Ball(np.array([v]), np.array([0.0])) for v in (a, b))
        for found, exact in (
            (one + two, flint.arb(a) + flint.arb(b)), (one * two, flint.arb(a) * flint.arb(b)),
            (_sum("i,i->", Ball(np.array([a, b]), np.zeros(2)), Ball(np.array([b, a]), np.zeros(2))),
             2 * flint.arb(a) * flint.arb(b)),
        ):  # fmt: skip
            assert flint.arb(float(found.low.item())) <= exact <= flint.arb(float(found.high.item()))


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_arithmetic_contains_that_of_the_ends(signs):
    for _ in range(50):
        mids, rads = RNG.normal(size=(2, 5, 3)), RNG.uniform(0, 1, (2, 5, 3))
        one, two = (Ball(mid, rad) for mid, rad in zip(mids, rads, strict=True))
        a, b = (mid + sign * rad for mid, rad, sign in zip(mids, rads, signs, strict=True))
        for found, exact in (
            (one + two, a + b), (one - two, a - b), (one * two, a * b), (-one, -a), (Ball.between(a, a + 1), a),
            (Ball.between(a - 1, a), a), (_sum("ni,nj->ij", one, two), a.T @ b), (_tanh(one), np.tanh(a)),
        ):  # fmt: skip
            assert ((found.low <= exact + 1e-12) & (exact - 1e-12 <= found.high)).all()
            assert ((found.low < exact) & (exact < found.high)).mean() > 0.99


def test_the_functions_of_numpy_err_by_no_more_than_is_trusted():
    flint = pytest.importorskip("flint")
    points = np.concatenate([RNG.normal(size=1000), RNG.normal(size=1000) * 20, 10.0 ** RNG.uniform(-12, 2, 1000)])
    for name in ("tanh", "exp"):
        for point, value in zip(points, getattr(np, name)(points), strict=True):
            exact = getattr(flint.arb(float(point)), name)()
            assert abs(float(flint.arb(float(value)) - exact)) <= _ULPS * np.spacing(abs(float(value)))
    z, radius = RNG.normal(size=(50, 6)) * 5, 0.01
    near = _softmax(Ball(z, np.full_like(z, radius)))
    for entry in range(6):
        for sign in (1, -1):
            # Its end is reached where its own logit is at one end and the others at the other.
            at = z - sign * radius
            at[:, entry] += 2 * sign * radius
            q = (np.exp(at) / np.exp(at).sum(axis=1, keepdims=True))[:, entry]
            assert ((near.low[:, entry] < q) & (q < near.high[:, entry])).all()
            assert np.allclose(q, (near.high if sign > 0 else near.low)[:, entry], rtol=1e-11, atol=1e-12)


def test_errors():
    for game in (MutualLearning(), MutualLearning(hidden=[4, 4], weights=np.ones((3, 2, 32)))):
        with pytest.raises(ValueError, match="two layers"):
            box_constants(game, game.start, game.start)
    with pytest.raises(ValueError, match="two finite vectors"):
        box_constants(GAME, GAME.start, GAME.start - 1)
    with pytest.raises(ValueError, match="two iterates"):
        path_constants(GAME, GAME.start[None])
