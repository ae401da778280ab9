"""The group lasso of coupled units in the train step of one optimizer."""

from keras import ops

from kerasreg._graph.coupled.find import find_groups
from kerasreg._graph.coupled.groups import obstacle
from kerasreg._graph.variables import require_matches
from kerasreg._proximal.coupled import GroupOfProducers, overlap
from kerasreg._proximal.session import ProximalSession
from kerasreg._proximal.step_sizes import float32, reach
from kerasreg._proximal.stepped import SteppedUpdate
from kerasreg._train_step import Coverage, other_optimizers
from kerasreg.regularizers.base import at_least_float32


def sizes_of_groups(model, caller):
    """Returns the sizes of the units of all coupled groups.

    Returns:
        `{name of a group: (number of weights that compute one unit, number of all weights of one
        unit)}`.
    """
    return {group.name: _size(group) for group in find_groups(model, caller)}


def _size(group):
    return sum(each.size for each in group.producers), group.parameters


class CoupledSession(ProximalSession):
    """Adds the group lasso of coupled units to the train step of one optimizer.

    Args:
        factor: float, the factor of the penalty.
        include, exclude: regular expressions that select groups, or None.
        sizes: the `sizes_of_groups` of the original model if units were removed, or None.

    The other arguments are those of `Session`. The scope is required.
    """

    def __init__(self, model, optimizer, factor, include, exclude, caller, scope, sizes=None):
        self._sizes = sizes or {}
        self._factor, self._include, self._exclude = factor, include, exclude
        super().__init__(model, optimizer, caller, scope)

    @property
    def coupled_groups(self):
        """The `CoupledGroup`s that are penalised."""
        return [each.group for each in self.groups]

    def penalties(self):
        """Returns `{name of a group: its penalty}` for the current weights."""
        return {each.group.name: float(ops.convert_to_numpy(each.value())) for each in self.groups}

    @property
    def variables(self):
        """The variables that are penalised."""
        found = {id(v): v for group in self.groups for v in group.variables}
        return list(found.values())

    def _find(self):
        model = self._model
        found = find_groups(model, self._caller)
        trainable = {id(variable) for variable in model.trainable_variables}
        paths = [path for group in found for path in group.paths]
        require_matches(self._include, "include", paths)
        require_matches(self._exclude, "exclude", paths)
        self.groups, self.skipped, taken = [], {}, {}
        # Larger units first: whole attention heads before the dimensions inside heads.
        for group in sorted(found, key=lambda group: -self._size_of(group)[1]):
            members = group.producers
            reason = obstacle(group, members, trainable, self._include, self._exclude)
            if not members:
                reason = "no weights compute its units"
            if reason is None:
                reason = overlap(group, taken)
            if reason is None:
                size, _ = self._size_of(group)
                self.groups.append(GroupOfProducers(group, self._factor, size))
            else:
                self.skipped[group.name] = reason
        if not self.groups:
            raise ValueError(
                f"`{self._caller}` found no coupled units to penalise in '{model.name}'. Expected "
                "a trainable group that `include` and `exclude` select. Received: "
                f"include={self._include!r}, exclude={self._exclude!r}; not penalised: "
                f"{ {**found.pinned, **self.skipped} }. See `kerasreg.coupled_groups(model)`."
            )

    def _size_of(self, group):
        return self._sizes.get(group.name, _size(group))

    def _make_updates(self):
        self._require_one_optimizer()
        arguments = self.groups, self.variables, self._hook, self._active, self._scale_of
        return [_CoupledUpdate(*arguments)]

    def _make_coverage(self):
        return Coverage(
            *(self._optimizer, self.variables, self._update, self._caller, "a proximal step"),
            "the units are trained without their penalty",
            f"{other_optimizers(self._model)}Compile the model with the optimizer that its "
            "`train_step` applies (`self.optimizer`).",
        )

    def _require_one_optimizer(self):
        for group in self.groups:
            parts = {id(self._hook.part_of(variable)[0]) for variable in group.variables}
            if len(parts) > 1:
                raise ValueError(
                    f"`{self._caller}` expects one optimizer for all weights of a coupled unit. "
                    "Received: a MultiOptimizer with several optimizers for "
                    f"'{group.group.name}': {[variable.path for variable in group.variables]}. Use "
                    "the same optimizer for these variables, or pass `exclude`."
                )

    def _scale_of(self, group):
        """Returns the number by which a schedule multiplies the penalty of a group in this step."""
        for pattern, scale in self._scope.schedules:
            if group.group.matches(pattern):
                return scale()
        return 1.0

    def _add_penalties(self):
        self._scope.penalties.append(self._without_gradient)
        # Keras traces the test step again, because the validation loss contains the penalty.
        self._model.test_function = None

    def _remove_penalties(self):
        if self._without_gradient in self._scope.penalties:
            self._scope.penalties.remove(self._without_gradient)
            self._model.test_function = None

    def _without_gradient(self):
        scale_of = self._scale_of if self._active() else lambda group: 1.0
        parts = [scale_of(group) * ops.cast(group.value(), "float32") for group in self.groups]
        return ops.stop_gradient(sum(parts))


class _CoupledUpdate(SteppedUpdate):
    is_joint = True
    #: After the proximal steps of single variables. With L1, both together are the proximal
    #: operator of the sparse group lasso.
    order = 0.5
    state_name = "coupled_gain"
    alone_as = "a proximal step of coupled units"

    def __init__(self, groups, variables, hook, active, scale_of):
        super().__init__(variables, hook, active)
        self.groups, self._scale_of = groups, scale_of

    def common(self, other):
        taken = {}
        for each in other.groups:
            overlap(each.group, taken)
        twice = [each for each in self.groups if overlap(each.group, dict(taken)) is not None]
        return list({id(v): v for each in twice for v in each.variables}.values())

    def before(self, hook, variable, gradient):
        kept = super().before(hook, variable, gradient)
        # On torch, the tensor of a variable shares its memory.
        return (ops.copy(ops.convert_to_tensor(variable)), *kept)

    def changed(self, variables):
        # A group is trained only in steps in which all of its variables have a gradient.
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
                reaches[key] = reach(float32(old) - float32(tensors[key]), bound)
        for group in self.groups:
            if all(id(variable) in tensors for variable in group.variables):
                own = {id(variable): steps[id(variable)] for variable in group.variables}
                # All weights of a unit have the same optimizer: either all have a bound, or none.
                tensors.update(group.prox(tensors, own, self._scale_of(group), reaches or None))
        return [
            ops.cast(tensors[key], variable.dtype)
            for key, variable in zip(keys, variables, strict=True)
        ]
