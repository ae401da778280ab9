"""The same model with fewer coordinates."""

import copy

import keras
import numpy as np
from keras import ops, tree

from kerasreg.shrinking.graph import functional_of, is_model, nodes_of
from kerasreg.shrinking.rules import rule_of


class Rebuild:
    """A model without its dead labels.

    Args:
        analysis: the `Analysis` of a model.
        dead: what `find_dead` found.
    """

    def __init__(self, analysis, dead):
        self._analysis, self._dead = analysis, dead
        self._gone = dead.labels[analysis.roots]
        self._calls = {}
        for call in analysis.graph.calls:
            self._calls.setdefault(id(call.operation), call)
        self._new = {}

    def model(self, model):
        """The new model, with its weights."""
        small = self._model(model)
        for operation, new in self._new.values():
            if isinstance(new, keras.layers.Layer) and not is_model(operation):
                self._set_weights(operation, new)
                new.trainable = operation.trainable
        return small

    def _model(self, model):
        functional = functional_of(model)
        inputs = [self._input(each) for each in functional.inputs]
        found = {id(old): new for old, new in zip(functional.inputs, inputs, strict=True)}
        for node in nodes_of(functional):
            args, kwargs = node.arguments.fill_in(found)
            outputs = self._operation(node.operation)(*args, **kwargs)
            found.update(zip(map(id, node.outputs), tree.flatten(outputs), strict=True))
        if isinstance(model, keras.Sequential):
            small = keras.Sequential(name=model.name)
            small.add(inputs[0])
            for layer in model.layers:
                small.add(self._operation(layer))
        else:
            pack = tree.map_structure
            small = keras.Model(
                pack(lambda each: found[id(each)], functional._inputs_struct),
                pack(lambda each: found[id(each)], functional._outputs_struct),
                name=model.name,
            )
        return small

    def _input(self, tensor):
        shape = list(tensor.shape)
        borders = self._analysis.graph.borders[id(tensor)]
        for axis, labels in borders[0].labels.items():
            shape[axis] = self._kept(labels)
        layer = tensor._keras_history.operation
        return keras.Input(
            batch_shape=shape, dtype=tensor.dtype, sparse=tensor.sparse, name=layer.name
        )

    def _operation(self, operation):
        if id(operation) not in self._new:
            self._new[id(operation)] = operation, self._copy(operation)
        return self._new[id(operation)][1]

    def _copy(self, operation):
        if is_model(operation):
            return self._model(operation)
        if not isinstance(operation, keras.layers.Layer):
            new = copy.copy(operation)
            new._inbound_nodes, new._outbound_nodes = [], []
            return new
        config = operation.get_config()
        config.update(rule_of(operation).config(self._calls[id(operation)], self._kept))
        if id(operation) in self._dead.biases:
            config["use_bias"] = True
        return type(operation).from_config(config)

    def _kept(self, labels):
        return int(np.count_nonzero(~self._gone[labels]))

    def _set_weights(self, old, new):
        values = {}
        for variable in old.weights:
            values[_name(variable, old)] = self._value(variable)
        added = self._dead.biases.get(id(old))
        if added is not None:
            values["bias", 0] = self._bias(old, added)
        for variable in new.weights:
            variable.assign(values[_name(variable, new)].astype(variable.dtype))

    def _value(self, variable):
        value = np.asarray(ops.convert_to_numpy(variable))
        if id(variable) in self._dead.carried:
            axis, matrix = self._dead.carried[id(variable)]
            moved = np.tensordot(matrix, value.astype("float64"), (1, axis))
            value = np.moveaxis(moved, 0, axis)
        found = self._analysis.slices.get(id(variable))
        for axis, labels in (found.axes if found else {}).items():
            value = np.compress(~self._gone[labels], value, axis=axis)
        return value

    def _bias(self, layer, added):
        own = 0.0 if layer.bias is None else np.asarray(ops.convert_to_numpy(layer.bias), "float64")
        call = self._calls[id(layer)]
        axis = rule_of(layer).axis(layer, call.inputs[0])
        return (own + added)[~self._gone[call.outputs[0].label(axis)]]


def _name(variable, layer):
    # Layers with layers inside have several kernels: their order tells them apart.
    return variable.name, [each.name for each in layer.weights[: _place(variable, layer)]].count(
        variable.name
    )


def _place(variable, layer):
    return next(i for i, each in enumerate(layer.weights) if each is variable)
