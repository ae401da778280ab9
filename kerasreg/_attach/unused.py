"""Regularizers that a layer names and no variable trains with."""

import keras

from kerasreg._attach.record import regularizer_attribute
from kerasreg._common.texts import listed
from kerasreg._graph.variables import all_layers
from kerasreg._train_step import plain


def on_unused_regularizers(model: keras.Model) -> str | None:
    """A text about layers whose regularizer was set after they were built; None without one.

    Keras hands the arguments of a layer on to its variables when it is built, and never again: what
    is set later does nothing until the model is saved and loaded.
    """
    found: dict[int, str | None] = {}
    for layer in all_layers(model):
        for variable in layer._trainable_variables:
            name = regularizer_attribute(layer, variable)
            if name is not None and variable.trainable:
                wanted, trained = getattr(layer, name), plain(variable.regularizer)
                text = f"{variable.path} trains with {_shown(trained)}, {name} is {_shown(wanted)}"
                # One of the layers that share a variable is enough.
                note = None if _are_same(wanted, trained) else text
                found[id(variable)] = note and found.get(id(variable), note)
    texts = [note for note in found.values() if note is not None]
    if not texts:
        return None
    return (
        f"These do not train with the regularizers that their layers name: {listed(texts)}. Keras "
        "reads the arguments of a layer when it is built, and again when the model is loaded; what "
        "is set in between does nothing. Put a regularizer on with "
        '`kerasreg.attach(model, {"kernel": penalty})`, or take it off with '
        "`kerasreg.detach(model)`."
    )


def _are_same(wanted, trained):
    if wanted is trained or wanted == trained:
        return True
    try:
        wanted = keras.regularizers.get(wanted)
        return type(wanted) is type(trained) and _config(wanted) == _config(trained)
    except Exception:
        # What cannot be compared is not advised about.
        return True


def _config(regularizer):
    return keras.saving.serialize_keras_object(regularizer)


def _shown(regularizer):
    if regularizer is None:
        return "none"
    is_ours = type(regularizer).__repr__ is not object.__repr__
    return repr(regularizer) if is_ours else type(regularizer).__name__
