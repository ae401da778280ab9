"""One small rule per kind of layer."""

from kerasreg.shrinking.rules import dense, elementwise, movement, normalization  # noqa: F401
from kerasreg.shrinking.rules.base import Rule, rule_for, rule_of

__all__ = ["Rule", "rule_for", "rule_of"]
