"""How attached regularizers survive saving.

Most layers of Keras save their regularizers in their config, and nothing else is needed. What no
config carries (custom layers, the projections inside of attention, subclassed models) is saved
with the model as a whole: while such a regularizer is attached, the class of the model is a
subclass whose config is the plain model's and, beside it, the regularizers by position.
"""

import functools

import keras


def attached_regularizers(model):
    """`{position in model.weights: regularizer}` of what `attach` put on a model."""
    return model.__dict__.get("_kerasreg_attached", {})


def remember(model, regularizers):
    """Make `{position in model.weights: regularizer}` what is saved with the model."""
    model.__dict__.pop("_kerasreg_attached", None)
    if regularizers:
        model.__dict__["_kerasreg_attached"] = regularizers
    carried = _carried_by_config(model)
    lost = [i for i in regularizers if id(model.weights[i]) not in carried]
    plain = _plain_class(model)
    model.__class__ = _attached_class(plain) if lost else plain


def regularizer_attribute(layer, variable):
    """The name under which a layer keeps the regularizer of a variable, or None."""
    name = variable.name
    depthwise = isinstance(layer, (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D))
    for stem in (name, name.removesuffix("_kernel"), *(["depthwise"] if depthwise else [])):
        if hasattr(layer, f"{stem}_regularizer"):
            return f"{stem}_regularizer"
    return None


@keras.saving.register_keras_serializable("kerasreg", name="Attached")
class _Attached:
    """A model class that saves the regularizers which its layers do not."""

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
            str(position): keras.saving.serialize_keras_object(regularizer)
            for position, regularizer in attached_regularizers(self).items()
        }
        return {"model": model, "regularizers": regularizers}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from kerasreg.regularizers.attach import put

        model = keras.saving.deserialize_keras_object(config["model"], custom_objects)
        weights = model.weights
        put(
            model,
            [
                (weights[int(position)], keras.saving.deserialize_keras_object(regularizer))
                for position, regularizer in config["regularizers"].items()
            ],
        )
        return model


@functools.cache
def _attached_class(plain):
    # The name stays: Keras and TensorBoard tell functional models by it.
    attached = type(plain.__name__, (_Attached, plain), {"__doc__": plain.__doc__})
    return keras.saving.register_keras_serializable("kerasreg", name="Attached")(attached)


def _plain_class(model):
    return next(cls for cls in type(model).__mro__ if not issubclass(cls, _Attached))


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
