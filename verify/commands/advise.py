"""Which order and which weight: advise."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from verify.commands.common import Number, UsageFault, Whole, json_option, output, plain, print_json, sentence


@click.command("advise", short_help="Propose an order and a weight for a target risk.")
@click.option(
    "--students",
    type=Whole(min=2, max=10**6),
    required=True,
    help="K, the number of students, each with data of its own.",
)
@click.option(
    "--risk",
    "--gain",
    "risk",
    type=Number(),
    required=True,
    help="Target for the held-out excess risk, relative to a student trained alone; above 1/K. (--gain: former name)",
)
@click.option(
    "--log-ratio-range", type=Number(), required=True,
    help="ρ̂ in nats: the range of log(p/q) between two good students, which 95% of inputs do not exceed.",
)  # fmt: skip
@click.option(
    "--reach",
    type=Number(),
    help="x = αρ̂ (default: 4): a larger one bounds a bad peer more tightly, and costs more of the gain.",
)
@click.option("--jacobian", type=Number(), help="G, a bound of ‖∂logits/∂θ‖: also print the bias that peers can add.")
@json_option
def advise_command(
    students: int, risk: float, log_ratio_range: float, reach: float | None, jacobian: float | None, as_json: bool
) -> None:
    """Propose an order and a weight: the product αβ for a target risk, the order for a bounded pull of bad peers.

    The numbers rest on the claims G1, G3, G4 and X3; `BiasMonitor.recipe` measures ρ̂ while training.
    """
    from convergence import mutual_bias_bound, recipe
    from convergence.advice import REACH

    try:
        found = recipe(
            students=students, risk=risk, log_ratio_range=log_ratio_range, reach=REACH if reach is None else reach
        )
        bias = None
        if jacobian is not None:
            bias = mutual_bias_bound(found.alpha, beta=found.beta, jacobian=jacobian, log_ratio_range=float("inf"))
    except (TypeError, ValueError) as error:
        raise UsageFault(str(error).replace("_", " ")) from None
    if as_json:
        document = {name: plain(value) for name, value in asdict(found).items()}
        document |= {} if bias is None else {"bias": plain(bias)}
        print_json(json.dumps(document, indent=2))
        return
    console = output()
    sentence(console, f"order α = {found.alpha:.4g}, weight β = {found.beta:.4g} (αβ = {found.product:.4g})")
    sentence(console, f"excess risk, relative to a student alone, by the gain law: {found.risk:.4g}")
    sentence(console, f"smallest share of its pull that a peer within ρ̂ keeps: {found.kept:.4g}")
    sentence(console, f"greatest pull of any peer on the logits: {found.cap:.4g}")
    sentence(console, f"longest step near agreement, relative to a student alone: {found.step_share:.4g}")
    if bias is not None:
        sentence(console, f"greatest squared bias of the gradient: {bias:.4g}")
