"""`kerasreg.coupled_groups`: coupled units, found by the labels of the graph of a model."""

import keras
import numpy as np
from keras import layers

from kerasreg._graph.analyse import analyse
from kerasreg._graph.coupled.groups import CoupledGroup, CoupledGroups
from kerasreg._graph.coupled.members import CONSUMER, PASSIVE, PRODUCER, Member
from kerasreg._graph.requirements import require_graph
from kerasreg._graph.roles import model_roles
from kerasreg._graph.variables import all_layers, owners, unique_path


def coupled_groups(model: keras.Model) -> CoupledGroups:
    """Returns the groups of coupled units of a model: the weights that are removed with each unit.

    A unit (neuron, filter, channel, head) is computed by the column of a kernel, a bias, and the
    gain and offset of a normalization. It is read by the rows of the kernels of the next layers.
    Adding or multiplying tensors couples units of several layers: in a residual network, those of
    all branches. A group is one width of the model; all of its units have the same structure.
    Units that cannot be removed (inputs, outputs, units of layers without a rule) are in no group.

    Args:
        model: a built Functional or Sequential model.

    Returns:
        A `kerasreg.results.CoupledGroups`, a list of `kerasreg.results.CoupledGroup`. Its `print`
        method shows it as a table.

    Raises:
        ValueError: for a model that is subclassed, not built or quantized, or has LoRA adapters.

    Source: Fang et al. (2023), "DepGraph: Towards Any Structural Pruning".

    Example:

    >>> x = keras.Input((4,))
    >>> y = keras.layers.Dense(8, name="a")(x)
    >>> y = keras.layers.Add()([y, keras.layers.Dense(8, name="b")(x)])
    >>> model = keras.Model(x, keras.layers.Dense(2, name="c")(y))
    >>> (group,) = kerasreg.coupled_groups(model)
    >>> group.units, group.parameters, [member.path for member in group.consumers]
    (8, 12, ['c/kernel'])
    >>> group.zero([0, 1, 2])
    >>> small, report = kerasreg.shrink(model)
    >>> small.get_layer("b").units
    5
    """
    return find_groups(model, "kerasreg.coupled_groups")


def find_groups(model, caller):
    """Returns the `CoupledGroups` of a model; errors name the function `caller`."""
    require_graph(model, caller)
    analysis = analyse(model)
    parts = [
        _Part(found.variable, axis, labels, analysis.roots)
        for found in analysis.slices.values()
        for axis, labels in found.axes.items()
    ]
    role_of = _Roles(model, analysis)
    groups, taken = [], set()
    for structure, roots in _structures(parts).items():
        members = tuple(
            Member(
                parts[number].variable.path,
                parts[number].variable,
                parts[number].axis,
                parts[number].places(roots),
                role_of(parts[number]),
            )
            for number, _ in structure
        )
        producers = [each for each in members if each.role == PRODUCER]
        path = (producers or members)[0].path
        name = unique_path(path.rpartition("/")[0] or path, taken)
        taken.add(name)
        groups.append(CoupledGroup(name, members))
    return CoupledGroups(groups, model.name, _pinned(analysis, groups))


class _Part:
    """One axis of a variable, with its root labels."""

    def __init__(self, variable, axis, labels, roots):
        self.variable, self.axis, self.labels = variable, axis, np.atleast_2d(labels)
        found = roots[self.labels].reshape(-1)
        self._order = np.argsort(found, kind="stable")
        self.roots, self._starts, self.counts = np.unique(
            found[self._order], return_index=True, return_counts=True
        )

    def places(self, roots):
        """Returns the indices along the axis of each of these roots, an array `(roots, k)`."""
        at = np.searchsorted(self.roots, roots)
        places = self._starts[at][:, None] + np.arange(self.counts[at[0]])
        return np.sort(self._order[places] % self.labels.shape[1], axis=1)


def _structures(parts):
    """Returns `{((part number, indices per unit), ...): roots}`, in the order of the graph."""
    of_root = {}
    for number, part in enumerate(parts):
        for root, count in zip(part.roots.tolist(), part.counts.tolist(), strict=True):
            if root != 0:
                of_root.setdefault(root, []).append((number, count))
    structures = {}
    for root in sorted(of_root):
        structures.setdefault(tuple(of_root[root]), []).append(root)
    return structures


class _Roles:
    """The roles of axes of variables: whether they compute units or read them."""

    def __init__(self, model, analysis):
        self._roles, self._owners = model_roles(model), owners(model)
        # Variables that stay untrainable even if their layer is trainable.
        self._statistics = {
            id(variable)
            for layer in all_layers(model)
            for variable in layer._non_trainable_variables
        }
        self._written = {}
        for call in analysis.graph.calls:
            found = [labels for each in call.outputs for labels in each.labels.values()]
            for variable in getattr(call.operation, "weights", []):
                self._written.setdefault(id(variable), []).extend(found)

    def __call__(self, part):
        key = id(part.variable)
        owner = self._owners.get(key)
        if isinstance(owner, layers.PReLU) or key in self._statistics:
            return PASSIVE
        roles, rank = self._roles.get(key, {}), len(part.variable.shape)
        reads, writes = (part.axis in _axes(roles.get(name), rank) for name in ("input", "output"))
        if reads == writes:
            # A depthwise kernel reads and computes the same units.
            own = part.labels[part.labels > 0]
            writes = any(np.isin(own, labels).any() for labels in self._written.get(key, []))
        return PRODUCER if writes else CONSUMER


def _axes(groups, rank):
    if groups is None:
        return ()
    axes = groups.axis if isinstance(groups.axis, tuple) else (groups.axis,)
    return [axis % rank for axis in axes]


def _pinned(analysis, groups):
    """Returns `{path: reason}` for the variables that have units but are in no group."""
    grouped = {id(each.variable) for group in groups for each in group.members}
    pinned = {}
    for key, found in analysis.slices.items():
        if key not in grouped:
            axes = [np.ravel(each) for each in found.axes.values()]
            labels = np.concatenate([np.zeros(0, int), *axes])
            reasons = [analysis.labels.reasons.get(label) for label in labels[labels > 0].tolist()]
            reasons = [reason for reason in reasons if reason]
            known = reasons[0] if reasons else "it is coupled with units that cannot be removed"
            pinned[found.variable.path] = known
    return pinned
