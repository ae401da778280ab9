"""The cases of all penalties, with references that do not use the package.

A public penalty without a case fails the tests (`regularizers/test_contract.py`).
"""

import numpy as np
from oracles import elementwise, grouped, never, ratio
from oracles_anchored import adaptive_l1, l1sp, l2sp, nonnegative_l1, weighted_l1
from oracles_groups import exclusive_lasso, group_l0, group_mcp, group_scad, linfinity1
from oracles_nonconvex import (
    capped_l1,
    l0,
    log_sum,
    lp,
    mcp,
    scad,
    transformed_l1,
)
from oracles_smooth import (
    activity_kl,
    conv_orthogonal,
    entropy,
    hoyer_square,
    orthogonal,
    spectral_norm,
)
from oracles_structured import fused, nuclear, rank, slope

_BY_COLUMN = np.tile(np.arange(4), (3, 1))
_BY_ROW = np.repeat(np.arange(3), 4).reshape(3, 4)
_BY_INPUT_CHANNEL = np.tile(np.arange(3)[:, None], (2, 2, 1, 5))
_BY_CHANNEL_PAIR = np.tile(np.arange(6).reshape(2, 3), (3, 1, 1))
_BY_UNIT_OF_4_GATES = np.tile([0, 1, 0, 1, 0, 1, 0, 1], (3, 1))
_BY_WEIGHT = np.arange(12).reshape(3, 4)

CASES = [
    elementwise("L1", {"l1": 0.3}, lambda x: 0.3 * abs(x), lambda z, t: ratio(abs(z), 0.3 * t)),
    elementwise("L1", {"l1": 1e-4}, lambda x: 1e-4 * abs(x), lambda z, t: ratio(abs(z), 1e-4 * t)),
    elementwise("L1", {"l1": 0.3}, lambda x: 0.3 * abs(x), lambda z, t: ratio(abs(z), 0.3 * t), ()),
    elementwise("L1", {"l1": 0.0}, lambda x: 0 * x, never),
    elementwise("L2", {"l2": 0.3}, lambda x: 0.3 * x**2, never),
    elementwise("L2", {"l2": 0.0}, lambda x: 0 * x, never, (5,)),
    elementwise(
        "L1L2",
        {"l1": 0.2, "l2": 0.7},
        lambda x: 0.2 * abs(x) + 0.7 * x**2,
        lambda z, t: ratio(abs(z), 0.2 * t),
        (2, 1, 3),
    ),
    elementwise("L1L2", {"l1": 0.0, "l2": 0.7}, lambda x: 0.7 * x**2, never),
    elementwise(
        "L1L2", {"l1": 0.2, "l2": 0.0}, lambda x: 0.2 * abs(x), lambda z, t: ratio(abs(z), 0.2 * t)
    ),
    grouped("GroupLasso", {"factor": 0.3, "axis": -1}, _BY_COLUMN, 0, 0.3),
    grouped("GroupLasso", {"factor": 0.3, "axis": 0}, _BY_ROW, 0, 0.3),
    grouped("GroupLasso", {"factor": 0.3, "axis": -2}, _BY_INPUT_CHANNEL, 0, 0.3),
    grouped("GroupLasso", {"factor": 0.3, "axis": (1, 2)}, _BY_CHANNEL_PAIR, 0, 0.3),
    grouped("GroupLasso", {"factor": 0.3, "axis": -1, "gates": 4}, _BY_UNIT_OF_4_GATES, 0, 0.3),
    grouped("GroupLasso", {"factor": 0.3, "axis": 0}, np.arange(4), 0, 0.3),
    grouped("GroupLasso", {"factor": 0.3, "axis": 0, "gates": 2}, [0, 1, 2, 0, 1, 2], 0, 0.3),
    grouped("GroupLasso", {"factor": 0.0, "axis": 0}, _BY_WEIGHT, 0, 0),
    grouped("SparseGroupLasso", {"factor": 0.3}, _BY_COLUMN, 0.15, 0.15),
    grouped("SparseGroupLasso", {"factor": 0.5, "l1_ratio": 0.9, "axis": 0}, _BY_ROW, 0.45, 0.05),
    grouped("SparseGroupLasso", {"factor": 0.5, "l1_ratio": 1.0}, _BY_WEIGHT, 0.5, 0),
    grouped("SparseGroupLasso", {"factor": 0.5, "l1_ratio": 0.0}, _BY_COLUMN, 0, 0.5),
    grouped(
        "SparseGroupLasso",
        {"factor": 0.3, "l1_ratio": 0.2, "axis": -1, "gates": 4},
        _BY_UNIT_OF_4_GATES,
        0.06,
        0.24,
    ),
]

# One block of cases for each family, whose references are in a module.

