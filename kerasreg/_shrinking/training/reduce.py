"""Creates a smaller model with the training state of a larger one."""

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
    """Returns `(analysis, labels)`.

    `labels` is a bool array by root label. It is True for units whose removal does not change the
    training.
    """

    def found(analysis):
        return analysis, find_silent(model, analysis, round_to).labels

    return analyse(model, found)


def without(model, labels, state):
    """Returns the model without these labels, with its weights and training state.

    The smaller model is compiled with the same arguments. The optimizer and the random number
    generators keep their state, and the penalties keep their values.

    Args:
        model: a compiled model.
        labels: bool array by root label, see `silent_labels`.
        state: dict, the `extra_state` of the optimizer.

    Raises:
        ValueError: if the labels belong to another model.
    """

    def rebuilt(analysis):
        if len(labels) != len(analysis.roots):
            raise ValueError(
                f"'{model.name}' must have the architecture of the model in the backup. Received: "
                f"{len(analysis.roots)} labels; the backup has {len(labels)}. Pass the model of "
                "the interrupted run, or use another `backup_dir`."
            )
        rebuild = Rebuild(analysis, Dead(labels, {}, {}))
        return rebuild.model(model), list(rebuild.twins()), rebuild.pairs()

    small, twins, pairs = analyse(model, rebuilt)
    keep_objective(small, twins)
    _carry_seeds(pairs)
    compile_and_carry(model, small, twins, state)
    return small


def compile_and_carry(model, small, twins, state):
    """Compiles a smaller model with the arguments and the optimizer state of another one.

    Args:
        model: the larger model.
        small: the smaller model.
        twins: list of the items of `Rebuild.twins()`.
        state: dict, the `extra_state` of the optimizer of `model`.
    """
    parts = parts_of(twins)
    old = model.optimizer
    new = copy_of(old, {key: variable for key, (variable, _) in parts.items()})
    # Passes the objects themselves, because Keras cannot deserialize custom ones.
    small.compile(**{**model._compile_config.config, "optimizer": new}, auto_scale_loss=False)
    if old.built:
        new.build(small.trainable_variables)
        carry_optimizer(old, new, parts)
        restore_extra_state(new, cut_extra_state(state, old, new, parts))


def _carry_seeds(pairs):
    """Copies the states of seed generators. `pairs` is `Rebuild.pairs()`."""
    for old, new in pairs:
        if not is_model(old) and isinstance(old, keras.layers.Layer):
            seeds = [
                [v for v in each.variables if all(v is not w for w in each.weights)]
                for each in (old, new)
            ]
            if [tuple(v.shape) for v in seeds[0]] == [tuple(v.shape) for v in seeds[1]]:
                for before, after in zip(*seeds, strict=True):
                    # Copied, because JAX deletes the buffers that are passed to a train step.
                    after.assign(np.array(ops.convert_to_numpy(before)))
