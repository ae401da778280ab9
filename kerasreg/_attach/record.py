"""How attached regularizers survive saving.

Most layers of Keras save their regularizers in their config, and nothing else is needed. What no
config carries (custom layers, the projections inside of attention, subclassed models) is saved
with the model as a whole: while such a regularizer is attached, the class of the model is a
subclass whose config is the plain model's and, beside it, the regularizers by position. (Paths
are no keys: Keras changes them when it loads.)
"""

import functools

import keras

from kerasreg._common.warn import warn
from kerasreg._graph.families import DEPTHWISE
from kerasreg.regularizers.base import Penalty

#: A variable remembers here what was attached to it; its `regularizer` changes while it trains.
_ATTACHED = "_kerasreg_attached"


def record(variable, regularizer):
    """Remember that `attach` put this on a variable, or, with None, that it is off again."""
    variable.__dict__.pop(_ATTACHED, None)
    if regularizer is not None:
        variable.__dict__[_ATTACHED] = regularizer


def recorded(variable):
    """What `attach` put on a variable, or None."""
    return variable.__dict__.get(_ATTACHED)


def save_recorded(model):
    """Give the model the class that saves what its layers do not, or its own one again."""
    carried = _carried_by_config(model)
    lost = [v for v in model.weights if recorded(v) is not None and id(v) not in carried]
    plain = _plain_class(model)
    model.__class__ = _attached_class(plain) if lost else plain


def regularizer_attribute(layer, variable):
    """The name under which a layer keeps the regularizer of a variable, or None."""
    name = variable.name
    depthwise = isinstance(layer, DEPTHWISE)
    for stem in (name, name.removesuffix("_kernel"), *(["depthwise"] if depthwise else [])):
        if hasattr(layer, f"{stem}_regularizer"):
            return f"{stem}_regularizer"
    return None


@keras.saving.register_keras_serializable("kerasreg", name="Attached")
class _Attached:
    """A model class that saves the regularizers which its layers do not."""

    def __new__(cls, *args, **kwargs):
        # `keras.models.clone_model` makes a model of the same class: it has nothing attached.
        warn(
            "The new model has no penalty where `kerasreg.attach` put one that no layer keeps in "
            "its config (on custom layers, on projections inside of attention). Call "
            "`kerasreg.attach` for it too."
        )
        return _plain_class_of(cls)(*args, **kwargs)

    def save(self, filepath, *args, **kwargs):
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                f"The legacy HDF5 format cannot hold what `kerasreg.attach` put on '{self.name}'. "
                "Save to a path that ends in `.keras`, or call `kerasreg.detach(model)` before. "
                f"Received: {filepath}"
            )
        return super().save(filepath, *args, **kwargs)

    def __reduce__(self):
        # Pickle finds classes by their names; this one has the name of another.
        load, arguments = super().__reduce__()
        return getattr(_plain_class(self), load.__name__), arguments

    def get_config(self):
        attached = type(self)
        self.__class__ = _plain_class(self)
        try:
            model = keras.saving.serialize_keras_object(self)
        finally:
            self.__class__ = attached
        # Keras compiles the result, and leaves it out on request.
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
            raise _broken(f"not both `model` and `regularizers`, but {_excerpt(config)}")
        model = keras.saving.deserialize_keras_object(config["model"], custom_objects)
        if not isinstance(model, keras.Model):
            raise _broken(f"no model, but {_excerpt(config['model'])}")
        put(model, _read(config["regularizers"], model.weights, custom_objects))
        return model


def _read(regularizers, weights, custom_objects):
    """`[(variable, regularizer)]` of a record."""
    if not isinstance(regularizers, dict):
        raise _broken(f"no dict of regularizers, but {_excerpt(regularizers)}")
    places = {str(place): variable for place, variable in enumerate(weights)}
    found = []
    for place, config in regularizers.items():
        if place not in places:
            raise _broken(
                f"a regularizer for variable {_excerpt(place)}; the model has {len(weights)}, from "
                "0 on"
            )
        regularizer = keras.saving.deserialize_keras_object(config, custom_objects)
        if not callable(regularizer) or isinstance(regularizer, keras.constraints.Constraint):
            raise _broken(f"no regularizer for variable {place}, but {_excerpt(config)}")
        if isinstance(regularizer, Penalty):
            regularizer.check(places[place].shape, places[place].path)
        found.append((places[place], regularizer))
    return found


def _broken(received):
    return ValueError(
        "The record of what `kerasreg.attach` put on this model is broken: it was changed, or "
        f"written by another version of kerasreg. Received: {received}."
    )


def _excerpt(value):
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


@functools.cache
def _attached_class(plain):
    # The name stays: Keras and TensorBoard tell functional models by it.
    attached = type(plain.__name__, (_Attached, plain), {"__doc__": plain.__doc__})
    return keras.saving.register_keras_serializable("kerasreg", name="Attached")(attached)


def _plain_class(model):
    return _plain_class_of(type(model))


def _plain_class_of(cls):
    return next(each for each in cls.__mro__ if not issubclass(each, _Attached))


def _carried_by_config(model):
    """The ids of the variables whose regularizer the config of the model carries."""
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
