"""From zeros to a smaller model with the same outputs."""

from kerasreg.shrinking.rules import Elementwise, Rule, rule_for

__all__ = ["Elementwise", "Rule", "rule_for"]
