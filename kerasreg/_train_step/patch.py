"""The patched step of a plain optimizer: its own update, and then the updates of a hook."""

from keras import ops

from kerasreg._train_step.replicas import on_every_replica

_STEP, _AVERAGE = "_backend_update_step", "_update_model_variables_moving_average"


def patch_part(hook, part):
    """Makes a plain optimizer run the updates of the hook after each of its own updates."""
    update_step, update_average = getattr(part, _STEP), getattr(part, _AVERAGE)

    def update_step_and_hook(grads, variables, learning_rate):
        prepared = _prepared(hook, part, grads, variables)
        update_step(_gradients(hook, grads, variables), variables, learning_rate)
        for update, found in prepared:
            variables_of_it, before = zip(*found, strict=True)
            assign = _assignment(hook, update, part, learning_rate)
            on_every_replica(part, variables_of_it, assign, before)

    def update_average_and_zeros(variables):
        update_average(variables)
        _copy_zeros_to_average(hook, part)

    part.__dict__[_STEP] = update_step_and_hook
    part.__dict__[_AVERAGE] = update_average_and_zeros


def unpatch_part(part):
    """Restores the step of a plain optimizer."""
    for name in (_STEP, _AVERAGE):
        part.__dict__.pop(name, None)


def _prepared(hook, part, grads, variables):
    """Returns `[(update, [(variable, result of its `before`)])]`."""
    gradients = {
        part._get_variable_index(variable): gradient
        for gradient, variable in zip(grads, variables, strict=True)
    }
    prepared = []
    for update in hook.updates:
        if not update.active():
            continue
        found = []
        for variable in update.variables:
            owner, index = hook.part_of(variable)
            if owner is part and index in gradients:
                found.append((variable, update.before(hook, variable, gradients[index])))
        update.calls += bool(found)
        _count(part, update, [variable for variable, _ in found])
        together = [found] if update.is_joint and found else [[each] for each in found]
        prepared += [(update, each) for each in together]
    return prepared


def _count(part, update, found):
    vector = update.counter.vector(part)
    if vector is None:
        return
    more = update.counter.increment(part, update.changed(found))

    def add(vectors, _):
        part.assign(vectors[0], vectors[0] + ops.cast(more, vector.dtype))

    on_every_replica(part, [vector], add, ())


def _gradients(hook, grads, variables):
    gradients = {id(v): gradient for gradient, v in zip(grads, variables, strict=True)}
    for update in hook.updates:
        for variable in update.variables if update.active() else ():
            if id(variable) in gradients:
                gradient = gradients[id(variable)]
                gradients[id(variable)] = update.gradient(hook, variable, gradient)
    return list(gradients.values())


def _assignment(hook, update, part, learning_rate):
    def assign(variables, before):
        if update.is_joint:
            values = update(hook, variables, learning_rate, before)
        else:
            values = [update(hook, variables[0], learning_rate, before[0])]
        for variable, value in zip(variables, values, strict=True):
            if value is not None:
                part.assign(variable, value)

    return assign


def _copy_zeros_to_average(hook, part):
    """Sets the moving averages to zero where the weights are zero."""
    if not part.use_ema:
        return
    updates = [update for update in hook.updates if update.active()]
    for variable in {id(v): v for update in updates for v in update.variables}.values():
        owner, index = hook.part_of(variable)
        if owner is part:
            average = part._model_variables_moving_average[index]
            value = ops.convert_to_tensor(average)
            dead = ops.equal(ops.convert_to_tensor(variable), 0)
            average.assign(ops.where(dead, ops.zeros_like(value), value))
