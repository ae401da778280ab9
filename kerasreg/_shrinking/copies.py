"""Copies of layers and operations, made from their configs."""

import inspect

import keras
from keras import layers


def copy_of(operation, changes, dtype=None):
    """Returns a new operation with the config of another one and some changes, without weights.

    Args:
        operation: the layer or operation to copy.
        changes: config entries to replace.
        dtype: the dtype of everything that computes in floating point; None keeps that of the
            original.

    Raises:
        ValueError: if no operation can be created from the config.
    """
    error = None
    for config in _configs(operation, changes):
        config = config if dtype is None else _with_dtype(config, dtype)
        try:
            if isinstance(operation, layers.Lambda):
                # `from_config` refuses Python functions, because a config may be untrusted.
                return type(operation)(**config)
            return type(operation).from_config(config)
        except Exception as failure:  # Custom layers may raise any exception.
            error = error or failure
    raise ValueError(
        "`kerasreg.shrink` creates new layers from the configs of the old ones. Received: "
        f"'{operation.name}' ({type(operation).__name__}), which cannot be created from its "
        f"config ({error}). Correct its `get_config` or `from_config`."
    ) from error


def _configs(operation, changes):
    """Returns the configs to try, in this order."""
    try:
        config = {**_without_sizes(operation.get_config()), **_without_sizes(changes)}
    except Exception as error:
        raise ValueError(
            "`kerasreg.shrink` creates new layers from the configs of the old ones. Received: "
            f"'{operation.name}' ({type(operation).__name__}), whose `get_config` raises an "
            f"error ({error}). Correct its `get_config`."
        ) from error
    if type(getattr(operation, "dtype_policy", None)) is keras.DTypePolicy and "dtype" in config:
        # Deserializing a policy takes longer than creating the layer.
        config["dtype"] = operation.dtype_policy.name
    # Python functions and objects of unregistered classes have no config.
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
    """Removes array initializers and the input shapes of inner layers: both have the old sizes."""
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
