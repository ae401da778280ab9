"""What a smaller model may cost, and the fewest units that must go for it."""

import math
from functools import cache

import numpy as np

from kerasreg._common import validation
from kerasreg._shrinking.costs import costs, total, unknown_costs
from kerasreg._shrinking.costs.flops import Shapes, flops, open_sizes
from kerasreg._shrinking.costs.latency import seconds_of


class Budget:
    """At most so much of one kind of cost.

    Args:
        removal: a `Removal`.
        given: what the user said.
        input_shape: the shape of one sample, or None.

    Attributes:
        limit: in the unit of the cost.
        received: what the user said, for errors.
    """

    name, form = "", ","
    #: How often the interval of shares is halved.
    halvings = 50

    def __init__(self, removal, given, input_shape=None):
        self.removal, self.input_shape = removal, input_shape
        self.received = f"{self.name}={given!r}"
        self.limit = self._limit(given)

    def cost(self, share):
        """Of the model without this share of its units, as planned."""
        raise NotImplementedError

    def real(self, small):
        """Of a model."""
        raise NotImplementedError

    def excess(self, small):
        """By how much a model is above the limit."""
        return self.real(small) - self.limit

    def smallest_share(self, limit):
        """The smallest share of units without which the model is within a limit."""
        if self.cost(0.0) <= limit:
            return 0.0
        smallest = self.cost(1.0)
        if smallest > limit:
            raise ValueError(
                f"`{self.name}` must be a budget that can be reached. Received: "
                f"{self.received}; the smallest is {smallest:{self.form}}, with one unit of "
                "each width, or `min_units`, and what may not go (see `kerasreg.coupled_groups`)."
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
    """Parameters."""

    name = "params"

    def cost(self, share):
        shape = self._shape(share)
        return sum(math.prod(shape(each)) for each in self.removal.model.weights)

    def real(self, small):
        return small.count_params()


class FlopsBudget(Budget):
    """Floating-point operations of one sample."""

    name = "flops"

    def __init__(self, removal, given, input_shape=None):
        graph = removal.analysis.graph
        self._sizes = open_sizes(removal.model, graph, input_shape)
        unknown = unknown_costs(graph, Shapes(self._sizes))
        if unknown:
            raise ValueError(
                "`flops` needs a model whose operations can be counted. Received: "
                f"'{removal.model.name}', where {'; '.join(unknown[:5])}. Pass `input_shape` "
                "where a size is open, and tell what your own layers cost with "
                "`kerasreg.shrinking.cost_of`."
            )
        super().__init__(removal, given, input_shape)

    def cost(self, share):
        graph = self.removal.analysis.graph
        return total(costs(graph, self._shape(share, self._sizes)).values())

    def real(self, small):
        return flops(small, self.input_shape)


class LatencyBudget(Budget):
    """Seconds for one sample; measured on a model that is built for it."""

    name, form, halvings = "latency", ".3g", 6

    def __init__(self, removal, given, input_shape=None):
        super().__init__(removal, given, input_shape)
        self.cost = cache(self.cost)

    def cost(self, share):
        small = self.removal.without(share)
        return float(np.median(seconds_of([small], input_shape=self.input_shape)))

    def excess(self, small):
        # It was measured.
        return 0.0

    def _limit(self, given):
        return validation.number(given, "latency", above=0, meaning="in seconds")


_KINDS = {each.name: each for each in (ParamsBudget, FlopsBudget, LatencyBudget)}


def kind_of_budget(given):
    """The `Budget` class of the only one of `{name: value or None}` that is given."""
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise ValueError(
            f"Exactly one of {list(_KINDS)} must be given. Received: "
            f"{', '.join(f'{name}={given[name]!r}' for name in names) or 'none of them'}"
        )
    return _KINDS[names[0]]
