"""Layers that move numbers and do not change them, or pool them in space."""

import numpy as np
from keras import layers

from kerasreg.shrinking.rules.base import Rule, rule_for

_SPATIAL = (
    *(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D),
    *(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D),
    *(layers.Cropping1D, layers.Cropping2D, layers.Cropping3D),
    *(layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D),
    *(layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D),
)
_GLOBAL = (
    *(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D),
    *(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D),
)
_PADDING = (layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)


@rule_for(*_SPATIAL, *_GLOBAL)
class _Spatial(Rule):
    """Works along space, on each channel alone."""

    def label(self, call, analysis):
        layer, tensor, (output,) = call.operation, call.inputs[0], call.outputs
        is_first = getattr(layer, "data_format", None) == "channels_first"
        axis = 1 if is_first else tensor.rank - 1
        for other, labels in tensor.labels.items():
            if other == axis:
                output.labels[1 if is_first else output.rank - 1] = labels
            else:
                analysis.labels.pin(labels, f"'{layer.name}' works along it")

    def constants(self, call, analysis):
        constants = call.inputs[0].constants
        if constants is not None and len(call.outputs[0].labels) == 1:
            if isinstance(call.operation, _PADDING):
                # What is not zero has another value at the border.
                constants = np.where(constants == 0, 0.0, np.nan)
            call.outputs[0].constants = constants


@rule_for(layers.Concatenate)
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
        if list(output.labels) == [axis]:
            parts = [
                np.full(t.shape[axis], np.nan) if t.constants is None else t.constants
                for t in call.inputs
            ]
            output.constants = np.concatenate(parts)


class _Moved(Rule):
    """The order of numbers changes: what moves is found by moving labels."""

    def label(self, call, analysis):
        tensor, (output,) = call.inputs[0], call.outputs
        if None in (*tensor.shape[1:], *output.shape[1:]):
            analysis.pin(tensor, f"'{call.operation.name}' has no fixed shape")
            return
        for axis, labels in tensor.labels.items():
            target = self._axis(call, tensor, output, axis, labels)
            if target is None or target in output.labels:
                analysis.labels.pin(labels, f"'{call.operation.name}' cuts it up")
            else:
                output.labels[target] = self._move(call, tensor, output, axis, labels)[target]

    def constants(self, call, analysis):
        tensor, (output,) = call.inputs[0], call.outputs
        if tensor.constants is not None and len(tensor.labels) == len(output.labels) == 1:
            (axis,), (target,) = tensor.labels, output.labels
            moved = self._move(call, tensor, output, axis, np.arange(len(tensor.constants)))
            output.constants = tensor.constants[moved[target]]

    def _axis(self, call, tensor, output, axis, labels):
        """The only axis of the output along which labels change, or None."""
        places = self._move(call, tensor, output, axis, np.arange(len(labels)))
        return next(iter(places)) if len(places) == 1 else None

    def _move(self, call, tensor, output, axis, values):
        """`{axis: values along it}` for the axes along which they change."""
        shape = [1 if i == 0 else size for i, size in enumerate(tensor.shape)]
        view = [size if i == axis else 1 for i, size in enumerate(shape)]
        full = np.broadcast_to(values.reshape(view), shape)
        moved = self.move(call.operation, full, (1, *output.shape[1:]))
        changing = {}
        for place in range(moved.ndim):
            along = np.moveaxis(moved, place, -1).reshape(-1, moved.shape[place])
            if (along == along[:1]).all() and moved.shape[place] > 1:
                if (along[0] != along[0, 0]).any():
                    changing[place] = along[0]
            elif moved.shape[place] > 1 and (along != along[:, :1]).any():
                changing[place], changing[-1 - place] = along[0], along[0]
        return changing

    def move(self, operation, array, shape):
        """What the operation does to an array."""
        return array.reshape(shape)


@rule_for(layers.Flatten)
class _Flatten(_Moved):
    def move(self, operation, array, shape):
        if operation.data_format == "channels_first":
            array = np.moveaxis(array, 1, -1)
        return array.reshape(shape)


@rule_for(layers.Reshape)
class _Reshape(_Moved):
    def config(self, call, kept):
        (output,) = call.outputs
        target = list(call.operation.target_shape)
        for axis, labels in output.labels.items():
            if target[axis - 1] != -1:
                target[axis - 1] = kept(labels)
        return {"target_shape": target}


@rule_for(layers.Permute)
class _Permute(_Moved):
    def move(self, operation, array, shape):
        return array.transpose(0, *operation.dims)