# Penalties without a prox: orthogonal kernels, smooth counts, spectral norm, activations.
CASES += [
    orthogonal({"factor": 0.3}, np.tile(np.arange(3), (4, 1))),
    orthogonal({"factor": 0.3, "unit_norm": False}, np.tile(np.arange(3), (4, 1))),
    orthogonal({"factor": 0.3, "axis": -1}, _BY_COLUMN),
    orthogonal({"factor": 0.3, "axis": -1, "unit_norm": False}, _BY_COLUMN),
    orthogonal({"factor": 0.3, "axis": 0}, np.arange(4)),
    orthogonal({"factor": 0.3, "axis": -2}, _BY_INPUT_CHANNEL),
    orthogonal({"factor": 0.3, "axis": (1, 2)}, _BY_CHANNEL_PAIR),
    orthogonal({"factor": 0.3, "axis": -1, "gates": 4}, _BY_UNIT_OF_4_GATES),
    orthogonal({"factor": 0.0}, _BY_COLUMN),
    conv_orthogonal({"factor": 0.3}, (3, 2, 4)),
    conv_orthogonal({"factor": 0.3}, (3, 3, 2, 3)),
    conv_orthogonal({"factor": 0.3, "strides": 2}, (3, 4, 2, 3)),
    conv_orthogonal({"factor": 0.3, "strides": 3}, (2, 1, 1, 5)),
    hoyer_square("HoyerSquare", {"factor": 0.3}, _BY_WEIGHT),
    hoyer_square("HoyerSquare", {"factor": 0.3}, np.arange(5)),
    hoyer_square("HoyerSquare", {"factor": 0.3}, np.arange(24).reshape(2, 2, 2, 3)),
    hoyer_square("HoyerSquare", {"factor": 0.3}, np.arange(1).reshape(())),
    hoyer_square("GroupHoyerSquare", {"factor": 0.3}, _BY_COLUMN),
    hoyer_square("GroupHoyerSquare", {"factor": 0.3, "axis": -2}, _BY_INPUT_CHANNEL),
    hoyer_square("GroupHoyerSquare", {"factor": 0.3, "axis": (0, 1)}, _BY_WEIGHT),
    hoyer_square("GroupHoyerSquare", {"factor": 0.3, "gates": 4}, _BY_UNIT_OF_4_GATES),
    spectral_norm({"factor": 0.3}, _BY_COLUMN),
    spectral_norm({"factor": 0.3, "axis": 0, "power": 1}, _BY_ROW),
    spectral_norm({"factor": 0.3, "axis": 0}, np.arange(4)),
    spectral_norm({"factor": 0.3, "axis": -2, "power_iterations": 100}, _BY_INPUT_CHANNEL),
    entropy({"factor": 0.3}, (5, 4)),
    entropy({"factor": 0.3}, (2, 3, 2, 4)),
    entropy({"factor": 0.3, "from_logits": True}, (5, 4)),
    activity_kl({"factor": 0.3, "rho": 0.05}, (5, 4)),
    activity_kl({"factor": 0.3, "rho": 0.5}, (2, 3, 2, 4)),
]

# Nonconvex penalties of single weights.
CASES += [
    mcp({"factor": 0.3, "gamma": 3.0}),
    mcp({"factor": 0.05, "gamma": 1.1}, (5,)),
    mcp({"factor": 2.0, "gamma": 0.3}, (2, 1, 2, 3)),
    scad({"factor": 0.3, "a": 3.7}),
    scad({"factor": 0.05, "a": 2.01}, (5,)),
    scad({"factor": 1.0, "a": 30.0}, (2, 1, 2, 3)),
    capped_l1({"factor": 0.3, "theta": 0.5}),
    capped_l1({"factor": 0.3, "theta": 0.01}, (5,)),
    capped_l1({"factor": 0.05, "theta": 5.0}, (2, 1, 2, 3)),
    l0({"factor": 0.3}),
    l0({"factor": 1e-4}, (5,)),
    l0({"factor": 3.0}, ()),
    lp({"factor": 0.3, "p": 1 / 2}),
    lp({"factor": 0.3, "p": 2 / 3}, (2, 1, 2, 3)),
    lp({"factor": 1e-3, "p": 2 / 3}, (5,)),
    log_sum({"factor": 0.3, "epsilon": 0.1}),
    log_sum({"factor": 0.3, "epsilon": 5.0}, (2, 1, 2, 3)),
    log_sum({"factor": 0.01, "epsilon": 1e-3}, (5,)),
    transformed_l1({"factor": 0.3, "a": 1.0}),
    transformed_l1({"factor": 0.3, "a": 30.0}, (2, 1, 2, 3)),
    transformed_l1({"factor": 0.05, "a": 0.01}, (5,)),
]

# Penalties of single weights with an array or a sign.
_RNG = np.random.default_rng(0)
CASES += [
    nonnegative_l1(0.3),
    nonnegative_l1(1e-4, (2, 1, 2, 3)),
    nonnegative_l1(0.3, (5,)),
    l2sp(0.3, _RNG.normal(size=(3, 4)).astype("float32")),
    l2sp(0.3, 100 * _RNG.normal(size=(2, 1, 2, 3)).astype("float32")),
    l2sp(0.01, np.zeros(5, "float32")),
    l1sp(0.3, _RNG.normal(size=(3, 4)).astype("float32")),
    l1sp(0.3, 100 * _RNG.normal(size=(2, 1, 2, 3)).astype("float32")),
    l1sp(0.01, np.zeros(5, "float32")),
    weighted_l1(0.3, _RNG.uniform(0.1, 10, (3, 4)).astype("float32")),
    weighted_l1(0.3, _RNG.uniform(0.1, 10, 5).astype("float32")),
    adaptive_l1(0.3, _RNG.normal(size=(2, 1, 2, 3)).astype("float32"), 2.0),
]

