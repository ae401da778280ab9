"""Rules that describe how each class of layers passes on labels and constants."""

from kerasreg._graph.rules import (  # noqa: F401
    attention,
    blocks,
    convolutions,
    dot_attention,
    einsum,
    elementwise,
    joins,
    kernels,
    movement,
    normalization,
    recurrent,
    reductions,
    space,
    wrappers,
)
from kerasreg._graph.rules.base import Rule, rule_for, rule_for_ops, rule_of
from kerasreg._graph.rules.elementwise import Elementwise

__all__ = ["Elementwise", "Rule", "rule_for", "rule_for_ops", "rule_of"]
