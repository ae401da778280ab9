"""What each kind of layer costs: one small function per kind."""

# Each registers the costs of its layers.
from kerasreg._shrinking.costs import elementwise, kernels  # noqa: F401
from kerasreg._shrinking.costs.base import cost, cost_of, costs, total, unknown_costs

__all__ = ["cost", "cost_of", "costs", "total", "unknown_costs"]
