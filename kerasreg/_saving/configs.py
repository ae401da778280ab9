"""Objects of kerasreg in the config of a saved model."""

from typing import Any

import keras

from kerasreg.constraints import Projection
from kerasreg.regularizers.base import Penalty

_ATTACHED = "kerasreg>Attached"
#: Keras looks classes of ours up by their registered names. Where it finds none, its message has
#: this, too.
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
        # The plain model is in it, but how it was compiled beside it.
        compiled = {key: config[key] for key in ("compile_config",) if key in config}
        config = {**config["config"]["model"], **compiled}
    return {key: detached(each) for key, each in config.items()}


def with_hints(config: Any) -> Any:
    """Returns a config that tells readers without kerasreg which import is missing."""
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
