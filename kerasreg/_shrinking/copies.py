"""New layers and operations from the configs of others."""

import inspect

import keras
from keras import layers


def copy_of(operation, changes, dtype=None):
    """A new operation with the config of another one and some changes, without its weights.

    With a `dtype`, what computes with floats computes in it.

    Raises:
        ValueError: if the config makes no operation.
    """
    error = None
    for config in _configs(operation, changes):
        config = config if dtype is None else _with_dtype(config, dtype)
        try:
            if isinstance(operation, layers.Lambda):
                # Keras makes none from a config, because that may come from anywhere.
                return type(operation)(**config)
            return type(operation).from_config(config)
        except Exception as failure:  # Layers of users raise what they like.
            error = error or failure
    raise ValueError(
        "`kerasreg.shrink` makes new layers from the configs of the old ones. Received: "
        f"'{operation.name}' ({type(operation).__name__}), whose config makes none ({error}). "
        "Correct its `get_config` or `from_config`."
    ) from error


def _configs(operation, changes):
    """Configs to try, one after the other."""
    try:
        config = {**_without_sizes(operation.get_config()), **_without_sizes(changes)}
    except Exception as error:
        raise ValueError(
            "`kerasreg.shrink` makes new layers from the configs of the old ones. Received: "
            f"'{operation.name}' ({type(operation).__name__}), whose `get_config` fails ({error})."
        ) from error
    if type(getattr(operation, "dtype_policy", None)) is keras.DTypePolicy and "dtype" in config:
        # To make one from its config takes longer than to make the layer.
        config["dtype"] = operation.dtype_policy.name
    # Functions of Python and objects of classes that are not registered have no config.
    objects = {name: vars(operation).get(name) for name in config if name not in changes}
    objects = {name: each for name, each in objects.items() if callable(each)}
    if isinstance(operation, layers.Lambda):
        objects["output_shape"] = operation._output_shape
        return [{**config, **objects, "mask": operation.mask}]
    known = inspect.signature(type(operation).__init__).parameters
    return [
        dict(config),
        {**config, **objects},
        {name: each for name, each in config.items() if name in (*known, "name", "dtype")},
    ]


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
