"""Random problems of many kinds whose constants are known, as users may bring them; nothing here imports the product.

Each declares upper bounds of its constants, and keeps what they reach at a known place: declared a fifth below that, a
constant is false. Tests and `benchmarks/measure_problem_trials.py` draw from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize
from scipy.special import expit, logsumexp

Array = np.ndarray


@dataclass
class Unseen:
    """A problem, and what its constants reach."""

    kind: str
    dim: int
    smoothness: float
    minimum: float
    noise: float
    bias: float
    start: Array
    box: tuple[Array, Array] | None
    value: Callable[[Array], Array]
    gradient: Callable[[Array], Array]
    sample_gradient: Callable[[Array, np.random.Generator], Array]
    peaks: dict[str, float]

    def lie(self, constant: str, factor: float = 0.8) -> Unseen:
        """The same behaviour, one constant declared as a part of what it reaches."""
        changed = Unseen(**vars(self))
        setattr(changed, constant, factor * self.peaks[constant])
        return changed


@dataclass
class Piece:
    """A term of f: a bound of its curvature, a lower bound of its values, and places where it may be curved most."""

    value: Callable[[Array], Array]
    gradient: Callable[[Array], Array]
    bound: float
    least: float
    spots: list[Array]


def rotation(rng, d):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


def bowl(rng, d, low=0.1, high=1.0):
    """A quadratic with random axes."""
    turn, spectrum = rotation(rng, d), rng.uniform(low, high, d)
    a = turn * spectrum @ turn.T
    return Piece(lambda x: ((x @ a) * x).sum(-1) / 2, lambda x: x @ a, float(spectrum.max()), 0.0, [np.zeros(d)])


def gauss(centre, precision, height):
    """height · exp(-(x - c)ᵀP(x - c)/2); a well where the height is negative."""

    def value(x):
        r = x - centre
        return height * np.exp(-((r @ precision) * r).sum(-1) / 2)

    def gradient(x):
        return -value(x)[:, None] * ((x - centre) @ precision)

    top = float(np.linalg.eigvalsh(precision)[-1])
    return Piece(value, gradient, abs(height) * top, min(height, 0.0), [centre])


def cosine_bump(centre, radius, height):
    """height · (1 + cos(πr/ρ))/2 inside the radius ρ, nothing outside."""

    def parts(x):
        r = x - centre
        size = np.linalg.norm(r, axis=-1)
        return r, size, size < radius

    def value(x):
        _, size, inside = parts(x)
        return np.where(inside, height * (1 + np.cos(np.pi * size / radius)) / 2, 0.0)

    def gradient(x):
        r, size, inside = parts(x)
        k = np.pi / radius
        return np.where(inside, -height * k / 2 * np.sinc(size / radius) * k, 0.0)[:, None] * r

    return Piece(value, gradient, abs(height) * (np.pi / radius) ** 2 / 2, min(height, 0.0), [centre])


def ridges(rng, d, count, act, slope, second_bound, scale, bounded_below):
    """Σ_j v_j φ(w_j·x + b_j)."""
    w = rng.standard_normal((count, d)) * rng.uniform(*scale, (count, 1)) / np.sqrt(d)
    b, v = rng.standard_normal(count) * 1.5, rng.standard_normal(count) / np.sqrt(count)
    if bounded_below is None:
        v = np.abs(v)
    spots = [-b[j] * w[j] / (w[j] @ w[j]) for j in range(count)]
    spots += [np.linalg.lstsq(w[[i, j]], -b[[i, j]], rcond=None)[0] for i in range(count) for j in range(i)]
    bound = np.linalg.norm((w * (second_bound * np.abs(v))[:, None]).T @ w, 2)
    least = 0.0 if bounded_below is None else float(np.abs(v).sum() * bounded_below)
    return Piece(lambda x: act(x @ w.T + b) @ v, lambda x: (slope(x @ w.T + b) * v) @ w, float(bound), least, spots)


def curvature(gradient, x, h=1e-5):
    """‖∇²f‖ by differences, at one point."""
    d = x.size
    step = h * np.eye(d)
    second = (gradient(x + step) - gradient(x - step)) / (2 * h)
    return float(np.abs(np.linalg.eigvalsh((second + second.T) / 2)).max())


def reach(gradient, spots, box=None, tries=24):
    """The largest curvature near the spots, by local searches from those that are curved most."""

    def inside(x):
        return x if box is None else np.clip(x, *box)

    near = [s for s in spots if np.abs(s).max() <= 5]
    order = sorted(near, key=lambda s: -curvature(gradient, inside(s)))[:tries]
    best = curvature(gradient, inside(order[0]))
    for spot in order[:6]:
        end = optimize.minimize(
            lambda x: -curvature(gradient, inside(x)), spot, method="Nelder-Mead",
            options={
                "maxfev": 150 * spot.size, "initial_simplex": spot + 0.02 * np.vstack([0 * spot, np.eye(spot.size)]),
            },
        )  # fmt: skip
        best = max(best, -float(end.fun))
    return best


DRAWS = {
    "gaussian": lambda rng, shape: rng.standard_normal(shape),
    "rademacher": lambda rng, shape: 2.0 * rng.integers(0, 2, shape) - 1,
    "student": lambda rng, shape: rng.standard_t(9, shape) / np.sqrt(9 / 7),
    "laplace": lambda rng, shape: rng.laplace(size=shape) / np.sqrt(2),
}


def build(kind, rng, pieces, d, *, box=None, start=None, peak=None, smoothness=None, variance=None, bias=None,
          noise_peak=None, bias_peak=None, sample=None, noise=None):  # fmt: skip
    """Put a problem together; the oracle's noise and bias are the same everywhere unless given."""

    def value(x):
        return sum(p.value(x) for p in pieces)

    def gradient(x):
        return sum(p.gradient(x) for p in pieces)

    if peak is None:
        peak = reach(gradient, [s for p in pieces for s in p.spots], box)
    model = DRAWS[rng.choice(list(DRAWS))]
    noise_peak = noise_peak or float(10 ** rng.uniform(-1.5, 0.3))
    bias_peak = bias_peak or float(noise_peak * 10 ** rng.uniform(-1.5, 0.5))
    if variance is None:
        variance = lambda x: np.full(len(x), noise_peak)  # noqa: E731
    if bias is None:
        toward = rng.standard_normal(d)
        toward *= np.sqrt(bias_peak) / np.linalg.norm(toward)
        bias = lambda x: toward  # noqa: E731

    def draw(x, rng):
        return gradient(x) + bias(x) + np.sqrt(variance(x) / d)[:, None] * model(rng, x.shape)

    return Unseen(
        kind=kind, dim=d, smoothness=smoothness or sum(p.bound for p in pieces), minimum=sum(p.least for p in pieces),
        noise=noise or noise_peak, bias=bias_peak, start=rng.standard_normal(d) if start is None else start, box=box,
        value=value, gradient=gradient, sample_gradient=sample or draw,
        peaks={"smoothness": peak, "noise": noise_peak, "bias": bias_peak},
    )  # fmt: skip


