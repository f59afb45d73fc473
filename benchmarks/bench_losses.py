"""Time and memory of the fused mutual loss against pairwise KL and against the published form of the Rényi loss.

    python benchmarks/bench_losses.py [--quick] [--rounds N] [--json FILE]

Forward and backward pass, one core, float32. All contestants of a size run interleaved, round after round, in one
process; the table gives medians of its processor time, and the median over rounds of the ratio to F.kl_div in the same
round. Contestants:

kl_div       K (K - 1) calls of F.kl_div(log_softmax(student), softmax(peer)), the plain mutual learning of today
published    the form found in research code: K (K - 1) power sums of softmaxes, clamped at 1e-8, and a logarithm
eager        mutual_loss
near         the same near consensus: logits that differ by 1e-4 (kl_div takes the same time for all logits)
compiled     the same loss in a function under torch.compile(fullgraph=True)
"""

from __future__ import annotations

import math
import os
import statistics
import time

import record
import torch
from torch.nn import functional

from rdml_theory.losses import mutual_loss
from verify.environment import processor

SIZES = ((128, 10), (128, 100), (128, 1000), (1024, 100), (1024, 1000))
ORDERS = (2.0, 1.0, 0.5)
NEAR = 1e-4


def kl_div(logits, alpha):
    total = 0.0
    for k, student in enumerate(logits):
        for j, peer in enumerate(logits):
            if j != k:
                q, p = functional.log_softmax(student, -1), functional.softmax(peer.detach(), -1)
                total = total + functional.kl_div(q, p, reduction="batchmean")
    return total / (len(logits) - 1)


def published(logits, alpha):
    total = 0.0
    for k, student in enumerate(logits):
        for j, peer in enumerate(logits):
            if j != k:
                q = functional.softmax(student, -1).clamp(min=1e-8)
                p = functional.softmax(peer.detach(), -1).clamp(min=1e-8)
                total = total + torch.log((p**alpha * q ** (1 - alpha)).sum(-1)).mean() / (alpha - 1)
    return total / (len(logits) - 1)


def eager(logits, alpha):
    return mutual_loss(logits, alpha).sum()


def saved_elements(function, logits, alpha):
    """Elements of all distinct tensors that the forward pass keeps for the backward pass, besides the logits."""
    seen = {}

    def pack(x):
        seen[x.data_ptr()] = x.numel() * x.element_size() / 4
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        function(logits, alpha)
    for x in logits:
        seen.pop(x.data_ptr(), None)
    return sum(seen.values())


def step(function, logits, alpha):
    for x in logits:
        x.grad = None
    function(logits, alpha).backward()


def clock(function, logits, alpha, calls):
    # of the process, which other work on the machine disturbs less
    start = time.process_time()
    for _ in range(calls):
        step(function, logits, alpha)
    return (time.process_time() - start) / calls


def measure(students, rows, classes, alpha, rounds, contestants):
    random = torch.Generator().manual_seed(rows * classes + students)
    logits = [torch.randn(rows, classes, generator=random).requires_grad_() for _ in range(students)]
    close = [(logits[0] + NEAR * x).detach().requires_grad_() for x in logits]
    calls = {}
    for name, function in contestants.items():
        step(function, logits, alpha)
        once = clock(function, logits, alpha, 1)
        calls[name] = max(1, min(100, math.ceil(0.02 / once)))
    times = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, function in contestants.items():
            times[name].append(clock(function, close if name == "near" else logits, alpha, calls[name]))
    row = {"students": students, "rows": rows, "classes": classes, "alpha": alpha}
    for name, values in times.items():
        row[name + "_ms"] = 1e3 * statistics.median(values)
        ratios = [base / value for base, value in zip(times["kl_div"], values, strict=True)]
        row[name + "_speedup"] = statistics.median(ratios)
    row["saved_eager"] = saved_elements(eager, logits, alpha) / (rows * classes)
    row["saved_kl_div"] = saved_elements(kl_div, logits, alpha) / (rows * classes)
    return row


def geometric_mean(values):
    return math.exp(statistics.fmean(map(math.log, values)))


def main():
    parser = record.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="interleaved repetitions")
    parser.add_argument("--quick", action="store_true", help="three rounds, no compilation")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rounds = 3 if options.quick else options.rounds
    load = [os.getloadavg()[0]]
    records = []
    print(f"{processor()}, one thread, torch {torch.__version__}, float32, forward + backward\n")
    print("| K | B | C | order | kl_div | published | eager | near | compiled | saved, in B x C |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for students in (2, 4):
        for rows, classes in SIZES:
            for alpha in ORDERS:
                contestants = {"kl_div": kl_div, "published": published, "eager": eager, "near": eager}
                if not options.quick:
                    torch._dynamo.reset()
                    contestants["compiled"] = torch.compile(eager, fullgraph=True)
                r = measure(students, rows, classes, alpha, rounds, contestants)
                records.append(r)
                load.append(os.getloadavg()[0])
                cells = [f"{r['kl_div_ms']:.2f} ms"]
                for name in ("published", "eager", "near", "compiled"):
                    cells.append(
                        f"{r[name + '_ms']:.2f} ms ({r[name + '_speedup']:.1f}x)" if name in contestants else ""
                    )
                saved = f"{r['saved_eager']:.1f} ({r['saved_kl_div']:.1f})"
                print(f"| {students} | {rows} | {classes} | {alpha} | {' | '.join(cells)} | {saved} |", flush=True)
    summary = {}
    for students in (2, 4):
        for name in ("published", "eager", "near", "compiled"):
            values = [r[name + "_speedup"] for r in records if r["students"] == students and name + "_speedup" in r]
            if values:
                summary[f"{name}, K = {students}"] = {"mean": geometric_mean(values), "least": min(values)}
                text = f"{geometric_mean(values):.2f}x geometric mean, {min(values):.2f}x least"
                print(f"\nspeed-up over kl_div, {name}, K = {students}: {text}", end="")
    print()
    environment = {"cpu": processor(), "torch": torch.__version__, "threads": 1, "rounds": rounds}
    environment["load"] = {"least": min(load), "most": max(load), "cpus": os.cpu_count()}
    record.keep(options.json, {"environment": environment, "records": records, "summary": summary})


if __name__ == "__main__":
    main()