# Penalties of groups: other norms than the L2 norm, and penalties that do not shrink large groups.
CASES += [
    penalty({"factor": factor, **arguments}, groups)
    for penalty, factor in ((linfinity1, 0.3), (exclusive_lasso, 0.3), (group_l0, 0.3))
    for arguments, groups in (
        ({"axis": -1}, _BY_COLUMN),
        ({"axis": -2}, _BY_INPUT_CHANNEL),
        ({"axis": (1, 2)}, _BY_CHANNEL_PAIR),
        ({"axis": -1, "gates": 4}, _BY_UNIT_OF_4_GATES),
        ({"axis": 0}, np.arange(4)),
    )
]
CASES += [
    linfinity1({"factor": 1e-3, "axis": 0}, _BY_ROW),
    exclusive_lasso({"factor": 1e-3, "axis": 0}, _BY_ROW),
    group_l0({"factor": 1e-3, "axis": 0}, _BY_ROW),
    group_mcp({"factor": 0.3, "gamma": 3.0, "axis": -1}, _BY_COLUMN),
    group_mcp({"factor": 0.05, "gamma": 1.1, "axis": 0}, _BY_ROW),
    group_mcp({"factor": 1.0, "gamma": 0.3, "axis": -2}, _BY_INPUT_CHANNEL),
    group_mcp({"factor": 0.3, "gamma": 3.0, "axis": -1, "gates": 4}, _BY_UNIT_OF_4_GATES),
    group_mcp({"factor": 0.3, "gamma": 3.0, "axis": 0}, np.arange(4)),
    group_scad({"factor": 0.3, "a": 3.7, "axis": -1}, _BY_COLUMN),
    group_scad({"factor": 0.05, "a": 2.1, "axis": 0}, _BY_ROW),
    group_scad({"factor": 1.0, "a": 30.0, "axis": -2}, _BY_INPUT_CHANNEL),
    group_scad({"factor": 0.3, "a": 3.7, "axis": -1, "gates": 4}, _BY_UNIT_OF_4_GATES),
    group_scad({"factor": 0.3, "a": 3.7, "axis": 0}, np.arange(4)),
]

# Penalties of neighbours, of sorted weights, of singular values.
CASES += [
    fused("TotalVariation", {"factor": 0.3}, (6,), 0, 0.3),
    fused("TotalVariation", {"factor": 0.3, "axis": 0}, (5, 3), 0, 0.3),
    fused("TotalVariation", {"factor": 1e-3, "axis": -1}, (3, 4), 0, 1e-3),
    fused("TotalVariation", {"factor": 2.0, "axis": 1}, (2, 4, 1, 3), 0, 2.0),
    fused("TotalVariation", {"factor": 0.3, "axis": 0}, (1, 3), 0, 0.3),
    fused("FusedLasso", {"factor": 0.5}, (6,), 0.25, 0.25),
    fused("FusedLasso", {"factor": 0.5, "l1_ratio": 0.25, "axis": 0}, (5, 3), 0.125, 0.375),
    fused("FusedLasso", {"factor": 1e-3, "l1_ratio": 0.75, "axis": 1}, (3, 4), 75e-5, 25e-5),
    fused("FusedLasso", {"factor": 0.5, "axis": -2}, (2, 1, 4, 3), 0.25, 0.25),
    fused("FusedLasso", {"factor": 0.5, "l1_ratio": 1.0, "axis": 0}, (3, 4), 0.5, 0),
    fused("FusedLasso", {"factor": 0.5, "l1_ratio": 0.0, "axis": 0}, (5, 3), 0, 0.5),
    slope({"factor": 0.3}, (3, 4)),
    slope({"factor": 0.3, "sequence": "linear", "last": 0.25}, (2, 1, 2, 3)),
    slope({"factor": 1e-3, "sequence": "linear", "last": 0.0}, (5,)),
    slope({"factor": 0.3, "sequence": "linear", "last": 1.0}, (3, 4)),
    slope({"factor": 0.3, "q": 0.5}, (1,)),
    nuclear({"factor": 0.3}, (3, 4)),
    nuclear({"factor": 0.3, "axis": 0}, (5,)),
    nuclear({"factor": 1.0, "axis": -2}, (2, 1, 4, 3)),
    nuclear({"factor": 1e-3, "axis": (0, 1)}, (2, 2, 3)),
    rank({"factor": 0.3}, (3, 4)),
    rank({"factor": 1.0, "axis": (-1, 0)}, (2, 1, 2, 3)),
]

for _case in CASES:
    _case.groups.setflags(write=False)
