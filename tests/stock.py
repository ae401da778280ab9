"""What stock Keras finds in saved files. A script too, of a process that cannot import kerasreg."""

import hashlib
import json
import sys

import keras
import numpy as np


def contents(model):
    """What a file must keep: every bit of every variable, and how the model was compiled."""
    # A model that is not compiled has no such attribute.
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer else [])]
    return {
        "variables": [
            [*map(int, v.shape), v.dtype, _digest(v)]
            for v in variables
            # Keras itself saves no state of seed generators.
            if not v.path.endswith("seed_generator_state")
        ],
        "compiled": model.get_compile_config() if model.compiled else None,
    }


def _digest(variable):
    value = np.ascontiguousarray(keras.ops.convert_to_numpy(variable.value))
    return hashlib.sha256(value.tobytes()).hexdigest()


if __name__ == "__main__":
    sys.modules["kerasreg"] = None  # Importing it fails.
    import architectures  # noqa: F401

    print(json.dumps([contents(keras.models.load_model(path)) for path in sys.argv[1:]]))
