"""Rényi divergence between discrete distributions, its gradients, Hessians and escort distribution, in NumPy.

Notation, used throughout: p and q are distributions over C classes, alpha the order, t = log(p/q), and w the escort,
w_i proportional to p_i^alpha q_i^(1-alpha). Logarithms are natural, so values are in nats; u and z are the logits of p
and q.

Every function takes probabilities, log-probabilities or logits (``domain``), normalises them exactly (only their ratios
matter), broadcasts the batch axes of p, q and alpha, and returns the floating type of p and q: integers count as
float64, and float16 and float32 are computed in float64 and rounded once. `docs/accuracy.md` states the errors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from rdml_theory._blocks import Result, walk
from rdml_theory._coordinates import hessian_block, in_probabilities
from rdml_theory._validation import Arguments, arguments, choice, flag

Floats = npt.NDArray[Any]
"""What always is an array. What is a scalar for one pair is ``Any``, as in NumPy, for no type depends on shapes."""

BLOCK_HESSIAN = 65536  # elements of C x C matrices per block


class ValueAndGradient(NamedTuple):
    """The divergence of each pair and its gradient.

    Attributes
    ----------
    value
        divergences in nats, shape (...).
    gradient
        gradient in the requested argument, shape (..., C).
    """

    value: npt.NDArray[Any]
    gradient: npt.NDArray[Any]


def _vector_output(task: Arguments) -> npt.NDArray[Any]:
    return np.empty((task.rows, task.classes), dtype=task.dtype)


def _shape_vector(task: Arguments, flat: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.moveaxis(flat.reshape((*task.batch, task.classes)), -1, task.axis)


def _write(out: npt.NDArray[Any], rows: Any, values: npt.NDArray[np.float64], axis: int) -> None:
    out[rows] = values.T if axis == 0 else values


def _gradient(result: Result, wrt: str, domain: str, alpha: Any) -> npt.NDArray[np.float64]:
    if domain == "probs":
        return in_probabilities(result, wrt, alpha)
    return result.student() if wrt == "q" else result.teacher()


def renyi_divergence(
    p: ArrayLike,
    q: ArrayLike,
    alpha: ArrayLike,
    *,
    domain: str = "probs",
    axis: int = -1,
    normalise: bool = False,
    raw: bool = False,
) -> Any:
    r"""Return the Rényi divergence D_alpha(p || q) = log(sum_i p_i^alpha q_i^(1 - alpha)) / (alpha - 1), in nats.

    The limits are part of the definition: D_0 = -log q(p > 0), D_1 is the Kullback-Leibler divergence and
    D_inf = log max p/q. It is infinite where q vanishes on a class that p allows and alpha >= 1, and where the supports
    are disjoint. It is never negative, never NaN, and zero when p and q are proportional.

    Reference: van Erven and Harremoës, "Rényi divergence and Kullback-Leibler divergence", IEEE Transactions on
    Information Theory 60(7), 2014, arXiv 1206.2459.

    Parameters
    ----------
    p
        first distribution (the peer or teacher), shape (..., C).
    q
        second distribution (the student), shape (..., C); batch shapes broadcast.
    alpha
        order in [0, inf]; a scalar, or an array that broadcasts against the batch.
    domain
        what p and q hold: ``"probs"`` (>= 0, summing to one), ``"log_probs"`` or ``"logits"`` (any real, or
        -inf for an excluded class; a constant may be added).
    axis
        the class axis.
    normalise
        True where the sums of probabilities are not meant to be one (counts, say): without it, sums further from one
        than rounding explains are an `UnnormalisedWarning`. The rows are normalised in either case.
    raw
        Leave the given sums in, whatever they are, so that the result is
        ``D + alpha / (alpha - 1) log sum(p) - log sum(q)``. Refused for logits, which fix no sum, and at alpha = 1,
        where it has a pole. Accurate to its largest term only.

    Returns
    -------
    ndarray or scalar
        The divergences, shape (...), at most 8 units in the last place off for probabilities; a scalar for one pair.

    Raises
    ------
    ValueError
        A negative, NaN or infinite probability, a NaN or +inf logit, a distribution without mass, different
        or no classes, an order below 0 or NaN, batch shapes that do not broadcast, an axis out of range, or an
        unknown option.
    TypeError
        An argument that does not hold real numbers of at most 64 bits.

    Examples
    --------
    >>> import numpy as np
    >>> from rdml_theory import renyi_divergence
    >>> p, q = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    >>> renyi_divergence(p, q, [0.0, 0.5, 1.0, 2.0, np.inf]).round(6)
    array([0.      , 0.069336, 0.143841, 0.287682, 0.693147])

    Near consensus the definition has no digits left; this has all of them
    (the entries are 1e-12 apart up to their own rounding):

    >>> q = p + np.array([1e-12, -1e-12])
    >>> with np.errstate(all="ignore"):
    ...     naive = np.log(np.sum(p**1.5 * q**-0.5)) / 0.5
    >>> float(naive), float(renyi_divergence(p, q, 1.5))
    (0.0, 2.9998672711473825e-24)
    """
    task = arguments(p, q, alpha, domain, axis, normalise)
    if flag("raw", raw):
        task = _keeping_sums(task)
    out = np.empty(task.rows, dtype=task.dtype)

    def visit(rows: Any, result: Result, alpha: Any) -> None:
        value = result.divergence
        if raw:
            value = value + _raw_shift(result, alpha)
        out[rows] = value.ravel()

    walk(task, visit)
    return out.reshape(task.batch)[()]


def _keeping_sums(task: Arguments) -> Arguments:
    if task.domain == "logits":
        raise ValueError("raw=True has no meaning for domain='logits', which fix no scale: use 'probs' or 'log_probs'")
    if np.any(np.asarray(task.alpha) == 1.0):
        raise ValueError(
            "raw=True has no meaning at alpha = 1, where the sum of p has a pole: leave raw=False, or use another order"
        )
    return replace(task, normalise=True)


def _raw_shift(result: Result, alpha: Any) -> npt.NDArray[np.float64]:
    pair = result.original
    weight = np.where(np.isinf(alpha), 1.0, alpha / (alpha - 1.0))
    return weight * pair.log_p_sum - pair.log_q_sum


@overload
def renyi_gradient(
    p: ArrayLike, q: ArrayLike, alpha: ArrayLike, *,
    wrt: Literal["p", "q"] = "q", domain: str = "probs", axis: int = -1, normalise: bool = False,
) -> Floats: ...  # fmt: skip


@overload
def renyi_gradient(
    p: ArrayLike, q: ArrayLike, alpha: ArrayLike, *,
    wrt: str, domain: str = "probs", axis: int = -1, normalise: bool = False,
) -> Any: ...  # fmt: skip


def renyi_gradient(
    p: ArrayLike,
    q: ArrayLike,
    alpha: ArrayLike,
    *,
    wrt: str = "q",
    domain: str = "probs",
    axis: int = -1,
    normalise: bool = False,
) -> Any:
    r"""Return the gradient of the Rényi divergence in one argument.

    In logits and log-probabilities: dD/dz = q - w and dD/du = alpha (w - p) / (alpha - 1), which is p (t - D_1) at
    alpha = 1. In probabilities, of the normalised divergence: dD/dq_i = (1 - w_i / q_i) / sum(q), where
    the q_i in the bracket is normalised, and likewise for p. In the order: dD/dalpha =
    KL(w || p) / (1 - alpha)^2, which is Var_p(t) / 2 at alpha = 1.

    At alpha = inf the escort w is uniform over the classes that attain max p/q: the gradient where there is one such
    class, a subgradient where there are several. At a zero probability the result is the one-sided derivative, possibly
    infinite. Where the divergence is infinite, q - w uses the limit of w for alpha >= 1 and is NaN for alpha < 1;
    the derivative in the order is NaN, and so is that in p at alpha = 1.

    Reference: derivatives of the definition; for the divergence see van Erven and Harremoës 2014, arXiv 1206.2459.
    The setting in which p is detached and q trained is that of arXiv 2209.05732.

    Parameters
    ----------
    p, q, alpha, domain, axis, normalise
        as for `renyi_divergence`: two distributions of shape (..., C) and an order in [0, inf].
    wrt
        ``"q"``, ``"p"`` or ``"alpha"``.

    Returns
    -------
    ndarray or scalar
        The gradient with the shape of the broadcast arguments, classes on `axis`; shape (...) for ``wrt="alpha"``.

    Raises
    ------
    TypeError, ValueError
        As `renyi_divergence`.

    Examples
    --------
    >>> import numpy as np
    >>> from rdml_theory import renyi_gradient
    >>> teacher, student = np.array([1.0, 0.0]), np.array([0.0, 0.0])
    >>> renyi_gradient(teacher, student, 2.0, domain="logits").round(6)
    array([-0.380797,  0.380797])
    >>> float(renyi_gradient(teacher, student, 1.0, wrt="alpha", domain="logits").round(6))
    0.098306
    """
    wrt = choice("wrt", wrt, ("p", "q", "alpha"))
    task = arguments(p, q, alpha, domain, axis, normalise)
    if wrt == "alpha":
        scalars = np.empty(task.rows, dtype=task.dtype)

        def visit_order(rows: Any, result: Result, alpha: Any) -> None:
            scalars[rows] = result.order_derivative().ravel()

        walk(task, visit_order)
        return scalars.reshape(task.batch)[()]
    out = _vector_output(task)

    def visit(rows: Any, result: Result, alpha: Any) -> None:
        _write(out, rows, _gradient(result, wrt, task.domain, alpha), result.original.axis)

    walk(task, visit)
    return _shape_vector(task, out)


def renyi_value_and_gradient(
    p: ArrayLike,
    q: ArrayLike,
    alpha: ArrayLike,
    *,
    wrt: str = "q",
    domain: str = "probs",
    axis: int = -1,
    normalise: bool = False,
) -> ValueAndGradient:
    r"""Return the Rényi divergence and its gradient in one pass, at little more than the cost of the value.

    Formulas, limits and domains are those of `renyi_divergence` and `renyi_gradient`.

    Parameters
    ----------
    p, q, alpha, domain, axis, normalise
        as for `renyi_divergence`: two distributions of shape (..., C) and an order in [0, inf].
    wrt
        ``"q"`` or ``"p"``.

    Returns
    -------
    ValueAndGradient
        A named pair: ``value`` of shape (...) in nats, and ``gradient`` with the shape of the broadcast arguments.

    Raises
    ------
    TypeError, ValueError
        As `renyi_divergence`.

    Examples
    --------
    >>> from rdml_theory import renyi_value_and_gradient
    >>> result = renyi_value_and_gradient([0.5, 0.5], [0.25, 0.75], 2.0)
    >>> float(result.value.round(6)), result.gradient.round(6)
    (0.287682, array([-2.      ,  0.666667]))
    """
    wrt = choice("wrt", wrt, ("p", "q"))
    task = arguments(p, q, alpha, domain, axis, normalise)
    value, out = np.empty(task.rows, dtype=task.dtype), _vector_output(task)

    def visit(rows: Any, result: Result, alpha: Any) -> None:
        value[rows] = result.divergence.ravel()
        _write(out, rows, _gradient(result, wrt, task.domain, alpha), result.original.axis)

    walk(task, visit)
    return ValueAndGradient(value.reshape(task.batch)[()], _shape_vector(task, out))


def escort(
    p: ArrayLike, q: ArrayLike, alpha: ArrayLike, *, domain: str = "probs", axis: int = -1, normalise: bool = False
) -> Floats:
    r"""Return the escort distribution w_i = p_i^alpha q_i^(1 - alpha) / sum_j p_j^alpha q_j^(1 - alpha).

    It is the geometric mixture that attains the variational form (1 - alpha) D_alpha(p || q) = min over w of
    alpha KL(w || p) + (1 - alpha) KL(w || q) for alpha < 1 (van Erven and Harremoës 2014, arXiv 1206.2459).
    At alpha = 0 it is q restricted to the support of p, at 1 it is p, at infinity uniform over the maximisers of p/q.
    Where q vanishes on a class that p allows and alpha > 1, it is the limit as those q vanish together; for disjoint
    supports and alpha < 1 it is NaN.

    Parameters
    ----------
    p, q, alpha, domain, axis, normalise
        as for `renyi_divergence`: two distributions of shape (..., C) and an order in [0, inf].

    Returns
    -------
    ndarray
        Distributions with the shape of the broadcast arguments, classes on `axis`.

    Raises
    ------
    TypeError, ValueError
        As `renyi_divergence`.

    Examples
    --------
    >>> from rdml_theory import escort
    >>> escort([0.5, 0.5], [0.1, 0.9], 0.5).round(6)
    array([0.25, 0.75])
    """
    task = arguments(p, q, alpha, domain, axis, normalise)
    out = _vector_output(task)

    def visit(rows: Any, result: Result, alpha: Any) -> None:
        _write(out, rows, result.escort(), result.original.axis)

    walk(task, visit)
    return _shape_vector(task, out)


def renyi_hessian(
    p: ArrayLike,
    q: ArrayLike,
    alpha: ArrayLike,
    *,
    wrt: str = "q",
    domain: str = "logits",
    axis: int = -1,
    normalise: bool = False,
) -> Floats:
    r"""Return the second derivatives of the Rényi divergence in one argument, or the mixed ones.

    In logits and log-probabilities, with Cov_v = diag(v) - v v^T:

    - ``wrt="q"``: d2D/dz2 = Cov_q - (1 - alpha) Cov_w;
    - ``wrt="p"``: d2D/du2 = alpha (alpha Cov_w - Cov_p) / (alpha - 1), with its limit at alpha = 1;
    - ``wrt="mixed"``: d2D/du dz = -alpha Cov_w.

    In probabilities these are the second derivatives of the normalised divergence; entries at zero probabilities may be
    infinite or NaN there. At alpha = inf, away from ties, the escort is locally constant and the blocks are Cov_q,
    -Cov_p and 0; at ties the same is returned.

    Reference: derivatives of the definition, arXiv 1206.2459.

    Parameters
    ----------
    p, q, alpha, domain, axis, normalise
        as for `renyi_divergence`: two distributions of shape (..., C) and an order in [0, inf].
    wrt
        ``"q"``, ``"p"`` or ``"mixed"``. In the mixed block rows belong to p and columns to q.

    Returns
    -------
    ndarray
        Matrices of shape (..., C, C), always on the last two axes.

    Raises
    ------
    TypeError, ValueError
        As `renyi_divergence`.

    Examples
    --------
    >>> import numpy as np
    >>> from rdml_theory import renyi_hessian
    >>> renyi_hessian([0.0, 0.0], [0.0, np.log(3.0)], 2.0).round(6)
    array([[ 0.375, -0.375],
           [-0.375,  0.375]])
    """
    wrt = choice("wrt", wrt, ("p", "q", "mixed"))
    task = arguments(p, q, alpha, domain, axis, normalise)
    out = np.empty((task.rows, task.classes, task.classes), dtype=task.dtype)

    def visit(rows: Any, result: Result, alpha: Any) -> None:
        out[rows] = hessian_block(result, wrt, task.domain, alpha)

    walk(task, visit, size=max(1, BLOCK_HESSIAN // task.classes))
    return out.reshape((*task.batch, task.classes, task.classes))
