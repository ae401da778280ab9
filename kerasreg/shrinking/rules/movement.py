"""What moves numbers, joins them, or pools them in space, and does not look at features."""

import numpy as np
from keras import layers, ops, tree

from kerasreg.shrinking.graph import Tensor
from kerasreg.shrinking.rules.base import Rule, pin_other_axes, rule_for, rule_for_ops
from kerasreg.shrinking.rules.elementwise import without_padding
from kerasreg.shrinking.rules.kernels import feature_axis

_PADDING = (layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)
_SPATIAL = (
    *(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D),
    *(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D),
    *(layers.Cropping1D, layers.Cropping2D, layers.Cropping3D),
    *(layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D),
    *(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D),
    *(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D),
)


#: The attributes that are shapes.
_SHAPES = {"Reshape": "newshape", "BroadcastTo": "shape"}


@rule_for(*_SPATIAL, *_PADDING)
class _Spatial(Rule):
    """Works along space, on each channel alone."""

    def label(self, call, analysis):
        layer, tensor, (output,) = call.operation, call.inputs[0], call.outputs
        axis = feature_axis(layer, tensor)
        pin_other_axes(tensor, axis, call, analysis)
        if tensor.label(axis) is not None:
            output.labels[feature_axis(layer, output)] = tensor.label(axis)

    def constants(self, call, analysis):
        layer, tensor, (output,) = call.operation, call.inputs[0], call.outputs
        constants = tensor.constant(feature_axis(layer, tensor))
        if isinstance(layer, _PADDING):
            output.padding = call
        else:
            constants = without_padding(tensor, constants)
        output.constants[feature_axis(layer, output)] = constants


@rule_for(layers.Concatenate)
@rule_for_ops("Concatenate")
class _Concatenate(Rule):
    def label(self, call, analysis):
        (output,) = call.outputs
        joined = call.operation.axis % output.rank
        for axis in range(output.rank):
            found = [tensor.labels.get(axis) for tensor in call.inputs]
            if all(labels is None for labels in found):
                continue
            if axis == joined:
                parts = zip(found, call.inputs, strict=True)
                output.labels[axis] = np.concatenate(
                    [np.zeros(t.shape[axis], int) if part is None else part for part, t in parts]
                )
                continue
            present = [labels for labels in found if labels is not None]
            for labels in present:
                if len(present) < len(found):
                    analysis.labels.pin(labels, f"'{call.operation.name}' joins what must stay")
                analysis.labels.unify(labels, present[0])
            output.labels[axis] = present[0]

    def constants(self, call, analysis):
        (output,) = call.outputs
        axis = call.operation.axis % output.rank
        parts = [without_padding(tensor, tensor.constant(axis)) for tensor in call.inputs]
        output.constants[axis] = np.concatenate(parts)


@rule_for(layers.Flatten, layers.Permute, layers.RepeatVector)
@rule_for_ops("Transpose", "ExpandDims", "Squeeze", "Moveaxis", "Swapaxes", "Flip", "Repeat")
@rule_for_ops("Tile", "Mean", "Max", "Min", "Amax", "Amin", "Ravel")
class _Moved(Rule):
    """Numbers change places: where they go is found by moving their indices."""

    def label(self, call, analysis):
        tensor = call.inputs[0]
        for axis, labels in tensor.labels.items():
            self._label(axis, labels, call, analysis)

    def constants(self, call, analysis):
        tensor = call.inputs[0]
        for axis, constants in tensor.constants.items():
            constants = without_padding(tensor, constants)
            for output, move in zip(call.outputs, call.memory.get(axis, ()), strict=False):
                if move is not None:
                    target, places = move
                    moved = constants[places]
                    is_same = (moved == moved[:1]).all(axis=0)
                    output.constants[target] = np.where(is_same, moved[0], np.nan)

    def follows(self, call, axis, target, places):
        """Whether the same operation on fewer coordinates is what is wanted."""
        return True

    def _label(self, axis, labels, call, analysis):
        moves = _moves(call, axis, len(labels))
        if moves is None:
            analysis.labels.pin(labels, f"'{call.operation.name}' mixes it")
            return
        for output, move in zip(call.outputs, moves, strict=True):
            if move is None:
                analysis.labels.pin(labels, f"'{call.operation.name}' drops the axis")
                return
            target, places = move
            is_free = target not in output.labels and output.shape[target] == places.shape[1]
            if not is_free or not self.follows(call, axis, target, places):
                analysis.labels.pin(labels, f"'{call.operation.name}' cuts it up")
                analysis.is_coarse = True
                return
        call.memory[axis] = moves
        for output, (target, places) in zip(call.outputs, moves, strict=True):
            # An axis that is split keeps its last part: the others must agree about it.
            analysis.labels.unify(labels[places], labels[places[:1]])
            output.labels[target] = labels[places[0]]