def narrow_bump(rng, d=None):
    d = d or int(rng.integers(1, 7))
    width = 10 ** rng.uniform(-1, -0.5)
    back = bowl(rng, d)
    sign = rng.choice([-1, 1])
    height = sign * rng.uniform(3, 8) * width**2
    return build("narrow bump", rng, [back, gauss(rng.uniform(-2, 2, d), np.eye(d) / width**2, height)], d)


def narrow_bump_in_four(rng):
    made = narrow_bump(rng, 4)
    made.kind = "narrow bump in 4 dimensions"
    return made


def narrow_cosine_bump(rng):
    d = int(rng.integers(1, 5))
    radius = rng.uniform(0.25, 0.8)
    height = rng.choice([-1, 1]) * rng.uniform(3, 8) * radius**2 / 5
    return build("cosine bump", rng, [bowl(rng, d), cosine_bump(rng.uniform(-1.5, 1.5, d), radius, height)], d)


def bump_on_waves(rng):
    """The background has third derivatives of its own: a bump's far tail drowns in them."""
    d = int(rng.integers(1, 5))
    turn, freq = rotation(rng, d), rng.uniform(0.5, 2.0, d)
    amp = rng.uniform(0.3, 1.0, d) / freq**2
    waves = Piece(
        lambda x: (1 - np.cos(x @ turn * freq)) @ amp, lambda x: (np.sin(x @ turn * freq) * amp * freq) @ turn.T,
        float((amp * freq**2).max()), 0.0, [np.zeros(d)],
    )  # fmt: skip
    width = rng.uniform(0.15, 0.35)
    bump = gauss(rng.uniform(-2, 2, d), np.eye(d) / width**2, -rng.uniform(3, 8) * width**2)
    return build("bump on waves", rng, [bowl(rng, d, 0.05, 0.3), waves, bump], d)


