"""Costs of layers in floating-point operations: one small function for each kind of layer."""

# Importing these modules registers the costs of their layers.
from kerasreg._shrinking.costs import elementwise, kernels  # noqa: F401
from kerasreg._shrinking.costs.base import cost, cost_of, costs, total, unknown_costs

__all__ = ["cost", "cost_of", "costs", "total", "unknown_costs"]
