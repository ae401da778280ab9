"""Attaches regularizers to the variables of a built model, and removes them."""

import re
from collections.abc import Mapping
from typing import Any

import keras

from kerasreg._attach.record import (
    record,
    recorded,
    regularizer_attribute,
    save_recorded,
)
from kerasreg._common import validation
from kerasreg._common.texts import nearest
from kerasreg._graph.roles import model_roles
from kerasreg._graph.variables import all_layers, owners, require_built
from kerasreg._train_step import forget_traces, require_idle
from kerasreg.constraints.base import Projection
from kerasreg.regularizers.base import Penalty


def attach(model: keras.Model, rules: Mapping[str, Any]) -> dict[str, Any]:
    """Attaches regularizers to variables of a built model, selected by their paths.

    It supports pretrained, nested and subclassed models, and variables whose layer has no argument
    for a regularizer. The regularizers are saved by `model.save("model.keras")` and restored by
    `keras.models.load_model` in a process that has imported kerasreg. A compiled model stays
    compiled. `keras.models.clone_model` copies layers by their configs: it loses regularizers that
    are not part of a config, which are those on custom layers and on the projections inside
    attention layers. `kerasreg.shrink` keeps all of them.

    Args:
        model: a built Keras model.
        rules: dict from regular expression to regularizer. A rule applies to each trainable
            variable whose path matches (`re.search`) and that no earlier rule matches. It replaces
            the regularizer of the variable. A regularizer is one of `kerasreg.regularizers`, one of
            Keras (also its name or config), or a function of the weights. In those of kerasreg,
            `axis` may be `"output"`, `"input"` or `"head"`.

    Returns:
        A dict from variable path to attached regularizer.

    Raises:
        ValueError: if the model is not built, if a rule is invalid or applies to no trainable
            variable, or if a matched variable does not have the axis. In this case, nothing is
            attached.
        RuntimeError: during a `fit` or loop with `ProximalGradient`, `PenaltySchedule` or
            `kerasreg.proximal`. During any other `fit`, a callback may call `attach`; the
            regularizers apply from the next batch.

    Example:

    >>> inputs = keras.Input((4,))
    >>> model = keras.Model(inputs, keras.layers.Dense(3, name="hidden")(inputs))
    >>> rules = {"hidden/kernel": kerasreg.regularizers.GroupLasso(0.1, axis="input")}
    >>> kerasreg.attach(model, rules)
    {'hidden/kernel': GroupLasso(factor=0.1, axis=0, gates=1)}
    """
    require_built(model, "kerasreg.attach")
    require_idle(model, "kerasreg.attach")
    attached = _match(model, rules)
    put(model, attached)
    return {variable.path: regularizer for variable, regularizer in attached}


def detach(model: keras.Model) -> dict[str, Any]:
    """Removes the regularizers of kerasreg, and those attached by `attach`, from a model.

    This includes regularizers in layer arguments (`kernel_regularizer=`, `activity_regularizer=`)
    and constraints of `kerasreg.constraints`. If the model is then saved, the file loads in stock
    Keras, without kerasreg. (`kerasreg.save(model, filepath, detach=True)` writes such a file
    without changing the model.)

    Args:
        model: a built Keras model.

    Returns:
        A dict from variable path to removed regularizer.

    Raises:
        ValueError: if the model is not built.
        RuntimeError: as in `attach`.

    Example:

    >>> inputs = keras.Input((4,))
    >>> model = keras.Model(inputs, keras.layers.Dense(3, name="hidden")(inputs))
    >>> _ = kerasreg.attach(model, {"hidden/kernel": kerasreg.regularizers.L1(0.1)})
    >>> kerasreg.detach(model)
    {'hidden/kernel': L1(l1=0.1)}
    """
    require_built(model, "kerasreg.detach")
    require_idle(model, "kerasreg.detach")
    layer_of = owners(model)
    removed = {}
    for variable in model.weights:
        regularizer = variable.regularizer
        if isinstance(regularizer, Penalty) or recorded(variable) is not None:
            removed[variable.path] = regularizer
            _set(layer_of[id(variable)], variable, None)
        if isinstance(variable.constraint, Projection):
            variable.constraint = None
    for layer in all_layers(model):
        if isinstance(layer, keras.Model):
            save_recorded(layer)
        # Layers pass regularizers to sublayers, and store them in attributes of different names.
        for name, value in list(vars(layer).items()):
            ours = {"regularizer": Penalty, "constraint": Projection}
            if any(name.endswith(end) and isinstance(value, ours[end]) for end in ours):
                setattr(layer, name, None)
    forget_traces(model)
    return removed


def put(model, regularizers):
    """Sets `[(variable, regularizer)]` such that saving keeps them."""
    layer_of = owners(model)
    for variable, regularizer in regularizers:
        _set(layer_of[id(variable)], variable, regularizer)
    save_recorded(model)
    forget_traces(model)


def _match(model, rules):
    """Returns `[(variable, regularizer)]`, with axis names replaced for each variable."""
    if not isinstance(rules, Mapping) or not rules:
        raise ValueError(
            "`rules` must be a dict from regular expression to regularizer, such as "
            f'{{"conv.*/kernel": kerasreg.regularizers.L1(1e-4)}}. Received: rules={rules!r}'
        )
    rules = {pattern: _regularizer(pattern, value) for pattern, value in rules.items()}
    roles = model_roles(model)
    matches, left = [], list(model.trainable_variables)
    for pattern, regularizer in rules.items():
        taken = [variable for variable in left if re.search(pattern, variable.path)]
        if not taken:
            raise ValueError(_matches_nothing(model, pattern))
        for variable in taken:
            own = regularizer
            if isinstance(regularizer, Penalty):
                own = regularizer.for_variable(variable, roles.get(id(variable), {}))
            matches.append((variable, own))
        left = [variable for variable in left if all(variable is not each for each in taken)]
    return matches


def _regularizer(pattern, value):
    validation.expression(pattern, "rules", is_key=True)
    try:
        regularizer = keras.regularizers.get(value)
        # Keras 3.10 rejects plain functions here, before anything is attached.
        keras.Variable(0.0).regularizer = regularizer
    except (TypeError, ValueError):
        regularizer = None
    if regularizer is None or isinstance(regularizer, keras.constraints.Constraint):
        raise ValueError(
            f"`rules[{pattern!r}]` must be a regularizer, or the name or config of one. Received: "
            f"{value!r}. To remove regularizers, use `kerasreg.detach(model)`."
        )
    return regularizer


def _matches_nothing(model, pattern):
    found = [v for v in model.weights if re.search(pattern, v.path)]
    trainable = [variable.path for variable in model.trainable_variables]
    if any(variable.trainable for variable in found):
        reason = "an earlier rule applies to every variable that it matches"
    elif found:
        paths = [variable.path for variable in found]
        reason = f"it matches {paths[:5]}, which are not trainable and get no penalty"
    else:
        reason = nearest(pattern, trainable, "trainable variables")
    return f"The rule {pattern!r} applies to no trainable variable of '{model.name}': {reason}."


def _set(layer, variable, regularizer):
    variable.regularizer = regularizer
    record(variable, regularizer)
    name = regularizer_attribute(layer, variable)
    if name is not None:
        setattr(layer, name, regularizer)