def anisotropic_bump(rng):
    d = int(rng.integers(2, 6))
    turn, widths = rotation(rng, d), 10 ** rng.uniform(-0.9, 0.2, d)
    bump = gauss(
        rng.uniform(-2, 2, d), turn / widths**2 @ turn.T, rng.choice([-1, 1]) * rng.uniform(2, 6) * widths.min() ** 2
    )
    return build("anisotropic bump", rng, [bowl(rng, d), bump], d)


def decoy(rng):
    """A wide bump, and a narrow one that is curved half as much again."""
    d = int(rng.integers(1, 5))
    wide, narrow = rng.uniform(0.5, 1.0), rng.uniform(0.12, 0.3)
    top = rng.uniform(2, 5)
    pieces = [bowl(rng, d), gauss(rng.uniform(-2, 2, d), np.eye(d) / wide**2, top * wide**2)]
    pieces.append(gauss(rng.uniform(-2, 2, d), np.eye(d) / narrow**2, -1.5 * top * narrow**2))
    return build("decoy", rng, pieces, d)


def narrow_ridge(rng):
    """Curved along one direction, in a thin layer."""
    d = int(rng.integers(2, 7))
    width, u = 10 ** rng.uniform(-1.3, -0.5), rng.standard_normal(d)
    u /= np.linalg.norm(u)
    at, height = rng.uniform(-1.5, 1.5), rng.uniform(3, 8) * width**2

    def value(x):
        t = np.abs(x @ u - at) / width
        return height * (t + np.log1p(np.exp(-2 * t)) - np.log(2))

    def gradient(x):
        return (height / width * np.tanh((x @ u - at) / width))[:, None] * u

    ridge = Piece(value, gradient, height / width**2, 0.0, [at * u])
    return build("ridge", rng, [bowl(rng, d), ridge], d)


def tanh_network(rng):
    d = int(rng.integers(2, 7))
    net = ridges(rng, d, int(rng.integers(4, 12)), np.tanh, lambda t: 1 - np.tanh(t) ** 2, 0.7699, (1, 4), -1.0)
    # Where |tanh''| is largest, t = ±artanh(1/√3), not where t = 0.
    made = build("tanh network", rng, [bowl(rng, d, 0.05, 0.3), net], d, peak=1.0)
    spots = [s + rng.standard_normal(d) * 0.3 for s in net.spots for _ in range(8)]
    made.peaks["smoothness"] = reach(made.gradient, spots)
    return made


def softplus_network(rng):
    d = int(rng.integers(2, 7))
    k = rng.uniform(1, 5)
    net = ridges(rng, d, int(rng.integers(4, 12)), lambda t: np.logaddexp(0, k * t) / k, lambda t: expit(k * t), k / 4,
                 (0.5, 2), None)  # fmt: skip
    return build("softplus network", rng, [bowl(rng, d, 0.05, 0.3), net], d)


def log_sum_exp(rng):
    d, count, k = int(rng.integers(1, 7)), int(rng.integers(3, 9)), rng.uniform(1, 8)
    a, b = rng.standard_normal((count, d)), rng.standard_normal(count) * 0.5

    def value(x):
        return logsumexp(k * (x @ a.T + b), axis=-1) / k

    def gradient(x):
        z = k * (x @ a.T + b)
        return np.exp(z - logsumexp(z, axis=-1, keepdims=True)) @ a

    # Variance of a bounded variable: at most a quarter of the squared diameter. Two of them alike, midway.
    pairs = [(i, j) for i in range(count) for j in range(i)]
    bound = k * max(((a[i] - a[j]) ** 2).sum() for i, j in pairs) / 4
    spots = [-(b[i] - b[j]) * (a[i] - a[j]) / ((a[i] - a[j]) ** 2).sum() for i, j in pairs]
    spots += [s + rng.standard_normal(d) for s in spots for _ in range(4)]
    # Σ p (a·x + b) convex; with the bowl ½μ|x|² it is at least max_i b_i - |a_i|²/2μ.
    least = float((b - (a**2).sum(axis=1) / 0.4).max()) - 1e-9
    back = bowl(rng, d, 0.2, 0.5)
    return build("log-sum-exp", rng, [back, Piece(value, gradient, float(bound), least, spots)], d)


