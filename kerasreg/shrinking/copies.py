"""New layers from the configs of others."""

import keras
from keras import layers


def layer_from(layer, changes, dtype=None):
    """A new layer with the config of another one and some changes, without its weights.

    With a `dtype`, what computes with floats computes in it.

    What has no config of its own (a Python function as an activation, an object of a class that is
    not registered) is taken over as it is.
    """
    config = {**layer.get_config(), **changes}
    config = config if dtype is None else _with_dtype(config, dtype)
    if isinstance(layer, layers.Lambda):
        # Keras makes none from a config, because that may come from anywhere.
        config = {**config, "function": layer.function, "mask": layer.mask}
        config["output_shape"] = layer._output_shape
        return type(layer)(**config)
    config = _without_arrays(config) if changes else config
    try:
        return type(layer).from_config(config)
    except Exception:
        objects = {name: vars(layer).get(name) for name in config if name not in changes}
        objects = {name: each for name, each in objects.items() if callable(each)}
        if not objects:
            raise
        return type(layer).from_config({**config, **objects})


def _without_arrays(config):
    """Initializers that are arrays have the old size; the weights are set anyway."""
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "Constant" and not isinstance(
        config["config"].get("value"), (int, float)
    ):
        return {**config, "class_name": "Zeros", "config": {}}
    return {name: _without_arrays(each) for name, each in config.items()}


def _with_dtype(config, dtype):
    if not isinstance(config, dict):
        return config
    config = {name: _with_dtype(each, dtype) for name, each in config.items()}
    if "dtype" in config and "name" in config:
        policy = keras.dtype_policies.get(config["dtype"])
        if keras.backend.is_float_dtype(policy.compute_dtype or "float32"):
            config["dtype"] = dtype
    return config
