"""Saves attached regularizers together with the model.

Most Keras layers save their regularizers in their configs. Regularizers that are in no config (on
custom layers, on projections inside attention layers, in subclassed models) are saved in the config
of the model. While such a regularizer is attached, the class of the model is a subclass whose
config contains the config of the original model and the regularizers by position of the variable.
(Paths cannot be the keys, because Keras changes them when it loads a model.)
"""

import functools

import keras

from kerasreg._common.warn import warn
from kerasreg._graph.families import DEPTHWISE
from kerasreg.regularizers.base import Penalty

#: The attribute of a variable with the attached regularizer. (`regularizer` changes in training.)
_ATTACHED = "_kerasreg_attached"


def record(variable, regularizer):
    """Records the regularizer that `attach` set for a variable, or None if it was removed."""
    variable.__dict__.pop(_ATTACHED, None)
    if regularizer is not None:
        variable.__dict__[_ATTACHED] = regularizer


def recorded(variable):
    """Returns the regularizer that `attach` set for a variable, or None."""
    return variable.__dict__.get(_ATTACHED)


def save_recorded(model):
    """Sets the class of the model that saves all regularizers, or restores the original one."""
    carried = _carried_by_config(model)
    lost = [v for v in model.weights if recorded(v) is not None and id(v) not in carried]
    plain = _plain_class(model)
    model.__class__ = _attached_class(plain) if lost else plain


def regularizer_attribute(layer, variable):
    """Returns the name of the layer attribute with the regularizer of a variable, or None."""
    name = variable.name
    depthwise = isinstance(layer, DEPTHWISE)
    for stem in (name, name.removesuffix("_kernel"), *(["depthwise"] if depthwise else [])):
        if hasattr(layer, f"{stem}_regularizer"):
            return f"{stem}_regularizer"
    return None


@keras.saving.register_keras_serializable("kerasreg", name="Attached")
class _Attached:
    """A model class that saves the regularizers that are in no config of a layer."""

    def __new__(cls, *args, **kwargs):
        # `keras.models.clone_model` creates a model of the same class, with nothing attached.
        warn(
            "The new model does not have the regularizers that `kerasreg.attach` put on custom "
            "layers and on projections inside attention layers, because they are in no config "
            "of a layer. Call `kerasreg.attach` for the new model too."
        )
        return _plain_class_of(cls)(*args, **kwargs)

    def save(self, filepath, *args, **kwargs):
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                "The legacy HDF5 format cannot store the regularizers that `kerasreg.attach` "
                f"put on '{self.name}'. Save to a path that ends in `.keras`, or call "
                f"`kerasreg.detach(model)` first. Received: {filepath}"
            )
        return super().save(filepath, *args, **kwargs)

    def __reduce__(self):
        # Pickle finds classes by their names, and this class has the name of the original one.
        load, arguments = super().__reduce__()
        return getattr(_plain_class(self), load.__name__), arguments

    def get_config(self):
        attached = type(self)
        self.__class__ = _plain_class(self)
        try:
            model = keras.saving.serialize_keras_object(self)
        finally:
            self.__class__ = attached
        # Keras compiles the result from its own config, unless `compile=False`.
        model.pop("compile_config", None)
        regularizers = {
            str(position): keras.saving.serialize_keras_object(recorded(variable))
            for position, variable in enumerate(self.weights)
            if recorded(variable) is not None
        }
        return {"model": model, "regularizers": regularizers}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from kerasreg._attach.attach import put

        if not isinstance(config, dict) or not {"model", "regularizers"} <= config.keys():
            raise _broken(f"a config without `model` or `regularizers`: {_excerpt(config)}")
        model = keras.saving.deserialize_keras_object(config["model"], custom_objects)
        if not isinstance(model, keras.Model):
            raise _broken(f"an object that is not a model: {_excerpt(config['model'])}")
        put(model, _read(config["regularizers"], model.weights, custom_objects))
        return model


def _read(regularizers, weights, custom_objects):
    """Returns `[(variable, regularizer)]` of a record."""
    if not isinstance(regularizers, dict):
        raise _broken(f"regularizers that are not a dict: {_excerpt(regularizers)}")
    places = {str(place): variable for place, variable in enumerate(weights)}
    found = []
    for place, config in regularizers.items():
        if place not in places:
            raise _broken(
                f"a regularizer for variable {_excerpt(place)} of a model with {len(weights)} "
                "variables, counted from 0"
            )
        regularizer = keras.saving.deserialize_keras_object(config, custom_objects)
        if not callable(regularizer) or isinstance(regularizer, keras.constraints.Constraint):
            raise _broken(f"an invalid regularizer for variable {place}: {_excerpt(config)}")
        if isinstance(regularizer, Penalty):
            regularizer.check(places[place].shape, places[place].path)
        found.append((places[place], regularizer))
    return found


def _broken(received):
    return ValueError(
        "The saved regularizers of `kerasreg.attach` cannot be read: the file was changed, or "
        f"written by another version of kerasreg. Received: {received}."
    )


def _excerpt(value):
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


@functools.cache
def _attached_class(plain):
    # The class name is kept, because Keras and TensorBoard recognize functional models by it.
    attached = type(plain.__name__, (_Attached, plain), {"__doc__": plain.__doc__})
    return keras.saving.register_keras_serializable("kerasreg", name="Attached")(attached)


def _plain_class(model):
    return _plain_class_of(type(model))


def _plain_class_of(cls):
    return next(each for each in cls.__mro__ if not issubclass(each, _Attached))


def _carried_by_config(model):
    """Returns the ids of the variables whose regularizers are in the config of the model."""
    plain = _plain_class(model)
    if plain.__name__ not in ("Functional", "Sequential") or not _is_of_keras(plain):
        return set()
    carried = set()
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            carried |= _carried_by_config(layer)
            continue
        if isinstance(layer, keras.layers.TimeDistributed):
            layer = layer.layer
        if isinstance(layer, keras.layers.RNN):
            layer = layer.cell
        if _is_of_keras(type(layer)):
            carried |= {
                id(variable)
                for variable in layer._trainable_variables
                if regularizer_attribute(layer, variable) is not None
            }
    return carried


def _is_of_keras(cls):
    return cls.__module__.startswith("keras.")
