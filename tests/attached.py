"""The models of `architectures.py` with the rules that the tests attach to them."""

import keras
from architectures import MODELS, inputs_of, regularizers
from keras import ops

from kerasreg.regularizers import L1, GroupLasso, SparseGroupLasso

PENALTIES = {
    "l1": L1(0.1),
    "keras": keras.regularizers.L2(0.5),
    "group": GroupLasso(0.1, axis="output"),
    "columns": GroupLasso(0.1, axis=-1),
    "units": SparseGroupLasso(0.1, axis="output"),
    "heads": GroupLasso(0.1, axis="head"),
    "channel": GroupLasso(0.1, axis="input"),
}


def build(name, compiled=False):
    """Returns `(model, rules)`. A compiled model has been trained for one step."""
    function, rules = MODELS[name]
    model = function()
    if compiled:
        model.compile("adam", "mse", run_eagerly=True)
        x = inputs_of(model)
        model.train_on_batch(x, 0 * model(x))
    return model, {pattern: PENALTIES[penalty] for pattern, penalty in rules.items()}


def penalty(model):
    """Returns the sum of the model's losses."""
    return float(sum(float(ops.convert_to_numpy(loss)) for loss in model.losses))


def texts(model):
    """Returns `{"position/name": regularizer as text}`."""
    return {name: repr(regularizer) for name, regularizer in regularizers(model).items()}
