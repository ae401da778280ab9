"""What each kind of layer costs: one small function per kind."""

from kerasreg.shrinking.costs import elementwise, kernels  # noqa: F401
from kerasreg.shrinking.costs.base import cost, cost_of, costs, total, unknown_costs

__all__ = ["cost", "cost_of", "costs", "total", "unknown_costs"]
