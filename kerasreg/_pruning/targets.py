"""The variables of a model to prune, and the reasons why others are skipped."""

import re

from kerasreg._graph.notes import notes_on
from kerasreg._graph.outputs import Outputs
from kerasreg._graph.prunable import impossible, why_not_prunable
from kerasreg._graph.roles import model_roles
from kerasreg._graph.variables import require_built, require_matches, unique_path
from kerasreg._pruning.units import Target


def find_targets(model, pattern, include, exclude, caller):
    """Returns `(targets, {path: reason why it is not pruned})`.

    Raises:
        ValueError: for an unbuilt model, an expression that matches nothing, or if there is nothing
            to prune.
    """
    require_built(model, caller)
    unwanted, roles = why_not_prunable(model), model_roles(model)
    trainable = {id(variable) for variable in model.trainable_variables}
    variables = model.weights
    paths = [variable.path for variable in variables]
    require_matches(include, "include", paths)
    require_matches(exclude, "exclude", paths)
    targets, skipped, taken, outputs = [], {}, set(), None
    for variable in variables:
        path = unique_path(variable.path, taken)
        taken.add(path)
        reason = _obstacle(
            variable, unwanted[id(variable)], id(variable) in trainable, include, exclude
        )
        if reason is None:
            own = roles.get(id(variable), {})
            try:
                units = pattern.bind(variable, own)
            except ValueError as error:
                reason = f"the pattern does not fit: {error}"
            else:
                if include is None and _are_outputs(units, own):
                    outputs = outputs or Outputs(model)
                    reason = _output_of(outputs, variable, units)
                if reason is None:
                    targets.append(Target(variable, units, path))
        if reason is not None:
            skipped[path] = reason
    require_targets(targets, skipped, model, caller)
    return targets, skipped


def require_targets(targets, skipped, model, caller):
    """Raises a `ValueError` with all reasons if there is nothing to prune."""
    if not targets:
        listed = "\n".join(f"  {path}: {reason}" for path, reason in skipped.items())
        notes = "".join(f"\n({note})" for note in notes_on(model))
        raise ValueError(f"`{caller}` finds nothing to prune in '{model.name}':\n{listed}{notes}")


def _are_outputs(units, roles):
    """Returns whether the units are output units of a layer."""
    if units.groups is None or "output" not in roles:
        return False
    return units.groups.layout(units.shape) == roles["output"].layout(units.shape)


def _output_of(outputs, variable, units):
    """Returns the reason not to prune units that are outputs of the model, or None."""
    if variable in outputs:
        return "its units are outputs of the model: name it in `include` to prune it"
    if outputs.unknown is not None:
        units.remark = units.remark or (
            f"because of '{outputs.unknown}' it is unknown which units are outputs of the model: "
            "`exclude` those by name"
        )
    return None


def _obstacle(variable, unwanted, is_trainable, include, exclude):
    """Returns the reason not to prune a variable, or None; `unwanted` is the default reason."""
    if exclude is not None and re.search(exclude, variable.path):
        return "`exclude` matches it"
    if include is None:
        return unwanted
    if not re.search(include, variable.path):
        return "`include` does not match it"
    return impossible(variable, is_trainable)