@rule_for(layers.Reshape)
@rule_for_ops("Reshape", "BroadcastTo")
class _Reshape(_Moved):
    """The new shape is in the config, or an attribute."""

    def label(self, call, analysis):
        if analysis.is_shared(call.operation):
            analysis.pin(call.inputs[0], f"'{call.operation.name}' is used several times")
        else:
            super().label(call, analysis)

    def config(self, call, kept):
        is_layer = isinstance(call.operation, layers.Reshape)
        name = "target_shape" if is_layer else _SHAPES[type(call.operation).__name__]
        shape = list(getattr(call.operation, name))
        (output,) = call.outputs
        for axis, labels in output.labels.items():
            place = axis - 1 if is_layer else axis
            if shape[place] not in (-1, None):
                shape[place] = kept(labels)
        return {name: tuple(shape)}


@rule_for_ops("Split")
class _Split(_Moved):
    """Several outputs: where it cuts is an attribute."""

    def config(self, call, kept):
        axis = call.operation.axis % call.inputs[0].rank
        labels = [output.labels.get(axis) for output in call.outputs]
        if labels[0] is None:
            return {}
        return {"indices_or_sections": np.cumsum([kept(each) for each in labels])[:-1].tolist()}


@rule_for_ops("GetItem")
class _GetItem(_Moved):
    """Slices: where they begin and end is in the arguments."""

    def follows(self, call, axis, target, places):
        part = _parts(call).get(axis, slice(None))
        return isinstance(part, slice) and part.step in (None, 1)

    def arguments(self, call, args, kwargs, kept):
        tensor = call.inputs[0]
        labelled = {axis: tensor.labels[axis] for axis in call.memory}
        key = []
        for axis, part in _expanded(call):
            if axis in labelled and isinstance(part, slice):
                start, stop, _ = part.indices(len(labelled[axis]))
                part = slice(kept(labelled[axis][:start]), kept(labelled[axis][:stop]))
            key.append(part)
        return (args[0], tuple(key)), {}


def _expanded(call):
    """`(axis of the input or None, part)` of the key of an item, without an ellipsis."""
    key = call.args[1] if len(call.args) > 1 else call.kwargs["key"]
    key = key if isinstance(key, tuple) else (key,)
    rank, axis, expanded = call.inputs[0].rank, 0, []
    for part in key:
        if part is Ellipsis:
            missing = rank - sum(each is not None and each is not Ellipsis for each in key)
            expanded += [(axis + i, slice(None)) for i in range(missing)]
            axis += missing
        else:
            expanded.append((None if part is None else axis, part))
            axis += part is not None
    return expanded


def _parts(call):
    return {axis: part for axis, part in _expanded(call) if axis is not None}


def _moves(call, axis, size):
    """Per output `(axis, indices (times, its size))` of where coordinates go, None if nowhere.

    None for an operation that does more than to move: it is run on two orders of the indices, and
    must do the same to both.
    """
    orders = np.arange(1.0, size + 1), np.random.default_rng(0).permutation(size) + 1.0
    results = [_run(call, axis, order) for order in orders]
    moves = []
    for first, second in zip(*results, strict=True):
        places = first.astype(int) - 1
        is_index = (first >= 1) & (first <= size) & (places == first - 1)
        if not is_index.all() or not (second == orders[1][places]).all():
            return None
        varying = [i for i in range(places.ndim) if (np.take(places, [0], i) != places).any()]
        if not varying:
            moves.append(None)
            continue
        last = np.moveaxis(places, varying[-1], -1)
        moves.append((varying[-1], np.unique(last.reshape(-1, last.shape[-1]), axis=0)))
    return moves


def _run(call, axis, values):
    """The outputs of an operation on an array with these values along an axis."""
    tensor = call.inputs[0]
    # Any size does where it is unknown.
    shape = [1 if i == 0 else 2 if each is None else each for i, each in enumerate(tensor.shape)]
    view = [-1 if i == axis else 1 for i in range(len(shape))]
    array = ops.convert_to_tensor(np.broadcast_to(values.reshape(view), shape).copy())
    args, kwargs = tree.map_structure(
        lambda each: array if isinstance(each, Tensor) else each, (call.args, call.kwargs)
    )
    outputs = tree.flatten(call.operation.call(*args, **kwargs))
    return [np.asarray(ops.convert_to_numpy(each)) for each in outputs]
