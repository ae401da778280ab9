"""A smaller model that goes on with the training of another one."""

import keras
import numpy as np
from keras import ops

from kerasreg._graph.analyse import analyse
from kerasreg._graph.tracing import is_model
from kerasreg._shrinking.dead import Dead
from kerasreg._shrinking.rebuild import Rebuild
from kerasreg._shrinking.training.optimizer_state import (
    carry_optimizer,
    copy_of,
    cut_extra_state,
    parts_of,
    restore_extra_state,
)
from kerasreg._shrinking.training.penalties import keep_objective
from kerasreg._shrinking.training.silent import find_silent


def silent_labels(model, round_to):
    """`(analysis, bool array by root label)`: what a training does not miss."""

    def found(analysis):
        return analysis, find_silent(model, analysis, round_to).labels

    return analyse(model, found)


def without(model, labels, state):
    """The model without these labels, with the weights, the optimizer and the rest of its state.

    The smaller model is compiled with the arguments of the other one, and its penalties have the
    value that they had.

    Args:
        model: a compiled model.
        labels: a bool array by root label, see `silent_labels`.
        state: `extra_state` of its optimizer.
    """

    def rebuilt(analysis):
        if len(labels) != len(analysis.roots):
            raise ValueError(
                f"'{model.name}' must be the model of the backup. Received: a model of "
                f"{len(analysis.roots)} labels, for a backup of one of {len(labels)}."
            )
        rebuild = Rebuild(analysis, Dead(labels, {}, {}))
        return rebuild.model(model), list(rebuild.twins()), rebuild.pairs()

    small, twins, pairs = analyse(model, rebuilt)
    keep_objective(small, twins)
    _carry_seeds(pairs)
    compile_and_carry(model, small, twins, state)
    return small


def compile_and_carry(model, small, twins, state):
    """Compile a smaller model as the other one, with an optimizer that goes on."""
    parts = parts_of(twins)
    old = model.optimizer
    new = copy_of(old, {key: variable for key, (variable, _) in parts.items()})
    # The objects themselves: what a user wrote has no config that Keras can read.
    small.compile(**{**model._compile_config.config, "optimizer": new}, auto_scale_loss=False)
    if old.built:
        new.build(small.trainable_variables)
        carry_optimizer(old, new, parts)
        restore_extra_state(new, cut_extra_state(state, old, new, parts))


def _carry_seeds(pairs):
    """Random numbers go on where they were."""
    for old, new in pairs:
        if not is_model(old) and isinstance(old, keras.layers.Layer):
            seeds = [
                [v for v in each.variables if all(v is not w for w in each.weights)]
                for each in (old, new)
            ]
            if [tuple(v.shape) for v in seeds[0]] == [tuple(v.shape) for v in seeds[1]]:
                for before, after in zip(*seeds, strict=True):
                    # A copy: JAX deletes what a train step was given.
                    after.assign(np.array(ops.convert_to_numpy(before)))
