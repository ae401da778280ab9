"""Copies an optimizer and its state for a smaller model."""

import warnings

import keras
import numpy as np
from keras import ops

from kerasreg._graph.variables import host_view
from kerasreg._train_step import UpdateHook

#: Attributes of an optimizer that contain variables but are not slots.
_NO_SLOTS = ("_variables", "_trainable_variables")
#: Slots without one axis of their variable: the row and column statistics of Adafactor.
_FACTORED = {"_r": -1, "_c": -2}


class Part:
    """Selects the entries of an array that belong to the remaining units of a variable.

    Args:
        variable: Keras variable of the larger model.
        cut: function that selects the remaining entries of an array of the variable's shape.
    """

    def __init__(self, variable, cut):
        self._shape = tuple(variable.shape)
        self._kept = [_kept(self._shape, axis, cut) for axis in range(len(self._shape))]

    def __call__(self, array, without=None):
        """Returns the remaining entries of an array.

        Args:
            array: array of the shape of the variable, without the axis `without` if given.
            without: int, the axis of the variable that the array lacks, or None.
        """
        kept = list(self._kept)
        if without is not None:
            del kept[without]
        return array[np.ix_(*kept)] if kept else array

    def fits(self, array, without=None):
        """Returns whether an array has the shape of the variable, or that `without` one axis."""
        shape = list(self._shape)
        if without is not None:
            del shape[without]
        return tuple(array.shape) == tuple(shape)


def parts_of(twins):
    """Returns `{id(new variable): (old variable, Part)}` for `Rebuild.twins()`."""
    return {id(new): (old, Part(old, cut)) for old, new, _, cut in twins}


