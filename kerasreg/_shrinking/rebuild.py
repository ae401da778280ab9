"""Construction of a model without its dead units."""

import functools
import warnings
from collections import Counter

import keras
import numpy as np
from keras import ops, tree

from kerasreg._graph.analysis import attributed_to
from kerasreg._graph.tracing import functional_of, is_model, nodes_of
from kerasreg._shrinking.copies import copy_of
from kerasreg._shrinking.devices import require_even_shards
from kerasreg._shrinking.penalties import carry_penalties


class Kept:
    """The units that stay on an axis with given labels.

    `kept(labels)` is their number, and `kept.mask(labels)` a bool array.
    """

    def __init__(self, gone):
        self._gone = gone

    def __call__(self, labels):
        return int(np.count_nonzero(~self._gone[labels]))

    def mask(self, labels):
        """Returns a bool array: True for units that stay."""
        return ~self._gone[labels]


class Rebuild:
    """Builds a model without its dead units.

    Args:
        analysis: the `Analysis` of a model.
        dead: the `Dead` that `find_dead` returned.
        dtype: the dtype of the new model; None keeps that of the original.

    Raises:
        RuleError: if a rule raises, or if the new layer cannot be called or its weights not set.
    """

    def __init__(self, analysis, dead, dtype=None):
        self._analysis, self._dead, self._dtype = analysis, dead, dtype
        self._kept = Kept(dead.labels[analysis.roots])
        self._calls, self._scales = {}, {}
        for call in analysis.graph.calls:
            self._calls.setdefault(id(call.operation), call)
        for call in self._calls.values():
            with attributed_to(call.operation):
                for variable, scale in analysis.rule_of(call.operation).scales(call, self._kept):
                    self._scales[id(variable)] = scale
        self._new = {}

    def model(self, model):
        """Returns the new model, with its weights."""
        with warnings.catch_warnings():
            # Building the original raised the same warnings.
            warnings.simplefilter("ignore")
            small = self._model(model)
        for operation, new in self._new.values():
            if isinstance(new, keras.layers.Layer) and not is_model(operation):
                with attributed_to(operation):
                    self._set_weights(operation, new)
        # Outer layers come first, because setting their flag sets that of their inner layers.
        for old, new in zip(_computing(model), _computing(small), strict=True):
            new.trainable = old.trainable
        for operation, new in self._new.values():
            if isinstance(new, keras.layers.Layer) and not is_model(operation):
                flags = {name: variable.trainable for name, variable in _named(operation)}
                for name, variable in _paired(operation, new):
                    variable.trainable = flags.get(name, variable.trainable)
        if self._dtype is None:
            carry_penalties(small, self.twins())
        return small

    def pairs(self):
        """Returns `[(old operation, new operation)]`."""
        return list(self._new.values())

    def twins(self):
        """Yields `(old variable, new variable, moved, cut)`: see `carry_penalties`."""
        for operation, new in self._new.values():
            if isinstance(new, keras.layers.Layer) and not is_model(operation):
                old = dict(_named(operation))
                for name, variable in _paired(operation, new):
                    if name in old:
                        moved = functools.partial(self._moved, old[name])
                        yield old[name], variable, moved, functools.partial(self._cut, old[name])

    def _model(self, model):
        functional = functional_of(model)
        inputs = [self._input(each) for each in functional.inputs]
        if isinstance(model, keras.Sequential):
            return self._sequential(model, inputs[0])
        found = {id(old): new for old, new in zip(functional.inputs, inputs, strict=True)}
        for node in nodes_of(functional):
            args, kwargs = node.arguments.fill_in(found)
            with attributed_to(node.operation):
                args, kwargs = self._arguments(node, args, kwargs)
                outputs = self._operation(node.operation)(*args, **kwargs)
            found.update(zip(map(id, node.outputs), tree.flatten(outputs), strict=True))
        inputs, outputs = (
            tree.map_structure(lambda each: found[id(each)], struct)
            for struct in (functional._inputs_struct, functional._outputs_struct)
        )
        return keras.Model(inputs, outputs, name=model.name)

    def _sequential(self, model, tensor):
        layers = [self._operation(each) for each in model.layers]
        try:
            return keras.Sequential([tensor, *layers], name=model.name)
        except Exception:
            # Call them one by one, to name the layer that fails.
            for old, new in zip(model.layers, layers, strict=True):
                with attributed_to(old):
                    tensor = new(tensor)
            raise

    def _input(self, tensor):
        shape = list(tensor.shape)
        borders = self._analysis.graph.borders[id(tensor)]
        for axis, labels in borders[0].labels.items():
            shape[axis] = self._kept(labels)
        layer = tensor._keras_history.operation
        is_float = keras.backend.is_float_dtype(tensor.dtype)
        dtype = self._dtype if self._dtype and is_float else tensor.dtype
        return keras.Input(batch_shape=shape, dtype=dtype, sparse=tensor.sparse, name=layer.name)

    def _arguments(self, node, args, kwargs):
        call = self._calls.get(id(node.operation))
        if call is None:
            return args, kwargs
        rule = self._analysis.rule_of(call.operation)
        return rule.arguments(call, args, kwargs, self._kept)

    def _operation(self, operation):
        if id(operation) not in self._new:
            self._new[id(operation)] = operation, self._copy(operation)
        return self._new[id(operation)][1]

    def _copy(self, operation):
        if is_model(operation):
            return self._model(operation)
        rule = self._analysis.rule_of(operation)
        with attributed_to(operation):
            require_even_shards(operation, self._analysis.slices, self._kept)
            changes = rule.config(self._calls[id(operation)], self._kept)
            if any(layer == id(operation) for layer, *_ in self._dead.biases):
                changes = {**changes, **rule.with_bias(operation)}
            return copy_of(operation, changes, self._dtype)

    def _set_weights(self, old, new):
        values = {name: self._value(variable) for name, variable in _named(old)}
        pairs = _paired(old, new)
        shapes = {name: tuple(variable.shape) for name, variable in pairs}
        for (layer, *name), (added, labels) in self._dead.biases.items():
            if layer == id(old):
                stays = self._kept.mask(labels).all(axis=0)
                start = values.get(tuple(name), np.zeros(shapes[tuple(name)]))
                added = self._scale_of_bias(old, *name) * added[stays]
                values[tuple(name)] = start + added.reshape(start.shape)
        for name, variable in pairs:
            # `rule.with_bias` adds every bias of a layer; those that nothing is added to are zero.
            value = values.get(name, np.zeros(variable.shape))
            variable.assign(value.astype(variable.dtype))
        self._analysis.rule_of(old).finish(old, new)

    def _scale_of_bias(self, layer, name, place):
        """Returns the scale of a bias; a new bias has the scale of its kernel."""
        variables = dict(_named(layer))
        found = variables.get((name, place), variables.get(("kernel", place)))
        return self._scales.get(id(found), 1.0)

    def _value(self, variable):
        return self._moved(variable, np.asarray(ops.convert_to_numpy(variable)))

    def _moved(self, variable, value):
        if id(variable) in self._dead.carried:
            axis, matrix = self._dead.carried[id(variable)]
            moved = np.tensordot(matrix, value.astype("float64"), (1, axis))
            value = np.moveaxis(moved, 0, axis)
        value = self._cut(variable, value)
        scale = self._scales.get(id(variable), 1.0)
        return value if scale == 1.0 else value.astype("float64") * scale

    def _cut(self, variable, value):
        found = self._analysis.slices.get(id(variable))
        for axis, labels in (found.axes if found else {}).items():
            value = np.compress(self._kept.mask(labels), value, axis=axis)
        return value


def _computing(model):
    # Input layers are left out: an inner model may share its inputs, and its copy does not.
    layers = model._flatten_layers()
    return [each for each in layers if not isinstance(each, keras.layers.InputLayer)]


def _named(layer):
    """Yields `((name, place), variable)`.

    `place` counts variables of the same name, which layers that contain layers have.
    """
    seen = Counter()
    for variable in layer.weights:
        yield (variable.name, seen[variable.name]), variable
        seen[variable.name] += 1


def _paired(old, new):
    """Returns `[(key of the old variable, new variable)]`; a new bias has its own key."""
    names = [name for name, _ in _named(old)]
    if len(names) == len(new.weights):
        return list(zip(names, new.weights, strict=True))
    pairs = list(_named(new))
    found = {name for name, _ in pairs if name in names or name[0] == "bias"}
    if len(found) < len(pairs) or not found.issuperset(names):
        raise ValueError(
            "`kerasreg.shrink` creates new layers from the configs of the old ones. Received: "
            f"'{old.name}' ({type(old).__name__}), whose config creates other weights: "
            f"{[v.name for v in new.weights]} instead of {[v.name for v in old.weights]}. "
            "Correct its `get_config`."
        )
    return pairs
