"""Bounds, term by term: bound."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import click
from click.core import ParameterSource

from verify.commands.common import Number, UsageFault, Whole, json_option, output, plain, print_json, sentence, tabled

T = TypeVar("T")


@click.command("bound", short_help="Print every bound for your numbers, term by term.")
@click.option("--smoothness", type=Number(), required=True, help="Λ, the Lipschitz constant of the gradient.")
@click.option("--step", type=Number(), required=True, help="η, the step size.")
@click.option("--gap", type=Number(), default=1.0, show_default=True, help="Δ = f(x₀) - inf f.")
@click.option("--noise", type=Number(), default=0.0, show_default=True, help="σ², the variance of the gradient noise.")
@click.option(
    "--bias", type=Number(), default=0.0, show_default=True, help="ζ², the squared norm of the gradient bias."
)
@click.option("--relative-bias", type=Number(), default=0.0, show_default=True, help="m in ‖b‖² ≤ m‖∇f‖² + ζ².")
@click.option(
    "--steps",
    type=Whole(min=1, max=10**18),
    default=1000,
    show_default=True,
    help="T, the number of steps.",
)
@click.option("--pl-constant", type=Number(), help="μ of the Polyak-Łojasiewicz inequality, if it holds.")
@click.option(
    "--momentum", type=Number(), default=0.0, show_default=True, help="μ of SGD with momentum, as in PyTorch."
)
@click.option("--nesterov", is_flag=True, help="Use Nesterov's momentum.")
@click.option(
    "--exact",
    is_flag=True,
    help="Also print what a potential proves and, for short runs, the exact worst case (clarabel).",
)
@click.option(
    "--target",
    type=Number(),
    help="Target for A²: also print the largest step and bias for which the sharp bound does not exceed it.",
)
@click.option(
    "--cohort",
    is_flag=True,
    help="Bound a student of mutual learning (--alpha, --beta): the bias is what its peers add.",
)
@click.option("--alpha", type=Number(), help="α, the order of mutual learning, for --cohort.")
@click.option("--divergence", type=Number(), help="The mean D_α from the peers in nats, for --cohort.")
@click.option("--beta", type=Number(), help="β, the weight of mutual learning; with --target, print the largest order.")
@click.option("--jacobian", type=Number(), default=1.0, show_default=True, help="G, a bound of ‖∂logits/∂θ‖.")
@click.option("--log-ratio-range", type=Number(), help="ρ, the range of log(p/q) in nats; 10 for the largest order.")
@json_option
def bound_command(
    smoothness: float,
    step: float,
    gap: float,
    noise: float,
    bias: float,
    relative_bias: float,
    steps: int,
    pl_constant: float | None,
    momentum: float,
    nesterov: bool,
    exact: bool,
    target: float | None,
    cohort: bool,
    alpha: float | None,
    divergence: float | None,
    beta: float | None,
    jacobian: float,
    log_ratio_range: float | None,
    as_json: bool,
) -> None:
    """Print every bound for constant-step SGD with biased gradients, term by term.

    With --cohort, the bound for a student of mutual learning in its own terms (claim X1), named by what binds: for
    example `rdml bound --cohort --smoothness 0.5 --step 1 --alpha 2 --beta 0.1 --log-ratio-range 3`.

    With --target, also the inverse question: how large a step, a bias or (with --beta) an order of mutual learning may
    be; the sharp bound answers, for SGD without momentum.
    """
    import numpy as np

    from convergence import (
        Assumptions,
        Bound,
        best_iterate_bound,
        bias_horizon,
        classical_bound,
        cohort_bound,
        floor,
        largest_bias,
        largest_order,
        largest_step,
        momentum_bound,
        pl_bound,
        refined_bound,
        sharp_bound,
        stepwise_bound,
        tight_bound,
        worst_case,
    )

    if nesterov and momentum == 0.0:
        raise UsageFault("--nesterov needs --momentum above 0; leave it out for plain SGD")
    if cohort:
        if alpha is None or beta is None:
            raise UsageFault("--cohort needs --alpha and --beta, the order and the weight of the mutual loss")
        if bias or relative_bias or momentum or exact or pl_constant is not None or target is not None:
            raise UsageFault(
                "--cohort finds the bias of plain SGD: it goes without --bias, --relative-bias, --momentum, --exact, "
                "--pl-constant and --target"
            )
    elif alpha is not None or divergence is not None:
        raise UsageFault("--alpha and --divergence are for --cohort; add it")
    source = click.get_current_context().get_parameter_source
    if log_ratio_range is not None and not cohort and (target is None or beta is None):
        raise UsageFault(
            "--log-ratio-range is for --cohort, or for the largest order, of --target and --beta; add them"
        )
    if source("jacobian") is not ParameterSource.DEFAULT and beta is None:
        raise UsageFault("--jacobian goes with --beta, the weight of mutual learning; add it")
    for name, value in (("--beta", beta), ("--jacobian", jacobian), ("--log-ratio-range", log_ratio_range)):
        if value is not None and not value >= 0:
            raise UsageFault(f"{name} {value:g}: expected a number of at least 0")
    if target is not None and not 0 < target < math.inf:
        raise UsageFault(f"--target {target:g}: expected a finite number above 0, the mean squared gradient you want")
    if beta is not None and target is None and not cohort:
        raise UsageFault("--beta asks for the largest order that keeps A² below a target; give it with --target")
    try:
        assumptions = Assumptions(smoothness=smoothness, gap=gap, noise=noise, bias=bias, relative_bias=relative_bias)
    except (TypeError, ValueError) as error:
        raise UsageFault(str(error)) from None
    if pl_constant is not None and not 0 < pl_constant <= smoothness:
        raise UsageFault(f"--pl-constant {pl_constant:g}: expected a number above 0 and at most Λ = {smoothness:g}")
    calls = {
        "classical": lambda: classical_bound(assumptions, step, steps),
        "sharp": lambda: sharp_bound(assumptions, step, steps),
        "refined": lambda: refined_bound(assumptions, step, steps),
        "tight": lambda: tight_bound(assumptions, step, steps),
        "floor": lambda: floor(assumptions, step),
        "best iterate": lambda: best_iterate_bound(assumptions, step, steps),
    }
    if cohort:
        known: dict[str, Any] = {"log_ratio_range": log_ratio_range, "divergence": divergence}

        def of_cohort(horizon: float) -> Callable[[], Bound]:
            return lambda: cohort_bound(
                assumptions, step, horizon, alpha=cast(float, alpha), beta=cast(float, beta), jacobian=jacobian, **known
            )  # fmt: skip

        calls = {"cohort": of_cohort(steps), "floor": of_cohort(np.inf)}
    if momentum:
        calls = {"momentum": lambda: momentum_bound(assumptions, step, steps, momentum=momentum, nesterov=nesterov)}
    if exact:
        calls["stepwise"] = lambda: stepwise_bound(assumptions, step, steps, momentum=momentum, nesterov=nesterov)
    if pl_constant is not None and not momentum:
        calls["Polyak-Łojasiewicz"] = lambda: pl_bound(assumptions, step, steps, pl_constant=pl_constant)
    refusals: dict[str, str] = {}

    def evaluated(calls: Mapping[str, Callable[[], T]]) -> dict[str, T]:
        """The results by name; why there is none goes to the refusals."""
        found = {}
        for name, call in calls.items():
            try:
                # A bound too large for a float is shown as infinite, which needs no warning besides.
                with np.errstate(all="ignore"):
                    found[name] = call()
            except (ValueError, ImportError, RuntimeError) as error:
                # Options are the arguments, with hyphens.
                refusals[name] = str(error).replace("_", " ")
            except ArithmeticError:
                refusals[name] = "the numbers exceed the range of floats; use other units"
        return found

    terms = ("quantity", "transient", "noise", "bias", "total")
    found = evaluated(calls)
    # The name of a cohort's bound says what binds.
    rows = [
        {"bound": b.name.replace("cohort", name) if cohort else name} | {term: getattr(b, term) for term in terms}
        for name, b in found.items()
    ]
    if not rows:
        # The sharp bound reaches furthest: its reason says what would help.
        raise UsageFault(refusals.get("sharp", next(iter(refusals.values()))))
    if pl_constant is not None and momentum:
        refusals["Polyak-Łojasiewicz"] = f"momentum = {momentum}: this bound holds for SGD without momentum"
    asked: dict[str, Callable[[], float]] = {}
    if not momentum and not cohort:
        asked["steps after which bias outweighs transient"] = lambda: bias_horizon(assumptions, step)
    if exact:
        asked["exact worst case"] = lambda: float(
            worst_case(assumptions, step, steps, momentum=momentum, nesterov=nesterov)
        )
    if target is not None:
        asked["largest step"] = lambda: largest_step(assumptions, target, steps=steps)
        asked["largest squared bias"] = lambda: largest_bias(assumptions, step, target, steps=steps)
    if target is not None and beta is not None:
        spread = 10.0 if log_ratio_range is None else log_ratio_range
        game = {"beta": beta, "jacobian": jacobian, "log_ratio_range": spread}
        asked["largest order"] = lambda: largest_order(assumptions, step, target, **game, steps=steps)
    answers = evaluated(asked)
    if as_json:
        document = {
            "bounds": [{k: plain(v) for k, v in row.items()} for row in rows],
            "answers": {k: plain(v) for k, v in answers.items()},
            "not applicable": refusals,
        }
        print_json(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2))
        return
    console = output()
    sentence(console, f"Λη = {smoothness * step:.6g}, T = {steps}, Δ = {gap:.6g}")
    for quantity in dict.fromkeys(row["quantity"] for row in rows):
        console.print()
        of_it = [row for row in rows if row["quantity"] == quantity]
        cells = [[row["bound"], *(f"{row[term]:.6g}" for term in terms[1:])] for row in of_it]
        tabled(console, (quantity, *terms[1:]), cells, right=terms)
    console.print()
    averages = [b for name, b in found.items() if b.quantity == "squared gradient norm" and name != "floor"]
    if averages and np.isfinite((least := min(averages, key=float)).total):
        sentence(
            console,
            f"The squared gradient norm, averaged over the {steps} steps, is at most {float(least):.6g} in the mean; "
            f"{least.bias:.6g} of it is due to the bias.",
        )
    for name, answer in answers.items():
        sentence(console, f"{name}: {answer:.6g}")
    for name, reason in refusals.items():
        sentence(console, f"not applicable, {name}: {reason}")