def copy_of(optimizer, origin):
    """Returns a new optimizer with the same arguments, for the variables of a smaller model.

    Args:
        optimizer: a Keras optimizer.
        origin: `{id(new variable): old variable}`.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return type(optimizer)(
            copy_of(optimizer.inner_optimizer, origin),
            initial_scale=optimizer.initial_scale,
            dynamic_growth_steps=optimizer.dynamic_growth_steps,
            name=optimizer.name,
        )
    if hasattr(optimizer, "optimizers"):
        return _copy_of_several(optimizer, origin)
    with warnings.catch_warnings():
        # Keras warns about a function in the config. It is replaced below.
        warnings.simplefilter("ignore")
        config = optimizer.get_config()
    rate = optimizer._learning_rate
    if callable(rate) and not isinstance(rate, keras.Variable):
        # Keras cannot deserialize custom functions and schedules.
        config["learning_rate"] = rate
    return type(optimizer).from_config(config)


def carry_optimizer(old, new, parts):
    """Copies the state of an optimizer to one that is built for a smaller model.

    Args:
        old, new: optimizers of the same class.
        parts: see `parts_of`.

    Raises:
        ValueError: for a state whose shape depends on the shape of its variable in an unknown way.
    """
    _carry_numbers(old, new)
    if isinstance(old, keras.optimizers.LossScaleOptimizer):
        carry_optimizer(old.inner_optimizer, new.inner_optimizer, parts)
        return
    for before, after in zip(
        *(getattr(each, "optimizers", ()) for each in (old, new)), strict=True
    ):
        if before.built:
            carry_optimizer(before, after, parts)
    if not hasattr(old, "optimizers"):
        for number, variable in enumerate(new._trainable_variables):
            if id(variable) in parts:
                _carry_slots(old, new, number, variable, *parts[id(variable)])


def extra_state(optimizer):
    """Returns the state of the updates of kerasreg in an optimizer, as `{name: array}`."""
    state = UpdateHook.of(optimizer).state
    saved = {name: np.array(host_view(each)) for name, each in state.saved.items()}
    return {**state.restored, **state.arrays, **saved}


def restore_extra_state(optimizer, state):
    """Sets the initial state of the next updates in an optimizer, as loading a checkpoint does."""
    if state:
        UpdateHook.of(optimizer).state.restored = dict(state)


def cut_extra_state(state, old, new, parts):
    """Returns the extra state for the optimizer of a smaller model.

    Args:
        state: `extra_state` of the old optimizer. The keys `(name)_(number)` belong to the variable
            with this number in the optimizer.
        old, new: the optimizers.
        parts: see `parts_of`.
    """
    old, new = _unwrapped(old), _unwrapped(new)
    of_number = {}
    for place, variable in enumerate(new._trainable_variables):
        if id(variable) in parts:
            origin, part = parts[id(variable)]
            of_number[old._get_variable_index(origin)] = place, part
    found = {}
    for name, value in state.items():
        kind, _, number = name.rpartition("_")
        if not kind or not number.isdigit():
            found[name] = value
        # Starting values of group proximal operators have one entry per group; they are
        # computed again.
        elif int(number) in of_number and kind != "start":
            place, part = of_number[int(number)]
            found[f"{kind}_{place}"] = part(value) if part.fits(value) else value
    return found


def _unwrapped(optimizer):
    while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    return optimizer


def _kept(shape, axis, cut):
    """Returns the remaining indices of an axis."""
    view = [-1 if each == axis else 1 for each in range(len(shape))]
    left = cut(np.broadcast_to(np.arange(shape[axis]).reshape(view), shape))
    return np.moveaxis(left, axis, 0).reshape(left.shape[axis], -1)[:, 0]


def _copy_of_several(optimizer, origin):
    copies = {id(each): copy_of(each, origin) for each in optimizer.optimizers}
    chosen = optimizer._optimizer_map
    if isinstance(chosen, keras.optimizers.OptimizerMap):
        new = type(chosen)(
            copies[id(chosen.default_optimizer)],
            {key: copies[id(each)] for key, each in chosen.items()},
        )
    else:

        def new(variable):
            number = optimizer._var_to_optimizer_idx[optimizer._var_key(origin[id(variable)])]
            return copies[id(optimizer.optimizers[number])]

    return type(optimizer)(new, loss_scale_factor=optimizer.loss_scale_factor, name=optimizer.name)


def _carry_numbers(old, new):
    for name, value in vars(old).items():
        if isinstance(value, keras.Variable) and isinstance(vars(new).get(name), keras.Variable):
            # Copied, because JAX deletes the buffers that are passed to a train step.
            vars(new)[name].assign(np.array(ops.convert_to_numpy(value)))


def _carry_slots(old, new, number, variable, origin, part):
    place = old._get_variable_index(origin)
    for name, slots in vars(new).items():
        if name in _NO_SLOTS:
            continue
        if isinstance(slots, list) and len(slots) == len(new._trainable_variables):
            target, source = slots[number], vars(old)[name][place]
        elif isinstance(slots, dict) and isinstance(slots.get(variable.path), keras.Variable):
            # Muon in Keras 3.10 has dicts of slots.
            target, source = slots[variable.path], vars(old)[name][origin.path]
        else:
            continue
        if isinstance(target, keras.Variable):
            target.assign(_cut(source, target, part, name, old))


def _cut(source, target, part, name, optimizer):
    value = np.asarray(ops.convert_to_numpy(source))
    without = _FACTORED.get(name)
    if part.fits(value):
        value = part(value)
    elif without is not None and len(value.shape) and part.fits(value, without):
        value = part(value, without)
    if tuple(value.shape) != tuple(target.shape):
        raise ValueError(
            "`kerasreg.fit_and_shrink` cannot copy the state of this optimizer to a smaller model. "
            f"Expected a state with the shape of its variable. Received: `{name}` of "
            f"'{optimizer.name}' ({type(optimizer).__name__}), with shape {tuple(source.shape)}. "
            "Use an optimizer of Keras, or train with `fit` and then use `kerasreg.shrink`."
        )
    return value
