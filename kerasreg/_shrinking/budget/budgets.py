"""Budgets of a smaller model, and the smallest fraction of units to remove to meet them."""

import math
from functools import cache

import numpy as np

from kerasreg._common import validation
from kerasreg._shrinking.costs import costs, total, unknown_costs
from kerasreg._shrinking.costs.flops import Shapes, flops, open_sizes
from kerasreg._shrinking.costs.latency import seconds_of


class Budget:
    """An upper bound on one kind of cost.

    Args:
        removal: a `Removal`.
        given: the argument of the user: the budget, or a fraction of the cost of the model.
        input_shape: the shape of one sample, or None.

    Attributes:
        limit: the bound, in the unit of the cost.
        received: a description of the argument, for errors.
    """

    name, form = "", ","
    #: The number of bisection steps of `smallest_share`.
    halvings = 50

    def __init__(self, removal, given, input_shape=None):
        self.removal, self.input_shape = removal, input_shape
        self.received = f"{self.name}={given!r}"
        self.limit = self._limit(given)

    def cost(self, share):
        """Returns the estimated cost of the model without this fraction of its units."""
        raise NotImplementedError

    def real(self, small):
        """Returns the cost of a model."""
        raise NotImplementedError

    def excess(self, small):
        """Returns the cost of a model minus the limit."""
        return self.real(small) - self.limit

    def smallest_share(self, limit):
        """Returns the smallest fraction of units to remove so that the cost is within a limit."""
        if self.cost(0.0) <= limit:
            return 0.0
        smallest = self.cost(1.0)
        if smallest > limit:
            raise ValueError(
                f"`{self.name}` must be a budget that can be reached. Received: "
                f"{self.received}; the smallest is {smallest:{self.form}}, with one unit of "
                "each width, or `min_units`, and all units that cannot be removed (see "
                "`kerasreg.coupled_groups`). Increase the budget."
            )
        low, high = 0.0, 1.0
        for _ in range(self.halvings):
            middle = (low + high) / 2
            low, high = (low, middle) if self.cost(middle) <= limit else (middle, high)
        return high

    def _limit(self, given):
        is_count = validation.is_integer(given) and given >= 1
        if not is_count and not (validation.is_number(given) and 0 < given <= 1):
            expected = "an int of at least 1, or a float above 0.0 and up to 1.0, the fraction of"
            raise validation.invalid(self.name, given, f"{expected} what the model has")
        if is_count:
            return int(given)
        whole = self.real(self.removal.model)
        limit = math.floor(given * whole)
        self.received += f", which is {limit:,} of {whole:,}"
        return limit

    def _shape(self, share, sizes=None):
        analysis = self.removal.analysis
        return Shapes(sizes, analysis, self.removal.gone(share)[analysis.roots])


class ParamsBudget(Budget):
    """A budget of parameters."""

    name = "params"

    def cost(self, share):
        shape = self._shape(share)
        return sum(math.prod(shape(each)) for each in self.removal.model.weights)

    def real(self, small):
        return small.count_params()


class FlopsBudget(Budget):
    """A budget of floating-point operations for one sample."""

    name = "flops"

    def __init__(self, removal, given, input_shape=None):
        graph = removal.analysis.graph
        self._sizes = open_sizes(removal.model, graph, input_shape)
        unknown = unknown_costs(graph, Shapes(self._sizes))
        if unknown:
            raise ValueError(
                "`flops` needs a model whose operations can be counted. Received: "
                f"'{removal.model.name}', where {'; '.join(unknown[:5])}. Pass `input_shape` "
                "if a size is undefined, and register the costs of custom layers with "
                "`kerasreg.shrinking.cost_of`."
            )
        super().__init__(removal, given, input_shape)

    def cost(self, share):
        graph = self.removal.analysis.graph
        return total(costs(graph, self._shape(share, self._sizes)).values())

    def real(self, small):
        return flops(small, self.input_shape)


class LatencyBudget(Budget):
    """A budget of seconds for one sample; every cost is measured on a model built for this."""

    name, form, halvings = "latency", ".3g", 6

    def __init__(self, removal, given, input_shape=None):
        super().__init__(removal, given, input_shape)
        self.cost = cache(self.cost)

    def cost(self, share):
        small = self.removal.without(share)
        return float(np.median(seconds_of([small], input_shape=self.input_shape)))

    def excess(self, small):
        # `smallest_share` has measured a model of this size; measuring again would add noise.
        return 0.0

    def _limit(self, given):
        return validation.number(given, "latency", above=0, meaning="in seconds")


_KINDS = {each.name: each for each in (ParamsBudget, FlopsBudget, LatencyBudget)}


def kind_of_budget(given):
    """Returns the `Budget` class for the one value of `{name: value or None}` that is not None."""
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise ValueError(
            f"Exactly one of {list(_KINDS)} must be given. Received: "
            f"{', '.join(f'{name}={given[name]!r}' for name in names) or 'none of them'}"
        )
    return _KINDS[names[0]]
