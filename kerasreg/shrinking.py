"""Rules of `kerasreg.shrink` and costs of `kerasreg.flops`, to support custom layers."""

from kerasreg._graph.analysis import Analysis, Reader
from kerasreg._graph.rules import Elementwise, Rule, rule_for
from kerasreg._graph.tracing import Call
from kerasreg._shrinking.costs import cost_of

__all__ = ["Analysis", "Call", "Elementwise", "Reader", "Rule", "cost_of", "rule_for"]
