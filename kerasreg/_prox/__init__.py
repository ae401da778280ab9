"""Proximal operators: pure functions of a point and a threshold that return the minimizer.

Every function returns `argmin_x  penalty(x) + sum_i (x_i - z_i)^2 / (2 t_i)`. The thresholds
contain the step size: `threshold = factor * t`. They are scalars or broadcast against `z`, and may
have any value from 0 to infinity. Zeros in the result are exactly 0.0, without a sign. NaN in `z`
gives NaN, and infinite values never become finite.
"""

from kerasreg._prox.axes import in_layout, in_layout_from
from kerasreg._prox.elementwise import (
    positive_threshold,
    shrink,
    shrink_towards,
    soft_threshold,
    soft_threshold_towards,
)
from kerasreg._prox.fused import fused_threshold
from kerasreg._prox.group import group_soft_threshold, group_soft_threshold_from
from kerasreg._prox.group_nonconvex import group_hard_threshold, group_mcp, group_scad
from kerasreg._prox.matrix import singular_hard_threshold, singular_soft_threshold
from kerasreg._prox.nonconvex import (
    capped_threshold,
    hard_threshold,
    log_threshold,
    lp_threshold,
    mcp_threshold,
    scad_threshold,
    transformed_l1_threshold,
)
from kerasreg._prox.norms import exclusive_threshold, group_clip
from kerasreg._prox.ordered import sorted_threshold
from kerasreg._prox.projections import (
    keep_largest,
    onto_box,
    onto_l1_ball,
    onto_l2_ball,
    onto_simplex,
)

__all__ = [
    "capped_threshold",
    "exclusive_threshold",
    "fused_threshold",
    "group_clip",
    "group_hard_threshold",
    "group_mcp",
    "group_scad",
    "group_soft_threshold",
    "group_soft_threshold_from",
    "hard_threshold",
    "in_layout",
    "in_layout_from",
    "keep_largest",
    "log_threshold",
    "lp_threshold",
    "mcp_threshold",
    "onto_box",
    "onto_l1_ball",
    "onto_l2_ball",
    "onto_simplex",
    "positive_threshold",
    "scad_threshold",
    "shrink",
    "shrink_towards",
    "singular_hard_threshold",
    "singular_soft_threshold",
    "soft_threshold",
    "soft_threshold_towards",
    "sorted_threshold",
    "transformed_l1_threshold",
]