def multiscale_waves(rng):
    """Rotated cosines of several frequencies; the largest curvature where all agree is known: the origin."""
    d = int(rng.integers(1, 5))
    pieces = [bowl(rng, d, 0.05, 0.2)]
    shift = rng.uniform(-2, 2, d)
    for freq in (1.0, 3.0, 9.0):
        u = rng.standard_normal(d)
        u *= freq / np.linalg.norm(u)
        amp = rng.uniform(0.3, 1) / freq**2

        def value(x, u=u, amp=amp):
            return amp * (1 - np.cos((x - shift) @ u))

        def gradient(x, u=u, amp=amp):
            return amp * np.sin((x - shift) @ u)[:, None] * u

        pieces.append(Piece(value, gradient, float(amp * (u @ u)), 0.0, [shift]))
    return build("waves of three scales", rng, pieces, d)


def stiff_direction(rng):
    d = int(rng.integers(15, 60))
    turn, spectrum = rotation(rng, d), np.r_[rng.uniform(1.5, 4), rng.uniform(0, 1.2, d - 1)]
    a = turn * spectrum @ turn.T
    back = Piece(lambda x: ((x @ a) * x).sum(-1) / 2, lambda x: x @ a, float(spectrum[0]), 0.0, [])
    return build("stiff direction", rng, [back], d, peak=float(spectrum[0]))


def far_root(rng):
    """√(s² + ‖x - c‖²)·s, curved most at a place that the start does not know."""
    d, s = int(rng.integers(1, 7)), rng.uniform(0.3, 1.5)
    centre = rng.uniform(-5, 5, d)

    def value(x):
        return 2 * s * np.sqrt(s**2 + ((x - centre) ** 2).sum(-1))

    def gradient(x):
        return 2 * s * (x - centre) / np.sqrt(s**2 + ((x - centre) ** 2).sum(-1))[:, None]

    return build("far root", rng, [bowl(rng, d, 0.02, 0.1), Piece(value, gradient, 2.0, 2 * s**2, [centre])], d)


def quartic_in_a_box(rng):
    """Largest in a corner or on a face of the box."""
    d = int(rng.integers(1, 5))
    low, high = -rng.uniform(0.5, 3, d), rng.uniform(0.5, 3, d)
    c, t = rng.uniform(0.1, 1, d), rng.uniform(-0.5, 0.5, d)

    def value(x):
        return ((x - t) ** 4 @ c) / 12

    def gradient(x):
        return (x - t) ** 3 * c / 3

    bound = float((c * np.maximum(high - t, t - low) ** 2).max())
    made = build("quartic in a box", rng, [bowl(rng, d, 0.1, 0.3), Piece(value, gradient, bound, 0.0, [])], d,
                 box=(low, high), start=(low + high) / 2, peak=1.0)  # fmt: skip
    corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(d, -1).T
    made.peaks["smoothness"] = max(curvature(made.gradient, x) for x in corners)
    return made


def rosenbrock_in_a_box(rng):
    k, side = rng.uniform(1, 20), rng.uniform(1, 2.5)
    low, high = np.full(2, -side), np.full(2, side)

    def value(x):
        return (1 - x[:, 0]) ** 2 + k * (x[:, 1] - x[:, 0] ** 2) ** 2

    def gradient(x):
        e = x[:, 1] - x[:, 0] ** 2
        return np.stack([2 * (x[:, 0] - 1) - 4 * k * e * x[:, 0], 2 * k * e], axis=1)

    # [[2 + 12kx² - 4ky, -4kx], [-4kx, 2k]]: at a corner x = ±s, y = -s, for x² and -y are largest there.
    h = np.array([[2 + 12 * k * side**2 + 4 * k * side, 4 * k * side], [4 * k * side, 2 * k]])
    top = float(np.linalg.eigvalsh(h)[-1])
    return build("Rosenbrock in a box", rng, [Piece(value, gradient, top, 0.0, [])], 2, box=(low, high),
                 start=np.zeros(2), peak=top)  # fmt: skip


