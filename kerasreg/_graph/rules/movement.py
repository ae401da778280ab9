"""Rules of operations that rearrange values: reshape, transpose, split, slices."""

import numpy as np
from keras import layers

from kerasreg._graph.rules.base import Rule, rule_for, rule_for_ops
from kerasreg._graph.rules.elementwise import without_padding
from kerasreg._graph.rules.moves import MixedError, follows, moves_of

#: The attributes that contain the new shape.
_SHAPES = {"Reshape": "newshape", "BroadcastTo": "shape"}


@rule_for(layers.Flatten, layers.Permute, layers.RepeatVector)
@rule_for_ops("Transpose", "ExpandDims", "Squeeze", "Moveaxis", "Swapaxes", "Flip", "Repeat")
@rule_for_ops("Tile", "Mean", "Max", "Min", "Amax", "Amin", "Ravel", "Roll", "Take", "Unstack")
class _Moved(Rule):
    """Rearranges values; applying the operation to indices finds the new positions."""

    def label(self, call, analysis):
        tensor = call.inputs[0]
        for other in call.inputs[1:]:
            if other is not tensor:
                analysis.pin(other, f"'{call.operation.name}' uses the values as indices")
        for axis, labels in tensor.labels.items():
            try:
                call.memory[axis] = self._label(axis, labels, call, analysis)
            except MixedError as error:
                analysis.labels.pin(labels, f"'{call.operation.name}' {error}")

    def constants(self, call, analysis):
        tensor = call.inputs[0]
        for axis, constants in tensor.constants.items():
            constants = without_padding(tensor, constants)
            for output, move in zip(call.outputs, call.memory.get(axis, ()), strict=False):
                target, places = move
                moved = constants[places]
                is_same = (moved == moved[:1]).all(axis=0)
                output.constants[target] = np.where(is_same, moved[0], np.nan)

    def follows(self, call, axis, moves):
        """Returns whether the operation, applied to fewer units, gives the shrunken outputs."""
        return follows(call, axis, call.inputs[0].shape[axis], moves)

    def _label(self, axis, labels, call, analysis):
        moves = moves_of(call, axis, len(labels))
        if None in moves:
            raise MixedError("removes the axis")
        for output, (target, places) in zip(call.outputs, moves, strict=True):
            is_free = target not in output.labels and output.shape[target] == places.shape[1]
            if not is_free or not self.follows(call, axis, moves):
                analysis.is_coarse = True
                raise MixedError("rearranges units so that they cannot be removed one by one")
        for output, (target, places) in zip(call.outputs, moves, strict=True):
            # Repetitions along the axis, such as the parts of a split axis, share their labels.
            analysis.labels.unify(labels[places], labels[places[:1]])
            output.labels[target] = labels[places[0]]
        return moves


@rule_for(layers.Reshape)
@rule_for_ops("Reshape", "BroadcastTo")
class _Reshape(_Moved):
    """The new shape is in the config or in an attribute."""

    def label(self, call, analysis):
        if analysis.is_shared(call.operation):
            analysis.pin(call.inputs[0], f"'{call.operation.name}' is called several times")
        else:
            super().label(call, analysis)

    def follows(self, call, axis, moves):
        return True

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
    """Splits a tensor into several outputs."""

    def follows(self, call, axis, moves):
        return True

    def config(self, call, kept):
        axis = call.operation.axis % call.inputs[0].rank
        labels = [output.labels.get(axis) for output in call.outputs]
        if labels[0] is None:
            return {}
        return {"indices_or_sections": np.cumsum([kept(each) for each in labels])[:-1].tolist()}


@rule_for_ops("GetItem")
class _GetItem(_Moved):
    """Slicing, with the bounds as arguments."""

    def follows(self, call, axis, moves):
        key = _key(call.args, call.kwargs)
        part = _parts(key, call.inputs[0].rank).get(axis, slice(None))
        return isinstance(part, slice) and (part.step in (None, 1) or _is_reversed(part))

    def arguments(self, call, args, kwargs, kept):
        tensor = call.inputs[0]
        labelled = {axis: tensor.labels[axis] for axis in call.memory}
        key = []
        for axis, part in _expanded(_key(args, kwargs), tensor.rank):
            if axis in labelled and isinstance(part, slice) and not _is_reversed(part):
                start, stop, _ = part.indices(len(labelled[axis]))
                part = slice(kept(labelled[axis][:start]), kept(labelled[axis][:stop]))
            key.append(part)
        return (args[0], tuple(key)), {}


def _key(args, kwargs):
    return args[1] if len(args) > 1 else kwargs["key"]


def _is_reversed(part):
    return (part.start, part.stop, part.step) == (None, None, -1)


def _expanded(key, rank):
    """Returns `[(axis of the input or None, part)]` for a key, with its ellipsis expanded."""
    key = key if isinstance(key, tuple) else (key,)
    axis, expanded = 0, []
    for part in key:
        if part is Ellipsis:
            missing = rank - sum(each is not None and each is not Ellipsis for each in key)
            expanded += [(axis + i, slice(None)) for i in range(missing)]
            axis += missing
        else:
            if part is True or part is False or str(getattr(part, "dtype", "")) == "bool":
                raise MixedError("selects with a boolean mask")
            expanded.append((None if part is None else axis, part))
            axis += part is not None
    return expanded


def _parts(key, rank):
    return {axis: part for axis, part in _expanded(key, rank) if axis is not None}
