"""The pattern of whole attention heads, in all variables of an attention layer."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kerasreg._common import validation
from kerasreg._graph.coupled.groups import CoupledGroup, obstacle
from kerasreg._graph.coupled.members import CONSUMER, PRODUCER, Member
from kerasreg._graph.families import ATTENTION
from kerasreg._graph.variables import all_layers, require_built, require_matches, unique_path
from kerasreg._pruning.patterns.base import Pattern
from kerasreg._pruning.patterns.coupled import NO_REGROWTH, CoupledTarget, CoupledUnits
from kerasreg._pruning.targets import require_targets
from kerasreg._pruning.units import Units

_PRODUCERS = ("_query_dense", "_key_dense", "_value_dense", "_gate_dense")


class Heads(Pattern):
    """Whole attention heads: query, key, value and output together.

    A head consists of its slices of the kernels and biases of query, key and value (and of a gate),
    and of the rows of the output kernel that read it. All of them become zero together, and
    `kerasreg.shrink` removes the head. In `GroupQueryAttention`, a unit is a head of keys and
    values with the queries that share it. It works for any model that contains `MultiHeadAttention`
    or `GroupQueryAttention`, including subclassed models. `include`, `exclude` and the expressions
    of a scope are searched in the path of an attention layer and in those of its query, key and
    value.

    The score of a head is the root mean square of the scores of all of its weights.

    Args:
        min_units: the minimum number of heads that remain in every attention layer.

    Raises:
        ValueError: for an invalid `min_units`.

    Example:

    >>> x = keras.Input((5, 8))
    >>> y = keras.layers.MultiHeadAttention(4, 2, name="attention")(x, x)
    >>> model = keras.Model(x, keras.layers.Dense(3)(y))
    >>> plan = kerasreg.prune(model, 0.5, pattern="head")
    >>> plan["attention"].units, plan["attention"].pruned
    (4, 2)
    >>> small, report = kerasreg.shrink(model)
    >>> small.get_layer("attention").num_heads
    2
    """

    is_joint = True
    note = "a row is an attention layer, and a unit one of its heads"

    def __init__(self, min_units: int = 1):
        self.min_units = validation.integer(min_units, "min_units", at_least=1)

    @property
    def no_regrowth(self) -> str | None:
        return NO_REGROWTH

    def bind(self, variable: keras.Variable, roles: Mapping[str, Any]) -> Units:
        raise ValueError("heads have weights in several variables, which `bind` cannot prune alone")

    def find(
        self, model: keras.Model, include: str | None, exclude: str | None, caller: str
    ) -> tuple[list, dict[str, str]]:
        require_built(model, caller)
        groups = _groups(model)
        paths = [path for group in groups for path in group.paths]
        trainable = {id(variable) for variable in model.trainable_variables}
        in_heads = {id(each.variable) for group in groups for each in group.members}
        taken: set[str] = set()
        targets, skipped = [], {}
        for variable in model.weights:
            path = unique_path(variable.path, taken)
            taken.add(path)
            if id(variable) not in in_heads:
                skipped[path] = "it is not part of an attention head"
        for group in groups:
            reason = obstacle(group, group.members, trainable, include, exclude)
            if reason is None:
                targets.append(CoupledTarget(group, CoupledUnits(group, 1, self.min_units)))
            else:
                skipped[group.name] = reason
        if paths:
            require_matches(include, "include", paths)
            require_matches(exclude, "exclude", paths)
        require_targets(targets, skipped, model, caller)
        return targets, skipped


def _groups(model):
    groups, taken = [], set()
    for layer in all_layers(model):
        if isinstance(layer, ATTENTION):
            members = _members(layer)
            path = members[0].path.rpartition("/")[0].rpartition("/")[0]
            name = unique_path(path or layer.name, taken)
            taken.add(name)
            groups.append(CoupledGroup(name, members))
    return groups


def _members(attention):
    heads = getattr(attention, "num_key_value_heads", None) or attention.num_heads
    members = []
    for name in _PRODUCERS:
        # A gate is optional. Adapters are left out, because they have no axis of heads.
        dense = getattr(attention, name, None)
        for variable in _kernel_and_bias(dense) if dense is not None else ():
            members.append(_member(variable, len(variable.shape) - 2, heads, PRODUCER))
    kernel, *_ = _kernel_and_bias(attention._output_dense)
    return (*members, _member(kernel, 0, heads, CONSUMER))


def _kernel_and_bias(dense):
    # With frozen variables included, the attention layer is skipped with this reason.
    own = [*dense._trainable_variables, *dense._non_trainable_variables]
    return [
        variable
        for variable in own
        if variable.name in ("kernel", "bias") and keras.backend.is_float_dtype(variable.dtype)
    ]


def _member(variable, axis, heads, role):
    # Queries that share a head of keys are adjacent.
    indices = np.arange(variable.shape[axis]).reshape(heads, -1)
    return Member(variable.path, variable, axis, indices, role)
