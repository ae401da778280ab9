"""Finds regularizers in attributes of layers that have no effect in training."""

import keras

from kerasreg._attach.record import regularizer_attribute
from kerasreg._common.texts import listed
from kerasreg._graph.variables import all_layers
from kerasreg._train_step import plain


def on_unused_regularizers(model: keras.Model) -> str | None:
    """Returns a text about layers whose regularizer was set after they were built, or None.

    Keras passes the regularizers of a layer to its variables only when the layer is built. An
    attribute that is set later has no effect until the model is saved and loaded.
    """
    found: dict[int, str | None] = {}
    for layer in all_layers(model):
        for variable in layer._trainable_variables:
            name = regularizer_attribute(layer, variable)
            if name is not None and variable.trainable:
                wanted, trained = getattr(layer, name), plain(variable.regularizer)
                text = f"{variable.path} trains with {_shown(trained)}, {name} is {_shown(wanted)}"
                # For a shared variable, it is enough that one of its layers names the regularizer.
                note = None if _are_same(wanted, trained) else text
                found[id(variable)] = note and found.get(id(variable), note)
    texts = [note for note in found.values() if note is not None]
    if not texts:
        return None
    return (
        f"These variables do not train with the regularizers of their layers: {listed(texts)}. "
        "Keras reads the regularizers of a layer when it is built and when the model is loaded. "
        "An attribute that is set in between has no effect. Add a regularizer with "
        '`kerasreg.attach(model, {"kernel": penalty})`, or remove it with '
        "`kerasreg.detach(model)`."
    )


def _are_same(wanted, trained):
    if wanted is trained or wanted == trained:
        return True
    try:
        wanted = keras.regularizers.get(wanted)
        return type(wanted) is type(trained) and _config(wanted) == _config(trained)
    except Exception:
        # Regularizers that cannot be compared give no advice.
        return True


def _config(regularizer):
    return keras.saving.serialize_keras_object(regularizer)


def _shown(regularizer):
    if regularizer is None:
        return "none"
    is_ours = type(regularizer).__repr__ is not object.__repr__
    return repr(regularizer) if is_ours else type(regularizer).__name__
