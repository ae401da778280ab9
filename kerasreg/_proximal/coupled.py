"""The group lasso of coupled units: several variables, one prox."""

import math

import keras
import numpy as np
from keras import ops

from kerasreg._graph.coupled.find import find_groups
from kerasreg._graph.coupled.groups import obstacle
from kerasreg._graph.variables import host_view, require_matches
from kerasreg._prox import group_soft_threshold
from kerasreg._proximal.step_sizes import float32, reach
from kerasreg._proximal.stepped import SteppedUpdate
from kerasreg._proximal.training import ProximalTraining
from kerasreg._train_step import Coverage, FitScope, other_optimizers
from kerasreg.regularizers.base import at_least_float32


class GroupOfProducers:
    """The units of one width, by all weights that compute them, and their penalty.

    `factor * sum_g sqrt(P) ||w_g||_2`, one `g` of `P` weights per unit.
    """

    def __init__(self, group, factor):
        self.group = group
        self.members = group.producers
        self.variables = list({id(each.variable): each.variable for each in self.members}.values())
        self._factor = factor * math.sqrt(sum(each.size for each in self.members))

    def value(self):
        """The penalty of the weights as they are."""
        tensors = {id(variable): at_least_float32(variable) for variable in self.variables}
        squares = ops.sum(ops.square(self._rows(tensors)), axis=1)
        return self._factor * ops.sum(ops.sqrt(squares))

    def has_weights(self):
        """Whether any of them is not zero."""
        arrays = {id(each): host_view(each) for each in self.variables}
        return any(each.gather(arrays[id(each.variable)]).any() for each in self.members)

    def prox(self, tensors, steps, scale=1.0, reaches=None):
        """The new weights, `{id(variable): tensor}`, from those and a step for each of them.

        `argmin_x  scale * penalty(x) + sum_i (x_i - z_i)^2 / (2 step_i)`: exact, because the groups
        of all widths have no weight in common. With `reaches` (see `reach`) a unit goes only as
        much of that way as they allow, all weights in proportion, and arrives at zero as a whole.
        """
        rows = self._rows(tensors)
        every = {key: ops.broadcast_to(step, tensors[key].shape) for key, step in steps.items()}
        thresholds = self._factor * ops.cast(scale * self._rows(every), rows.dtype)
        proxed = group_soft_threshold(rows, thresholds, (1,))
        if reaches is not None:
            proxed = _part_of_the_way(rows, proxed, ops.cast(self._rows(reaches), rows.dtype))
        rows = proxed
        places = np.cumsum([each.size for each in self.members])[:-1].tolist()
        # TensorFlow cannot split at no place.
        parts = ops.split(rows, places, 1) if places else [rows]
        new = {id(variable): tensors[id(variable)] for variable in self.variables}
        for each, part in zip(self.members, parts, strict=True):
            new[id(each.variable)] = each.scatter(new[id(each.variable)], part)
        return new

    def _rows(self, tensors):
        dtype = keras.backend.result_type(
            *(tensors[id(each.variable)].dtype for each in self.members)
        )
        rows = [each.gather(tensors[id(each.variable)]) for each in self.members]
        return ops.concatenate([ops.cast(each, dtype) for each in rows], axis=1)


