"""Other implementations beside this one: errors and speed of losses, worst cases of SGD, and passes of a training step.

    python benchmarks/measure_peers.py [--rounds N] [--json FILE]

None of the peers is a dependency: in an environment of its own, ``pip install '.[torch,sdp,proofs]' torchmetrics==1.9.0
torchdistill==1.1.5 orda-kernel==0.1.0 pepit==0.5.1 autolyap==0.2.1 tensorboard matplotlib``, and ``pip install
--no-deps kd-lib==0.0.32``, which pins what it needs to versions of 2021. A peer that is not installed is left out.

Losses, in float32, 100 classes: the error of the value and of the gradient in the student's logits, each pair of
logits alone, against 110 digits (`tests/reference/naive_renyi.py`), relative (of a gradient, in its norm), the largest
of 32 pairs. Near consensus logits differ by about 1e-4; confident ones have a standard deviation of 30. The time is
that of a forward and a backward pass for both of two students, over that of `torch.nn.KLDivLoss`, in interleaved
rounds on one thread.

Two peers are formulas that are evaluated here: that of the code published with arXiv 2209.05732, which is no package
(github.com/parklize/rdml), and that of Liger-Kernel 0.8.5, whose kernels run on GPUs only.
"""

from __future__ import annotations

import importlib.util
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import record
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, softmax

from convergence import Assumptions, sharp_bound, worst_case
from rdml_theory.losses import mutual_loss
from verify.environment import processor

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "reference"))
import naive_renyi  # noqa: E402

PAIRS, CLASSES, ROWS = 32, 100, 256
Loss = Callable[[Tensor, Tensor, float], Tensor]
"""Logits of the peer, logits of the student, order: the mean over rows."""


def of_torch(peer: Tensor, student: Tensor, alpha: float) -> Tensor:
    return nn.KLDivLoss(reduction="batchmean")(log_softmax(student, -1), softmax(peer, -1))


def of_torchmetrics(peer: Tensor, student: Tensor, alpha: float) -> Tensor:
    from torchmetrics.functional import kl_divergence

    return kl_divergence(log_softmax(peer, -1), log_softmax(student, -1), log_prob=True)


def of_infolm(peer: Tensor, student: Tensor, alpha: float) -> Tensor:
    from torchmetrics.functional.text.infolm import _InformationMeasure

    return _InformationMeasure("renyi_divergence", alpha=float(alpha))(softmax(student, -1), softmax(peer, -1)).mean()


def of_torchdistill(peer: Tensor, student: Tensor, alpha: float) -> Tensor:
    from torchdistill.losses.mid_level import KDLoss

    loss = KDLoss("student", "output", "teacher", "output", temperature=1.0, alpha=0.0, beta=1.0)
    targets = torch.zeros(len(student), dtype=torch.long)
    return loss({"student": {"output": student}}, {"teacher": {"output": peer}}, targets)


def of_orda(peer: Tensor, student: Tensor, alpha: float) -> Tensor:
    from orda_kernel import PrecomputedTeacher, distillation_loss

    kind = {"kl_divergence": "forward"} if alpha == 1 else {"kl_divergence": "renyi", "kl_alpha": alpha}
    unit, targets = torch.eye(student.shape[-1]), torch.zeros(len(student), dtype=torch.long)
    return distillation_loss(
        student, unit, targets, PrecomputedTeacher(peer), student_ce_weight=0.0, kl_weight=1.0, **kind
    ).loss


def of_liger(peer: Tensor, student: Tensor, alpha: float) -> Tensor:
    p = softmax(peer, -1)
    return (p * (p.clamp(min=1e-10).log() - log_softmax(student, -1))).sum(-1).mean()


def of_the_authors(peer: Tensor, student: Tensor, alpha: float) -> Tensor:
    p, q = (softmax(logits, -1).clamp(1e-8, 1) for logits in (peer, student))
    if alpha == 1:
        return (p * (p.log() - q.log())).sum(-1).mean()
    return ((q * (p / q) ** alpha).sum(-1).log() / (alpha - 1)).mean()


def of_this(peer: Tensor, student: Tensor, alpha: float) -> Tensor:
    return mutual_loss([peer, student], alpha)[1]


