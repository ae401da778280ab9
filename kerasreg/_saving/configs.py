"""The objects of kerasreg in the config of a saved model."""

from typing import Any

import keras

from kerasreg.constraints import Projection
from kerasreg.regularizers.base import Penalty

_ATTACHED = "kerasreg>Attached"
#: Replaces the module of classes of kerasreg, which Keras finds by their registered names. If
#: kerasreg is not imported, the error of Keras contains this text.
_HINT = "kerasreg (`import kerasreg` before you load this file)"


def detached(config: Any) -> Any:
    """Returns a config without penalties and constraints of kerasreg, for stock Keras."""
    if isinstance(config, list):
        return [detached(each) for each in config]
    if not isinstance(config, dict):
        return config
    if _is_penalty(config):
        return None
    if config.get("registered_name") == _ATTACHED:
        # The plain model is inside this config, but its `compile_config` is next to it.
        compiled = {key: config[key] for key in ("compile_config",) if key in config}
        config = {**config["config"]["model"], **compiled}
    return {key: detached(each) for key, each in config.items()}


def with_hints(config: Any) -> Any:
    """Returns a config with which loading without kerasreg names the missing import."""
    if isinstance(config, list):
        return [with_hints(each) for each in config]
    if not isinstance(config, dict):
        return config
    hint = {}
    if "module" in config and str(config.get("registered_name")).startswith("kerasreg>"):
        hint = {"module": _HINT}
    return {**{key: with_hints(each) for key, each in config.items()}, **hint}


def _is_penalty(config):
    name = config.get("registered_name")
    cls = keras.saving.get_registered_object(name) if isinstance(name, str) else None
    return isinstance(cls, type) and issubclass(cls, (Penalty, Projection))