class CoupledTraining(ProximalTraining):
    """The prox of whole coupled units in the train step of one optimizer.

    Args:
        model: a built Functional or Sequential model.
        optimizer: its optimizer.
        factor: of the penalty.
        include, exclude: regular expressions, or None.
        caller: who asks, for error messages.
        active: whether the running code is a train step that this is about.
    """

    def __init__(self, model, optimizer, factor, include, exclude, caller, active):
        self._factor, self._include, self._exclude = factor, include, exclude
        self._scope = FitScope.of(model)
        super().__init__(model, optimizer, caller, active)

    @property
    def variables(self):
        found = {id(v): v for group in self.groups for v in group.variables}
        return list(found.values())

    def _find(self, model):
        found = find_groups(model, self._caller)
        trainable = {id(variable) for variable in model.trainable_variables}
        paths = [path for group in found for path in group.paths]
        require_matches(self._include, "include", paths)
        require_matches(self._exclude, "exclude", paths)
        self.groups, self.skipped, taken = [], {}, {}
        # Of groups with common weights, whole heads come before their sizes.
        for group in sorted(found, key=lambda group: -group.parameters):
            members = group.producers
            reason = obstacle(group, members, trainable, self._include, self._exclude)
            if not members:
                reason = "no weights compute it"
            if reason is None:
                reason = _overlap(group, taken)
            if reason is None:
                self.groups.append(GroupOfProducers(group, self._factor))
            else:
                self.skipped[group.name] = reason
        if not self.groups:
            raise ValueError(
                f"`{self._caller}` found no coupled units that it could penalise in "
                f"'{model.name}'. Received: include={self._include!r}, exclude={self._exclude!r}; "
                f"{ {**found.pinned, **self.skipped} }. Look at `kerasreg.coupled_groups(model)`."
            )

    def _make_update(self):
        self._require_one_optimizer()
        return _CoupledUpdate(self.groups, self.variables, self._hook, self._active, self._scale_of)

    def _make_coverage(self, model, optimizer):
        return Coverage(
            *(optimizer, self.variables, self._update, self._caller, "a prox"),
            "the units are trained without their penalty",
            f"{other_optimizers(model)}Compile the model with the optimizer that its `train_step` "
            "applies (`self.optimizer`).",
        )

    def _require_one_optimizer(self):
        for group in self.groups:
            parts = {id(self._hook.part_of(variable)[0]) for variable in group.variables}
            if len(parts) > 1:
                raise ValueError(
                    f"`{self._caller}` needs one optimizer for all weights of a coupled unit. "
                    f"Received: a MultiOptimizer with several for '{group.group.name}': "
                    f"{[variable.path for variable in group.variables]}. Give them one, or pass "
                    "`exclude`."
                )

    def _scale_of(self, group):
        """By what a schedule multiplies the penalty of a group in this step."""
        for pattern, scale in self._scope.schedules:
            if group.group.matches(pattern):
                return scale()
        return 1.0

    def _add_penalties(self):
        self._scope.penalties.append(self._without_gradient)
        # The validation loss contains it too.
        self._scope.model.test_function = None

    def _remove_penalties(self):
        if self._without_gradient in self._scope.penalties:
            self._scope.penalties.remove(self._without_gradient)
            self._scope.model.test_function = None

    def _without_gradient(self):
        scale_of = self._scale_of if self._active() else lambda group: 1.0
        parts = [scale_of(group) * ops.cast(group.value(), "float32") for group in self.groups]
        return ops.stop_gradient(sum(parts))


class _CoupledUpdate(SteppedUpdate):
    is_joint = True
    #: After the prox of single weights: with L1 this is the prox of the sparse group lasso.
    order = 0.5
    state_name = "coupled_gain"
    alone_as = "a prox of coupled units"

    def __init__(self, groups, variables, hook, active, scale_of):
        super().__init__(variables, hook, active)
        self.groups, self._scale_of = groups, scale_of

    def common(self, other):
        taken = {}
        for each in other.groups:
            _overlap(each.group, taken)
        twice = [each for each in self.groups if _overlap(each.group, dict(taken)) is not None]
        return list({id(v): v for each in twice for v in each.variables}.values())

    def before(self, hook, variable, gradient):
        kept = super().before(hook, variable, gradient)
        # On torch a tensor of a variable is the variable.
        return (ops.copy(ops.convert_to_tensor(variable)), *kept)

    def changed(self, variables):
        # What has no gradient in this step is not trained in it, nor is its group.
        found = {id(variable) for variable in variables}
        whole = [g for g in self.groups if all(id(v) in found for v in g.variables)]
        shrunk = {id(variable) for group in whole for variable in group.variables}
        return [variable for variable in variables if id(variable) in shrunk]

    def __call__(self, hook, variables, learning_rate, before):
        keys = {hook.index(variable): id(variable) for variable in self.variables}
        keys = [keys[hook.index(variable)] for variable in variables]
        tensors, steps, reaches = {}, {}, {}
        for key, variable, (old, *kept) in zip(keys, variables, before, strict=True):
            tensors[key] = at_least_float32(ops.copy(variable))
            steps[key] = float32(self.step(variable, learning_rate, kept))
            bound = self.bound(variable, learning_rate, kept)
            if bound is not None:
                reaches[key] = reach(old, tensors[key], bound)
        for group in self.groups:
            if all(id(variable) in tensors for variable in group.variables):
                own = {id(variable): steps[id(variable)] for variable in group.variables}
                # One optimizer has all weights of a unit, so all have a bound or none.
                tensors.update(group.prox(tensors, own, self._scale_of(group), reaches or None))
        return [
            ops.cast(tensors[key], variable.dtype)
            for key, variable in zip(keys, variables, strict=True)
        ]


def _part_of_the_way(start, end, reaches):
    """From each row of `start` to that of `end`, until the first weight is at its reach."""
    way = ops.abs(end - start)
    short = way > reaches
    part = ops.min(
        ops.where(short, reaches / ops.where(short, way, 1.0), 1.0), axis=1, keepdims=True
    )
    # What arrives keeps its bits.
    return ops.where(part < 1.0, start + part * (end - start), end)


def _overlap(group, taken):
    """Why its weights are penalised already, or None; else they are now."""
    every = np.arange(group.units)
    masks = [(id(each.variable), each.mask(every)) for each in group.producers]
    for key, mask in masks:
        for name, other in taken.get(key, []):
            if (mask & other).any():
                return f"its weights are those of '{name}', which is penalised"
    for key, mask in masks:
        taken.setdefault(key, []).append((group.name, mask))
    return None
