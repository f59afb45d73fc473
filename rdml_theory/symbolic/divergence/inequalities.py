"""Inequalities of the divergence and of its gradients, each derived in steps that are decided or certified.

Every function takes what is asserted and returns a derivation, so that a negative control is another argument.
"""

from rdml_theory.symbolic.divergence.escort import (
    DOMINATED,
    DUAL,
    escort_duality,
    gradient_domination,
)
from rdml_theory.symbolic.divergence.names import (
    DISTANCE,
    ESCORT_DISTANCE,
    FLOOR,
    GRADIENT_NORM,
    GREATEST,
    GREATEST_CURVATURE,
    LEAST,
    LEAST_CURVATURE,
    LEAST_PROBABILITY,
    MEAN,
    PEER_MASS,
    SPREAD,
    STUDENT_MASS,
    TEACHER_NORM,
    VARIANCE,
    rho,
    two_point_divergence,
)
from rdml_theory.symbolic.divergence.pinsker import PINSKER, TWO_POINTS, pinsker, two_point_reduction
from rdml_theory.symbolic.divergence.self_bound import (
    SATURATION,
    SELF_BOUND,
    saturating_bound,
    self_bounding,
    self_bounding_target,
    square_target,
)
from rdml_theory.symbolic.divergence.sharp import SHARP_CONSTANT, sharp_self_bounding
from rdml_theory.symbolic.divergence.tilt import (
    RANGE_WITH_FLOOR,
    TEACHER_BOUND,
    bounded_gradient,
    bounded_teacher_gradient,
    gradient_target,
    teacher_target,
)
from rdml_theory.symbolic.divergence.variance import (
    BHATIA_DAVIS,
    CURVATURES,
    POPOVICIU,
    curvature_bounds,
    variance_bounds,
)

__all__ = [
    "BHATIA_DAVIS", "CURVATURES", "DISTANCE", "DOMINATED", "DUAL", "ESCORT_DISTANCE", "FLOOR", "GRADIENT_NORM",
    "GREATEST", "GREATEST_CURVATURE", "LEAST", "LEAST_CURVATURE", "LEAST_PROBABILITY", "MEAN", "PEER_MASS", "PINSKER",
    "POPOVICIU", "RANGE_WITH_FLOOR", "SATURATION", "SELF_BOUND", "SHARP_CONSTANT", "SPREAD", "STUDENT_MASS",
    "TEACHER_BOUND", "TEACHER_NORM", "TWO_POINTS", "VARIANCE", "bounded_gradient", "bounded_teacher_gradient",
    "curvature_bounds", "escort_duality", "gradient_domination", "gradient_target", "pinsker", "rho",
    "saturating_bound", "self_bounding", "self_bounding_target", "sharp_self_bounding",
    "square_target", "teacher_target", "two_point_divergence", "two_point_reduction", "variance_bounds",
]  # fmt: skip
