"""Rules of recurrent layers: a unit is removed with all of its gates and states."""

import inspect

import numpy as np
from keras import layers, tree

from kerasreg._graph.analysis import Reader
from kerasreg._graph.families import gates_of_cell
from kerasreg._graph.rules.base import (
    COMBINES,
    Rule,
    apply_to,
    is_elementwise,
    labels_of,
    numpy,
    pin_other_axes,
    rule_for,
)
from kerasreg._graph.rules.linear import read_kernel
from kerasreg._graph.tracing import Tensor
from kerasreg._graph.units import CANDIDATES, silent


@rule_for(layers.SimpleRNN, layers.LSTM, layers.GRU, layers.RNN)
@rule_for(layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D)
class Recurrent(Rule):
    """A unit is constant if its candidate state is always zero, because its state is then zero."""

    def is_known(self, layer):
        """Returns whether this rule applies to a layer."""
        return gates_of_cell(layer.cell) > 0 and type(layer.cell).__module__.startswith(
            "keras.src."
        )

    def label(self, call, analysis):
        layer = call.operation
        if not self.is_known(layer):
            super().label(call, analysis)
            return
        tensor, states, cell = call.inputs[0], _states(call), layer.cell
        axis = _features(layer, tensor)
        pin_other_axes(tensor, axis, call, analysis)
        gates = gates_of_cell(cell)
        units = analysis.labels.new(cell.kernel.shape[-1] // gates)
        columns = np.tile(units, gates)
        analysis.slice(cell.kernel, {-2: tensor.label(axis), -1: columns})
        analysis.slice(cell.recurrent_kernel, {-2: units, -1: columns})
        analysis.slice(cell.bias, {-1: columns})
        for state in (*states, *call.outputs):
            axis = _features(layer, state)
            if any(state is each for each in states):
                pin_other_axes(state, axis, call, analysis)
                analysis.labels.unify(labels_of(state, axis), units)
            state.labels[axis] = units
        call.memory["units"] = units
        if layer.stateful:
            analysis.labels.pin(units, f"'{layer.name}' is stateful")
        functions = [cell.activation, getattr(cell, "recurrent_activation", cell.activation)]
        if not all(is_elementwise(each) for each in functions):
            analysis.pin(call.outputs[0], f"an activation of '{layer.name}' {COMBINES}")

    def constants(self, call, analysis):
        if "units" in call.memory:
            zero = np.where(self._zero(call), 0.0, np.nan)
            for output in call.outputs:
                output.constants[_features(call.operation, output)] = zero

    def readers(self, call, analysis):
        layer, units = call.operation, call.memory.get("units")
        if units is None:
            return []
        tensor, cell = call.inputs[0], layer.cell
        columns = np.tile(units, gates_of_cell(cell))
        axis = _features(layer, tensor)
        inputs = read_kernel(
            cell.kernel,
            (-2,),
            (-1,),
            (labels_of(tensor, axis),),
            (columns,),
            constants=tensor.constant(axis),
            bias=(layer, "bias", 0) if self._can_fold(layer, tensor) else None,
            share=id(cell),
        )
        constants = np.where(self._zero(call), 0.0, np.nan)
        states = read_kernel(cell.recurrent_kernel, (-2,), (-1,), (units,), (columns,), constants)
        states.kernel = None
        return [inputs, states, *self._given(call)]

    def config(self, call, kept):
        layer, units = call.operation, call.memory.get("units")
        if units is None:
            return {}
        name = "filters" if hasattr(layer, "filters") else "units"
        if type(layer) is layers.RNN:
            cell = layer.get_config()["cell"]
            return {"cell": {**cell, "config": {**cell["config"], name: kept(units)}}}
        return {name: kept(units)}

    def finish(self, layer, new):
        if layer.stateful:
            for state, other in zip(layer.states, new.states, strict=True):
                other.assign(state)

    def _can_fold(self, layer, tensor):
        """Returns whether the bias is added to the input projection at every step and position."""
        is_dense = len(layer.cell.kernel.shape) == 2 and type(layer) is not layers.RNN
        return is_dense and not getattr(layer.cell, "reset_after", False) and tensor.padding is None

    def _given(self, call):
        """Yields readers that keep the units whose given initial state is not zero."""
        for state in _states(call):
            units = call.memory["units"]
            axis = _features(call.operation, state)
            yield Reader(
                labels=units[None],
                writes=units[None],
                connected=np.eye(len(units), dtype=bool),
                constants=state.constant(axis),
            )

    def _zero(self, call):
        """Returns a bool array: True for units that are always zero."""
        cell, tensor = call.operation.cell, call.inputs[0]
        gates = gates_of_cell(cell)
        candidate = CANDIDATES[gates]
        size = cell.kernel.shape[-1] // gates
        part = slice(candidate * size, (candidate + 1) * size)
        varies = tensor.constant(_features(call.operation, tensor)) != 0
        can_be = np.ones(size, bool)
        if cell.bias is not None:
            can_be &= (numpy(cell.bias)[..., part].reshape(-1, size) == 0).all(axis=0)
        for state in _states(call):
            can_be &= state.constant(_features(call.operation, state)) == 0
        if call.operation.stateful or np.any(apply_to(cell.activation, np.zeros(2)) != 0):
            can_be[:] = False
        kernel = numpy(cell.kernel)[..., varies, part]
        return silent(kernel, numpy(cell.recurrent_kernel)[..., part], can_be)


@rule_for(layers.Bidirectional)
class _Bidirectional(Rule):
    """Two recurrent layers of one size: units with the same index are removed together."""

    def label(self, call, analysis):
        layer = call.operation
        both = (layer.forward_layer, layer.backward_layer)
        is_known = all(_RECURRENT.is_known(each) and not each.stateful for each in both)
        if not is_known or _states(call):
            super().label(call, analysis)
            return
        calls = [self._call(call, each) for each in both]
        for each in calls:
            _RECURRENT.label(each, analysis)
        analysis.labels.unify(*[each.memory["units"] for each in calls])
        call.memory["calls"] = calls
        output, *states = call.outputs
        labels = [each.outputs[0].label(-1) for each in calls]
        if layer.merge_mode == "concat":
            output.labels[output.rank - 1] = np.concatenate(labels)
            rest = states
        elif layer.merge_mode is None:
            rest = call.outputs
        else:
            output.labels[output.rank - 1] = labels[0]
            rest = states
        for state in rest:
            state.labels[state.rank - 1] = labels[0]

    def constants(self, call, analysis):
        calls = call.memory.get("calls")
        if calls is None:
            return
        for each in calls:
            _RECURRENT.constants(each, analysis)
        constants = [each.outputs[0].constant(-1) for each in calls]
        both = np.where(constants[0] == constants[1], constants[0], np.nan)
        joined = call.operation.merge_mode == "concat"
        for output in call.outputs:
            is_joined = joined and output is call.outputs[0]
            output.constants[output.rank - 1] = np.concatenate(constants) if is_joined else both

    def readers(self, call, analysis):
        readers = []
        for each in call.memory.get("calls", ()):
            readers += _RECURRENT.readers(each, analysis)
        for reader in readers:
            # Biases of inner layers cannot absorb constants: a kept unit carries them instead.
            reader.bias = None
        return readers

    def config(self, call, kept):
        config = call.operation.get_config()
        changed = {}
        for name, each in zip(
            ("layer", "backward_layer"), call.memory.get("calls", ()), strict=False
        ):
            inner = config[name]
            inner_config = {**inner["config"], **_RECURRENT.config(each, kept)}
            changed[name] = {**inner, "config": inner_config}
        return changed

    def _call(self, call, layer):
        states = len(tree.flatten(layer.cell.state_size)) if layer.return_state else 0
        first = call.outputs[0]
        size = tree.flatten(layer.cell.state_size)[0]
        shapes = [(*first.shape[:-1], size), *[(None, size)] * states]
        outputs = [Tensor(shape) for shape in shapes]
        return type(call)(layer, call.args, call.kwargs, outputs)


_RECURRENT = Recurrent()


def _states(call):
    """Returns the initial states that are passed."""
    found = inspect.signature(call.operation.call).bind(*call.args, **call.kwargs).arguments
    return [e for e in tree.flatten(found.get("initial_state")) if isinstance(e, Tensor)]


def _features(layer, tensor):
    """Returns the axis of the features: before the spatial axes if they are channels first."""
    if getattr(layer, "data_format", None) == "channels_first":
        return tensor.rank - layer.rank - 1
    return tensor.rank - 1
