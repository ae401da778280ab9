"""What `shrink` knows of each kind of layer, and how to add a layer of your own."""

from kerasreg._graph.rules import Elementwise, Rule, rule_for
from kerasreg._shrinking.costs import cost_of

__all__ = ["Elementwise", "Rule", "cost_of", "rule_for"]
