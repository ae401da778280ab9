"""Sets one group of weights to zero, and computes the outputs of the model."""

import numpy as np
from keras import ops


def randomize(model):
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.uniform(0.3, 1, variable.shape) * rng.choice([-1, 1], variable.shape))


def labels_of(groups, shape):
    """Returns the number of the group of each weight, in the order of the kept axes' indices."""
    view, axes = groups.layout(shape)
    kept = [axis for axis in range(len(view)) if axis not in axes]
    sizes = [view[axis] for axis in kept]
    index = np.arange(np.prod(sizes)).reshape([v if a in kept else 1 for a, v in enumerate(view)])
    return np.broadcast_to(index, view).reshape(shape)


def zero(variable, labels, group):
    value = np.asarray(ops.convert_to_numpy(variable)).copy()
    value[labels == group] = 0
    variable.assign(value)


def outputs(model, x):
    return np.asarray(ops.convert_to_numpy(model(x)))


def data(shape, seed):
    return np.random.default_rng(seed).normal(size=(4, *shape)).astype("float32")
