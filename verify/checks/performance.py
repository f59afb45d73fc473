"""Certificates of exact worst cases, as records."""

from __future__ import annotations

from sympy import Float

from convergence import WorstCase
from convergence.performance import DualCertificate, Method
from rdml_theory.symbolic import to_latex, to_text
from rdml_theory.symbolic.notation import Named
from rdml_theory.symbolic.relations import at_most
from verify.records import CertificateRecord

__all__ = ["chain_record", "worst_case_record"]

AVERAGE = Named("A²", "A^2")
LEAST = Named("min ‖∇f‖²", r"\min \lVert \nabla f \rVert^2")


def _record(bound: float, average: bool, reason: str, evidence: str, digest: str, proved: bool) -> CertificateRecord:
    relation = at_most(AVERAGE if average else LEAST, Float(bound, 9))
    return CertificateRecord(
        kind="rational", reason=reason, text=to_text(relation), latex=to_latex(relation), evidence=evidence,
        digest=digest, outcome="confirmed" if proved else "refuted",
    )  # fmt: skip


def _momentum(method: Method) -> str:
    if not method.momentum:
        return ""
    return f", {'Nesterov' if method.nesterov else 'heavy ball'}, μ = {float(method.momentum):g}"


def worst_case_record(worst: WorstCase) -> CertificateRecord:
    """The record of a worst case's certificate, which is checked here in rational arithmetic.

    >>> from convergence import Assumptions, worst_case
    >>> worst_case_record(worst_case(Assumptions(smoothness=1, gap=1, noise=0, bias=1), 0.5, 2)).outcome
    'confirmed'
    """
    certificate = worst.certificate
    a = worst.assumptions
    size = certificate.method.dimension
    count = sum(len(certificate.multipliers[name]) for name in ("interpolation", "infimum"))
    return _record(
        certificate.bound, certificate.average,
        f"no run of T = {worst.steps} steps exceeds this (h = {a.smoothness * worst.step:g}, ζ² = {a.bias:g}, "
        f"σ² = {a.noise:g}, ΛΔ = {a.smoothness * a.gap:g}{_momentum(certificate.method)})",
        f"{count} rational multipliers of what smooth functions satisfy; the {size} x {size} matrix they leave is "
        "positive definite, by its exact LDLᵀ",
        certificate.digest, certificate.check(),
    )  # fmt: skip


def chain_record(certificate: DualCertificate) -> CertificateRecord:
    """The record of a potential's certificate, which is checked here in rational arithmetic."""
    method, (gap, bias, noise) = certificate.method, certificate.right_sides
    steps = method.steps
    size = max(block.size for block in certificate.program.blocks)
    return _record(
        certificate.bound, certificate.average,
        f"a potential proves this step by step (T = {steps}, h = {float(method.step):g}, ζ² = {float(bias):g}, "
        f"σ² = {float(noise):g}, ΛΔ = {float(gap):g}{_momentum(method)})",
        f"{steps} rational potentials; the {size} x {size} matrices they leave are positive definite, by exact LDLᵀ",
        certificate.digest, certificate.check(),
    )  # fmt: skip
