"""Rules of attention layers with projections: heads, key and value sizes can shrink."""

import inspect
import math

import keras
import numpy as np
from keras import layers, ops, tree

from kerasreg._graph.analysis import Reader
from kerasreg._graph.precision import WIDEST
from kerasreg._graph.rules.base import Rule, flat, labels_of, pin_other_axes, rule_for
from kerasreg._graph.rules.linear import outputs_of, read_kernel
from kerasreg._graph.tracing import Tensor

_SOURCE = {"query": "query", "gate": "query", "key": "key", "value": "value"}


class _Projections(Rule):
    """Projects queries, keys and values to heads, and the heads to the output.

    The score of a head is `q · k / sqrt(size)`. An element of `q` and `k` can be removed if it is
    zero in all queries, or constant in all keys: a constant adds the same number to the scores of
    all keys, which does not change their softmax. A constant value passes unchanged, because
    softmax weights sum to 1, unless a mask excludes all steps.
    """

    def is_known(self, layer):
        """Returns whether this rule applies to a layer."""
        return True

    def label(self, call, analysis):
        layer = call.operation
        if not self.is_known(layer):
            super().label(call, analysis)
            return
        arguments = _arguments(call)
        for tensor in call.inputs:
            is_feature = any(tensor is each for each in arguments.values())
            pin_other_axes(tensor, -1 if is_feature else tensor.rank, call, analysis)
        sizes = self.new_labels(layer, analysis)
        call.memory.update(sizes)
        output = call.outputs[0]
        output.labels[output.rank - 1] = self.output_labels(call, arguments["query"], analysis)
        for name, axes in self.projections(layer).items():
            dense = getattr(layer, f"_{name}_dense")
            labels = [sizes[each] for each in axes]
            analysis.slice(dense._kernel, {0: labels_of(arguments[_SOURCE[name]], -1)})
            analysis.slice(dense._kernel, {1: labels[0], 2: labels[1]})
            analysis.slice(dense.bias, {0: labels[0], 1: labels[1]})
        dense = layer._output_dense
        last = output.labels[output.rank - 1]
        analysis.slice(dense._kernel, {0: sizes["heads"], 1: sizes["values"], 2: last})
        analysis.slice(dense.bias, {0: last})
        for scores in call.outputs[1:]:
            scores.labels[1] = sizes["heads"]
            if scores.rank != 4:
                analysis.pin(scores, f"the model uses the attention scores of '{layer.name}'")

    def constants(self, call, analysis):
        if self.is_known(call.operation):
            output, bias = call.outputs[0], call.operation._output_dense.bias
            output.constants[output.rank - 1] = outputs_of(self._reader_of_values(call), bias)

    def readers(self, call, analysis):
        if not self.is_known(call.operation):
            return []
        projections = [self._project(call, name) for name in self.projections(call.operation)]
        return [*projections, self._reader_of_scores(call), self._reader_of_values(call)]

    def _project(self, call, name):
        layer = call.operation
        dense, source = getattr(layer, f"_{name}_dense"), _arguments(call)[_SOURCE[name]]
        return read_kernel(
            dense.kernel,
            (0,),
            (1, 2),
            (labels_of(source, -1),),
            [call.memory[each] for each in self.projections(layer)[name]],
            constants=source.constant(-1),
            bias=(layer, "bias", _place(layer, dense)) if source.padding is None else None,
            share=id(dense),
        )

    def _values(self, call, name):
        """Returns the constant outputs of a projection, `(heads, size)`."""
        dense = getattr(call.operation, f"_{name}_dense")
        values = outputs_of(self._project(call, name), dense.bias)
        return values.reshape(tuple(dense.kernel.shape)[1:])

    def _reader_of_scores(self, call):
        heads, keys = call.memory["heads"], call.memory["keys"]
        queries, others = self._values(call, "query"), self._values(call, "key")
        others = np.repeat(others, len(queries) // len(others), axis=0)
        matters = ~((queries == 0) | np.isfinite(others))
        own = np.eye(len(heads), dtype=bool)[:, None, :] & matters[..., None]
        return Reader(
            labels=flat(heads, keys),
            writes=heads[None],
            connected=own.reshape(-1, len(heads)),
            constants=np.full(own.shape[0] * own.shape[1], np.nan),
        )

    def _reader_of_values(self, call):
        layer, output = call.operation, call.outputs[0]
        constants = self._values(call, "value")
        constants = np.repeat(constants, len(call.memory["heads"]) // len(constants), axis=0)
        hides = is_masked(call, _arguments(call).values())
        if "gate" in self.projections(layer) or hides:
            # If a mask excludes all steps, the output is zero.
            constants = np.where(constants == 0, 0.0, np.nan)
        return read_kernel(
            layer._output_dense.kernel,
            (0, 1),
            (2,),
            (call.memory["heads"], call.memory["values"]),
            (output.label(-1),),
            constants=constants.reshape(-1),
            bias=(layer, "bias", _place(layer, layer._output_dense)),
            share=id(layer._output_dense),
        )


@rule_for(layers.MultiHeadAttention)
class _MultiHeadAttention(_Projections):
    def is_known(self, layer):
        return len(layer._output_dense.kernel.shape) == 3

    def projections(self, layer):
        gate = {"gate": ("heads", "values")} if getattr(layer, "_use_gate", False) else {}
        keys = {"query": ("heads", "keys"), "key": ("heads", "keys")}
        return keys | gate | {"value": ("heads", "values")}

    def new_labels(self, layer, analysis):
        sizes = {"heads": layer.num_heads, "keys": layer.key_dim, "values": layer.value_dim}
        labels = {name: analysis.labels.new(size) for name, size in sizes.items()}
        if keras.backend.backend() == "jax" and layer.key_dim == layer.value_dim:
            # On JAX, attention requires equal key and value sizes.
            analysis.labels.unify(labels["keys"], labels["values"])
        return labels

    def output_labels(self, call, query, analysis):
        return analysis.labels.new(call.outputs[0].shape[-1])

    def config(self, call, kept):
        if not self.is_known(call.operation):
            return {}
        size = kept(call.outputs[0].label(-1))
        is_query = size == kept(labels_of(_arguments(call)["query"], -1))
        return {
            "num_heads": kept(call.memory["heads"]),
            "key_dim": kept(call.memory["keys"]),
            "value_dim": kept(call.memory["values"]),
            "output_shape": None if is_query else (size,),
        }

    def scales(self, call, kept):
        layer = call.operation
        if not self.is_known(layer):
            return []
        return _rescaled(layer._query_dense, layer.key_dim, kept(call.memory["keys"]))


@rule_for(layers.GroupQueryAttention)
class _GroupQueryAttention(_Projections):
    """Query heads that share a key and value head are removed together.

    Keys and values have the same size, and the output has as many features as the query.
    """

    def projections(self, layer):
        gate = {"gate": ("heads", "values")} if getattr(layer, "use_gate", False) else {}
        keys = {"query": ("heads", "keys"), "key": ("groups", "keys")}
        return keys | gate | {"value": ("groups", "values")}

    def new_labels(self, layer, analysis):
        groups = analysis.labels.new(layer.num_key_value_heads)
        sizes = analysis.labels.new(layer.head_dim)
        heads = np.repeat(groups, layer.num_repeats)
        return {"groups": groups, "heads": heads, "keys": sizes, "values": sizes}

    def output_labels(self, call, query, analysis):
        # The layer requires queries, values and keys with the same number of features.
        for each in _arguments(call).values():
            analysis.labels.unify(labels_of(query, -1), labels_of(each, -1))
        return labels_of(query, -1)

    def config(self, call, kept):
        return {
            "num_query_heads": kept(call.memory["heads"]),
            "num_key_value_heads": kept(call.memory["groups"]),
            "head_dim": kept(call.memory["keys"]),
        }

    def scales(self, call, kept):
        layer = call.operation
        return _rescaled(layer._query_dense, layer.head_dim, kept(call.memory["keys"]))


def is_masked(call, features):
    """Returns whether steps may be masked by an argument or by the masks of the inputs."""
    leaves = [e for e in tree.flatten((call.args, call.kwargs)) if hasattr(e, "shape")]
    has_mask = any(all(each is not e for e in features) for each in leaves)
    return has_mask or any(each.is_masked for each in features)


def _arguments(call):
    """Returns a dict with the query, the value and the key."""
    found = inspect.signature(call.operation.call).bind(*call.args, **call.kwargs).arguments
    key = found.get("key")
    key = key if isinstance(key, Tensor) else found["value"]
    return {"query": found["query"], "value": found["value"], "key": key}


def _rescaled(dense, before, after):
    """Returns the factor that corrects the scaling of the scores by `1 / sqrt(key size)`."""
    # TensorFlow rounds this Python number to float32 for every dtype.
    before, after = (
        float(ops.convert_to_numpy(ops.cast(1.0 / math.sqrt(size), WIDEST)))
        for size in (before, after)
    )
    ratio = before / after
    return [(each, ratio) for each in (dense._kernel, dense.bias) if each is not None]


def _place(layer, dense):
    """Returns the index of the bias of a projection among the biases of the layer."""
    kernels = [each for each in layer.weights if each.name == "kernel"]
    return next(place for place, each in enumerate(kernels) if each is dense._kernel)