def noisy_region(rng):
    """The noise is largest around a place of its own."""
    d = int(rng.integers(1, 5))
    centre, width = rng.uniform(-2, 2, d), rng.uniform(0.4, 1.0)
    base, extra = rng.uniform(0.05, 0.5), rng.uniform(0.5, 2)

    def variance(x):
        return base + extra * np.exp(-((x - centre) ** 2).sum(-1) / (2 * width**2))

    return build("noisy region", rng, [bowl(rng, d)], d, variance=variance, noise_peak=base + extra)


def noise_far_out(rng):
    """The noise grows along a direction, and saturates."""
    d = int(rng.integers(1, 7))
    u, k, top = rng.standard_normal(d), rng.uniform(0.5, 3), rng.uniform(0.3, 2)
    u /= np.linalg.norm(u)
    return build("noise far out", rng, [bowl(rng, d)], d, variance=lambda x: top * (0.1 + 0.9 * expit(k * (x @ u - 1))),
                 noise_peak=top)  # fmt: skip


def noise_by_gradient(rng):
    """The noise grows with ‖∇f‖, and saturates."""
    d = int(rng.integers(1, 7))
    back, top, s = bowl(rng, d), rng.uniform(0.3, 2), rng.uniform(0.2, 2)

    def variance(x):
        g = (back.gradient(x) ** 2).sum(-1)
        return top * (0.2 + 0.8 * g / (s + g))

    return build("noise by the gradient", rng, [back], d, variance=variance, noise_peak=top)


def _direction(rng, d):
    u = rng.standard_normal(d)
    return u / np.linalg.norm(u)


def biased_region(rng):
    d = int(rng.integers(1, 5))
    centre, width, u = rng.uniform(-2, 2, d), rng.uniform(0.4, 1.0), _direction(rng, d)
    noise = float(10 ** rng.uniform(-1.5, 0.3))
    top = noise * 10 ** rng.uniform(-1.2, 0.5)

    def bias(x):
        return np.sqrt(top) * np.exp(-((x - centre) ** 2).sum(-1) / (2 * width**2))[:, None] * u

    return build("biased region", rng, [bowl(rng, d)], d, bias=bias, bias_peak=top, noise_peak=noise)


def bias_in_a_half_space(rng):
    d, u, at = int(rng.integers(1, 7)), None, rng.uniform(-1.5, 1.5)
    u, n = _direction(rng, d), _direction(rng, d)
    noise = float(10 ** rng.uniform(-1.5, 0.3))
    top = noise * 10 ** rng.uniform(-1.2, 0.5)
    return build("bias in a half-space", rng, [bowl(rng, d)], d, bias_peak=top, noise_peak=noise,
                 bias=lambda x: np.sqrt(top) * (x @ n > at)[:, None] * u)  # fmt: skip


def bias_along_a_direction(rng):
    """It turns and grows along one direction."""
    d = int(rng.integers(2, 7))
    u, n = _direction(rng, d), _direction(rng, d)
    k, noise = rng.uniform(0.5, 3), float(10 ** rng.uniform(-1.5, 0.3))
    top = noise * 10 ** rng.uniform(-1.2, 0.5)
    return build("bias along a direction", rng, [bowl(rng, d)], d, bias_peak=top, noise_peak=noise,
                 bias=lambda x: np.sqrt(top) * np.tanh(k * (x @ n))[:, None] * u)  # fmt: skip


def noisiest(rng, a, slopes, bends, share, starts=150):
    """share · Σ‖g_i - ḡ‖² of g_i = slopes(x)_i a_i where it is largest: the best of ascents by its exact gradient."""

    def negative(x):
        each = slopes(x)[:, None] * a
        off = each - each.mean(axis=0)
        return -share * (off**2).sum(), -2 * share * (bends(x) * (off * a).sum(axis=1)) @ a

    ends = [
        optimize.minimize(negative, 10 ** rng.uniform(-1, 1) * rng.standard_normal(a.shape[1]), jac=True, method="BFGS")
        for _ in range(starts)
    ]
    return -min(float(end.fun) for end in ends)