LOSSES: dict[str, tuple[str | None, Loss, tuple[float, ...]]] = {
    "torch.nn.KLDivLoss": ("torch", of_torch, (1,)),
    "torchmetrics kl_divergence": ("torchmetrics", of_torchmetrics, (1,)),
    "torchmetrics InfoLM": ("torchmetrics", of_infolm, (2,)),
    "torchdistill KDLoss": ("torchdistill", of_torchdistill, (1,)),
    "orda-kernel": ("orda-kernel", of_orda, (1, 2)),
    "Liger-Kernel, its formula": (None, of_liger, (1,)),
    "the authors, their formula": (None, of_the_authors, (1, 2)),
    "MutualLoss": ("rdml-theory", of_this, (1, 2)),
}
"""The package, the loss and the orders that it has."""

PACKAGES = ("torch", "torchmetrics", "torchdistill", "orda-kernel", "kd-lib", "pepit", "autolyap")


def pairs(kind: str) -> tuple[Tensor, Tensor]:
    """Logits of peers and students."""
    random = torch.Generator().manual_seed(0)
    peer, other = (torch.randn(PAIRS, CLASSES, generator=random) for _ in range(2))
    return {"apart": (peer, other), "near": (peer, peer + 1e-4 * other), "confident": (30 * peer, 30 * other)}[kind]


def errors(loss: Loss, alpha: float, kind: str) -> dict[str, float | None]:
    """The largest relative errors of value and gradient, how many values are negative, and how many pairs give NaN."""
    values, slopes, negative = [], [], 0
    for peer, student in zip(*pairs(kind), strict=True):
        x = student[None].clone().requires_grad_()
        value = loss(peer[None], x, alpha)
        (slope,) = torch.autograd.grad(value, x)
        p, q = (naive_renyi.normalised(logits.tolist(), "logits") for logits in (peer, student))
        exact, direction = naive_renyi.divergence(p, q, alpha), naive_renyi.student_gradient(p, q, alpha)
        values.append(float(abs(value.item() - exact) / exact))
        off = [(a - b) ** 2 for a, b in zip(slope[0].tolist(), direction, strict=True)]
        slopes.append(float((sum(off) / sum(b**2 for b in direction)) ** 0.5))
        negative += value.item() < 0
    lost = sum(not math.isfinite(value + slope) for value, slope in zip(values, slopes, strict=True))
    greatest = (max(filter(math.isfinite, found), default=None) for found in (values, slopes))
    return dict(zip(("value", "gradient"), greatest, strict=True)) | {"negative": negative, "not finite": lost}


def step(loss: Loss, logits: list[Tensor], alpha: float) -> None:
    """A forward and a backward pass for two students."""
    a, b = logits
    (loss(b.detach(), a, alpha) + loss(a.detach(), b, alpha)).backward()


def together(logits: list[Tensor], alpha: float) -> None:
    """The same by one call."""
    mutual_loss(logits, alpha).sum().backward()


def speeds(rounds: int, found: dict[str, Any]) -> dict[str, float]:
    """Times over that of torch's loss, medians over interleaved rounds; not of a formula of a kernel for GPUs."""
    random = torch.Generator().manual_seed(0)
    logits = [torch.randn(ROWS, CLASSES, generator=random).requires_grad_() for _ in range(2)]
    arms = [(name, alpha) for name, (_, _, alphas) in found.items() for alpha in alphas if "Liger" not in name]
    times: dict[tuple[str, float], list[float]] = {arm: [] for arm in arms}
    for _ in range(rounds):
        for name, alpha in arms:
            start = time.process_time()
            for _ in range(20):
                together(logits, alpha) if name == "MutualLoss" else step(found[name][1], logits, alpha)
            times[name, alpha].append(time.process_time() - start)
    base = times["torch.nn.KLDivLoss", 1]
    return {
        f"{name}, order {alpha}": statistics.median(t / b for t, b in zip(taken, base, strict=True))
        for (name, alpha), taken in times.items()
    }


def timed(solve: Callable[[], float | bool]) -> dict[str, Any]:
    """The value, and the processor's seconds."""
    start = time.process_time()
    return {"value": solve(), "seconds": time.process_time() - start}


STEPS, STEP = 8, 0.5


def by_pepit(bias: float) -> float:
    spec = importlib.util.spec_from_file_location("poses", ROOT / "tests" / "reference" / "make_worst_cases.py")
    assert spec is not None
    assert spec.loader is not None
    poses = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(poses)
    return poses.solve(1.0, 1.0, STEP, STEPS, bias, 0.0, 0.0, "average", 0.0, False)


