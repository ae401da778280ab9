"""Paths of nonzero weights from the inputs of a model to its outputs."""

import numpy as np

from kerasreg._graph.coupled.find import find_groups
from kerasreg._graph.coupled.members import CONSUMER, PRODUCER
from kerasreg._graph.families import ATTENTION
from kerasreg._graph.gates import gates_of, is_gate
from kerasreg._graph.kernel_edges import KernelEdge, is_kernel, keep_best, mask_of
from kerasreg._graph.outputs import Outputs
from kerasreg._graph.units import CANDIDATES
from kerasreg._graph.variables import all_layers, host_view, owners


class Paths:
    """The units of a model, and the kernels between them.

    The width of a path is the smallest score of its weights. Units that cannot be removed (the
    inputs, and all units that are coupled with them) count as reached.

    Args:
        model: a Functional or Sequential model.

    Raises:
        Exception: any exception, if the graph of the model cannot be analysed.
    """

    def __init__(self, model):
        self._count, self._kernels = 0, {}
        owner = owners(model)
        for group in find_groups(model, "kerasreg.pruning"):
            for member in group.members:
                self._add(member, owner.get(id(member.variable)))
            self._count += group.units
        for layer in all_layers(model):
            if isinstance(layer, ATTENTION):
                self._join_heads(layer)
        for variable in model.weights:
            if is_kernel(variable) and id(variable) not in self._kernels:
                # Its units cannot be removed: its inputs are reached and its outputs are needed.
                kernel = KernelEdge(variable)
                kernel.is_gate = is_gate(owner.get(id(variable)), variable)
                self._kernels[id(variable)] = kernel
        for key, gates in gates_of(model, self._kernels).items():
            self._kernels[key].gates = [self._kernels[each] for each in gates]
        #: A list of kernels for each output of the model; at least one of them must be reached.
        self._ends = [
            [self._kernels[id(v)] for v in each if id(v) in self._kernels]
            for each in Outputs(model).variables
        ]
        self._ends = [[k for k in each if not k.is_gate] for each in self._ends]

    def repair(self, alive, scores):
        """Returns the weights to keep so that all outputs are reached.

        Args:
            alive: `{id(variable): bool array}`, the masks of the pruned variables.
            scores: `{id(variable): array}`, the scores of their weights; minus infinity for weights
                that are zero already.

        Returns:
            `{id(variable): bool array}`; empty if all outputs are reached.
        """
        small = {key: self._small(kernel, alive) for key, kernel in self._kernels.items()}
        reached, kept = self._best(small, None), {}
        for ends in self._ends:
            if not ends or any(self._flow(each, reached, small).max() > 0 for each in ends):
                continue
            best, origin = self._search(scores)
            flows = [self._flow(kernel, best, scores) for kernel in ends]
            top = int(np.argmax([flow.max() for flow in flows]))
            if flows[top].max() > -np.inf:
                place = np.unravel_index(int(np.argmax(flows[top])), flows[top].shape)
                self._trace(ends[top], place, origin, scores, kept)
        return {key: mask.reshape(self._kernels[key].variable.shape) for key, mask in kept.items()}

    def _join_heads(self, attention):
        """Connects values and outputs by pairs of head and size.

        Queries and keys only weight the values, so they lead to no unit.
        """
        for name in ("_query_dense", "_key_dense", "_gate_dense"):
            dense = getattr(attention, name, None)
            if dense is not None and id(dense._kernel) in self._kernels:
                self._kernels[id(dense._kernel)].writes = {}
        pairs = {}
        values = self._kernels.get(id(attention._value_dense._kernel))
        output = self._kernels.get(id(attention._output_dense._kernel))
        if values is not None and output is not None and len(values.view) == len(output.view) == 3:
            values.writes = {1: self._joined(values, values.writes, 1, pairs)}
            output.reads = {0: self._joined(output, output.reads, 0, pairs)}
            output.writes = {axis - 1: units for axis, units in output.writes.items()}
            self._count += len(pairs)

    def _joined(self, kernel, axes, axis, pairs):
        """Merges two axes of the view of a kernel; returns the units of the merged axis."""
        first, second = (
            axes.get(axis + each, np.full(kernel.view[axis + each], -1)) for each in (0, 1)
        )
        joined = [
            -1 if -1 in (a, b) else pairs.setdefault((a, b), self._count + len(pairs))
            for a in first.tolist()
            for b in second.tolist()
        ]
        kernel.view = (*kernel.view[:axis], len(joined), *kernel.view[axis + 2 :])
        return np.array(joined)

    def _add(self, member, layer):
        shape = tuple(member.variable.shape)
        if not is_kernel(member.variable) or member.role not in (PRODUCER, CONSUMER):
            return
        kernel = self._kernels.setdefault(id(member.variable), KernelEdge(member.variable))
        kernel.is_gate = is_gate(layer, member.variable)
        axes = kernel.writes if member.role == PRODUCER else kernel.reads
        units = axes.setdefault(member.axis, np.full(shape[member.axis], -1))
        is_recurrent = hasattr(layer, "recurrent_kernel") and axes is kernel.writes
        for number, places in enumerate(member.indices):
            if is_recurrent:
                # The other gates only weight the candidate.
                places = np.sort(places)[CANDIDATES[len(places)]]
            units[places] = self._count + number

    def _small(self, kernel, alive):
        """Returns infinity for indices of the unit axes with a nonzero weight, else -infinity."""
        mask = alive.get(id(kernel.variable))
        mask = host_view(kernel.variable) != 0 if mask is None else mask
        mask = mask.reshape(kernel.view)
        last = {mask.ndim - 2, mask.ndim - 1} if kernel.is_gate else {mask.ndim - 2}
        known = {*kernel.reads, *kernel.writes, *(last if kernel.is_gate or kernel.gates else ())}
        others = {*range(mask.ndim)} - known
        return np.where(mask.any(axis=tuple(others), keepdims=True), np.inf, -np.inf)

    def _values(self, kernel, arrays):
        """Returns the widths of the weights: their scores, or +-infinity if not pruned."""
        known = arrays.get(id(kernel.variable))
        if known is None:
            known = np.where(host_view(kernel.variable) != 0, np.inf, -np.inf)
        is_whole = known.shape == tuple(kernel.variable.shape)
        return known.reshape(kernel.view) if is_whole else known

    def _flow(self, kernel, best, arrays):
        """Returns, for each weight, the width of the widest path that ends with it."""
        flow = self._values(kernel, arrays)
        through = best
        for gate in kernel.gates:
            through = np.minimum(through, self._open(gate, arrays))
        for axis, units in kernel.reads.items():
            # Units that cannot be removed (-1) count as reached.
            width = np.where(units < 0, np.inf, through[units])
            view = [-1 if each == axis else 1 for each in range(flow.ndim)]
            flow = np.minimum(flow, width.reshape(view))
        for gate in kernel.gates:
            width = kernel.fixed_rows(gate, self._values(gate, arrays))
            flow = flow if width is None else np.minimum(flow, width[:, None])
        return flow

    def _open(self, gate, arrays):
        """Returns the width of a depthwise kernel for every unit."""
        width, values = np.full(self._count, np.inf), self._values(gate, arrays)
        for axis, units in {**gate.reads, **gate.writes}.items():
            rows = np.moveaxis(values, axis, 0).reshape(len(units), -1).max(axis=1)
            known = units >= 0
            np.minimum.at(width, units[known], rows[known])
        return width

    def _best(self, arrays, origin):
        """Returns the width of the widest path to every unit.

        `origin`, if it is a dict, is filled with `{unit: (kernel, place of the last weight)}`.
        """
        best = np.full(self._count, -np.inf)
        changed = True
        while changed:
            changed = False
            for kernel in self._kernels.values():
                changed |= not kernel.is_gate and self._pass(kernel, best, arrays, origin)
        return best

    def _pass(self, kernel, best, arrays, origin):
        changed = False
        flow = self._flow(kernel, best, arrays) if kernel.writes else None
        for axis, units in kernel.writes.items():
            moved = np.moveaxis(flow, axis, 0)
            rows = moved.reshape(len(units), -1)
            width = rows.max(axis=1)
            wider = np.flatnonzero((units >= 0) & (width > best[units]))
            changed |= len(wider) > 0
            if origin is None:
                np.maximum.at(best, units[wider], width[wider])
                continue
            for index in wider:
                # Several indices may belong to one unit.
                if width[index] > best[units[index]]:
                    best[units[index]] = width[index]
                    place = list(np.unravel_index(int(np.argmax(rows[index])), moved.shape[1:]))
                    place.insert(axis, index)
                    origin[units[index]] = (kernel, tuple(place))
        return changed

    def _search(self, scores):
        origin = {}
        return self._best(scores, origin), origin

    def _trace(self, kernel, place, origin, scores, kept):
        """Marks a weight, and the path that leads to it, as weights to keep."""
        mask = mask_of(kernel, kept)
        if mask[place]:
            return
        mask[place] = True
        for axis, units in kernel.reads.items():
            unit = int(units[place[axis]])
            if unit in origin:
                self._trace(*origin[unit], origin, scores, kept)
                self._keep_gates(kernel, unit, scores, kept)
        for gate in kernel.gates:
            values = self._values(gate, scores)
            width, index = kernel.fixed_rows(gate, values), int(place[len(kernel.view) - 2])
            if width is not None and width[index] < np.inf:
                channel, number = divmod(index, gate.view[-1])
                at = ..., slice(channel, channel + 1), slice(number, number + 1)
                keep_best(gate, at, values, kept)

    def _keep_gates(self, kernel, unit, scores, kept):
        for gate in kernel.gates:
            for axis, units in {**gate.reads, **gate.writes}.items():
                for index in np.flatnonzero(units == unit):
                    at = (*(slice(None),) * axis, slice(index, index + 1))
                    keep_best(gate, at, self._values(gate, scores), kept)