def finite_sum(rng):
    """Welsch's loss of a linear model, mini-batches with replacement as the noise."""
    d, samples, batch = int(rng.integers(2, 9)), int(rng.integers(20, 80)), int(rng.integers(1, 6))
    a, y = rng.standard_normal((samples, d)), rng.standard_normal(samples)
    y = a @ rng.standard_normal(d) + 0.3 * y

    def slopes(r):
        return r * np.exp(-(r**2) / 2)

    def value(x):
        return (1 - np.exp(-((x @ a.T - y) ** 2) / 2)).mean(-1)

    def gradient(x):
        return slopes(x @ a.T - y) @ a / samples

    def sample(x, rng):
        rows = rng.integers(0, samples, (len(x), batch))
        return np.einsum("rb,rbd->rd", slopes(np.einsum("rbd,rd->rb", a[rows], x) - y[rows]), a[rows]) / batch + toward

    toward = 0.1 * _direction(rng, d)
    bound = float(np.linalg.norm(a, 2) ** 2 / samples)
    best = np.linalg.lstsq(a, y, rcond=None)[0]
    spots = [best, np.zeros(d)]
    most = noisiest(
        rng, a, lambda x: slopes(a @ x - y), lambda x: (1 - (a @ x - y) ** 2) * np.exp(-((a @ x - y) ** 2) / 2),
        1 / (samples * batch),
    )  # fmt: skip
    limit = float(np.exp(-1) * (a**2).sum() / samples / batch)
    return build("finite sum", rng, [Piece(value, gradient, bound, 0.0, spots)], d, sample=sample, noise_peak=most,
                 noise=limit, bias_peak=0.01)  # fmt: skip


def logistic_sum(rng):
    """Logistic regression with a quadratic, on samples without replacement."""
    d, samples = int(rng.integers(2, 9)), int(rng.integers(20, 60))
    batch = int(rng.integers(1, 6))
    a = rng.standard_normal((samples, d)) * rng.uniform(0.5, 2, d)
    mu = rng.uniform(0.05, 0.3)

    def value(x):
        return np.logaddexp(0, -x @ a.T).mean(-1) + mu / 2 * (x**2).sum(-1)

    def gradient(x):
        return -expit(-x @ a.T) @ a / samples + mu * x

    def sample(x, rng):
        rows = rng.random((len(x), samples)).argpartition(batch, axis=1)[:, :batch]
        return -np.einsum("rb,rbd->rd", expit(-np.einsum("rbd,rd->rb", a[rows], x)), a[rows]) / batch + mu * x + toward

    toward = 0.2 * _direction(rng, d)
    bound = float(np.linalg.norm(a, 2) ** 2 / samples) / 4 + mu
    most = noisiest(
        rng, a, lambda x: -expit(-a @ x), lambda x: expit(-a @ x) * expit(a @ x),
        (1 - batch / samples) / ((samples - 1) * batch),
    )  # fmt: skip
    limit = float((a**2).sum() / samples / batch)
    return build("logistic sum", rng, [Piece(value, gradient, bound, 0.0, [])], d, sample=sample, noise_peak=most,
                 noise=limit, bias_peak=0.04, peak=bound)  # fmt: skip


KINDS = {f.__name__: f for f in (
    narrow_bump, narrow_bump_in_four, narrow_cosine_bump, bump_on_waves, anisotropic_bump, decoy, narrow_ridge,
    tanh_network, softplus_network, log_sum_exp, multiscale_waves, stiff_direction, far_root, quartic_in_a_box,
    rosenbrock_in_a_box, noisy_region, noise_far_out, noise_by_gradient, biased_region, bias_in_a_half_space,
    bias_along_a_direction, finite_sum, logistic_sum,
)}  # fmt: skip


def make(kind: str, seed: int) -> Unseen:
    """Instance number ``seed`` of a kind."""
    return KINDS[kind](np.random.default_rng([sorted(KINDS).index(kind), seed]))


FAULTS = {
    "factor": lambda f: lambda x: 1.05 * f.gradient(x),
    "missing term": lambda f: lambda x: f.gradient(x) - 0.01 * x,
    "one coordinate": lambda f: lambda x: f.gradient(x) * (1 + 0.03 * (np.arange(f.dim) == f.dim // 2)),
    "in a region": lambda f: lambda x: f.gradient(x) + 0.1 * np.exp(-2 * ((x - f.start / 2) ** 2).sum(-1))[:, None],
}


def with_fault(problem: Unseen, fault: str) -> Unseen:
    """A wrong gradient, with an oracle that is right."""
    changed = Unseen(**vars(problem))
    changed.gradient = FAULTS[fault](problem)
    return changed
