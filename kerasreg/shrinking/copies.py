"""New layers and operations from the configs of others."""

import keras
from keras import layers


def copy_of(operation, changes, dtype=None):
    """A new operation with the config of another one and some changes, without its weights.

    With a `dtype`, what computes with floats computes in it.

    What has no config of its own (a Python function as an activation, an object of a class that is
    not registered) is taken over as it is.
    """
    config = {**operation.get_config(), **changes}
    config = config if dtype is None else _with_dtype(config, dtype)
    if isinstance(operation, layers.Lambda):
        # Keras makes none from a config, because that may come from anywhere.
        config = {**config, "function": operation.function, "mask": operation.mask}
        config["output_shape"] = operation._output_shape
        return type(operation)(**config)
    config = _without_sizes(config)
    try:
        return type(operation).from_config(config)
    except Exception:
        objects = {name: vars(operation).get(name) for name in config if name not in changes}
        objects = {name: each for name, each in objects.items() if callable(each)}
        if not objects:
            raise
        return type(operation).from_config({**config, **objects})


def _without_sizes(config):
    """Without initializers that are arrays, and input shapes of inner layers: they are old."""
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "Constant" and not isinstance(
        config["config"].get("value"), (int, float)
    ):
        return {**config, "class_name": "Zeros", "config": {}}
    return {name: _without_sizes(each) for name, each in config.items() if name != "build_config"}


def _with_dtype(config, dtype):
    if not isinstance(config, dict):
        return config
    config = {name: _with_dtype(each, dtype) for name, each in config.items()}
    if "dtype" in config and "name" in config:
        policy = keras.dtype_policies.get(config["dtype"])
        if keras.backend.is_float_dtype(policy.compute_dtype or "float32"):
            config["dtype"] = dtype
    return config