def by_autolyap() -> float:
    """The largest t with f(x₁) - f* ≤ f(x₀) - f* - t‖∇f(x₀)‖², by bisection: the mean is at most 1/(tT)."""
    import numpy as np
    from autolyap import IterationIndependent, SolverOptions
    from autolyap.algorithms import GradientMethod
    from autolyap.problemclass import InclusionProblem, Smooth

    # Clarabel, through this interface, fails on programs that are infeasible.
    options = SolverOptions(backend="cvxpy", cvxpy_solver="SCS", cvxpy_solver_params={"eps_abs": 1e-9, "eps_rel": 1e-9})
    problem, method = InclusionProblem([Smooth(1.0)]), GradientMethod(STEP)
    fixed = dict.fromkeys(("Q_equals_P", "S_equals_T", "q_equals_p", "s_equals_t", "remove_C2", "remove_C3"), True)
    low, high = 0.0, 2 * STEP
    for _ in range(16):
        t = (low + high) / 2
        target = np.zeros((4, 4))
        target[1, 1] = t
        found = IterationIndependent.search_lyapunov(
            problem, method, np.zeros((3, 3)), target, np.array([1.0, -1.0]), np.zeros(3),
            solver_options=options, verbosity=0, **fixed,
        )  # fmt: skip
        low, high = (t, high) if found["status"] == "feasible" else (low, t)
    return 1 / (low * STEPS)


def worst_cases() -> Iterator[dict[str, Any]]:
    """Of 8 steps at ηΛ = 0.5 with Λ = Δ = 1, without and with a bias ζ² = 1."""
    for bias in (0.0, 1.0):
        assumptions = Assumptions(smoothness=1, gap=1, noise=0, bias=bias)
        ways: dict[str, Callable[[], float]] = {
            "worst_case": lambda a=assumptions: worst_case(a, STEP, STEPS).value,
            "sharp_bound": lambda a=assumptions: sharp_bound(a, STEP, STEPS).total,
        }
        if installed("pepit"):
            ways["PEPit"] = lambda bias=bias: by_pepit(bias)
        if installed("autolyap") and not bias:
            ways["AutoLyap"] = by_autolyap
        for name, way in ways.items():
            if name != "AutoLyap":
                way()  # what is imported and prepared once is not timed
            yield {"by": name, "bias": bias} | timed(way)
        certificate = worst_case(assumptions, STEP, STEPS).certificate
        yield {"by": "the check of its certificate", "bias": bias} | timed(certificate.check)


def passes_of_kd_lib(students: int) -> dict[str, Any]:
    """Forward passes of one step of KD_Lib's mutual learning, and the loss that it has by default."""
    package = importlib.util.find_spec("KD_Lib")
    assert package is not None
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "KD" / "vision" / "DML" / "dml.py"
    spec = importlib.util.spec_from_file_location("dml", path)
    assert spec is not None
    assert spec.loader is not None
    dml = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dml)
    cohort = [nn.Linear(4, 3) for _ in range(students)]
    passes = 0

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    for student in cohort:
        student.register_forward_hook(count)
    batch = [(torch.randn(8, 4), torch.zeros(8, dtype=torch.long))]
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*batch[0]), batch_size=8)
    learner = dml.DML(cohort, loader, loader, [torch.optim.SGD(s.parameters(), 0.1) for s in cohort])
    learner._evaluate_model = lambda _: (None, 0.0)  # its passes are not the step's
    learner.train_students(epochs=1, plot_losses=False, save_model=False)
    return {"students": students, "forward passes": passes, "default loss": type(learner.loss_fn).__name__}


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="interleaved repetitions")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {name: entry for name, entry in LOSSES.items() if entry[0] is None or installed(entry[0])}
    ratios = speeds(options.rounds, found)
    rows: list[dict[str, Any]] = []
    for name, (_, loss, alphas) in found.items():
        for alpha in alphas:
            rows.append({"peer": name, "order": alpha, "time": ratios.get(f"{name}, order {alpha}")})
            rows[-1] |= {kind: errors(loss, alpha, kind) for kind in ("apart", "near", "confident")}
            print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
    document = {
        "environment": {
            "cpu": processor(), "python": sys.version.split()[0], "rounds": options.rounds,
            "versions": {name: installed(name) for name in PACKAGES},
        },
        "losses": rows,
        "worst cases": list(worst_cases()),
        "KD_Lib": passes_of_kd_lib(4) if installed("kd-lib") else None,
    }  # fmt: skip
    print(json.dumps({name: document[name] for name in ("worst cases", "KD_Lib")}, indent=1))
    record.keep(options.json, document)


if __name__ == "__main__":
    main()
