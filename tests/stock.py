"""The contents of saved files in stock Keras. As a script, it runs without kerasreg."""

import hashlib
import json
import sys

import keras
import numpy as np


def contents(model):
    """Returns hashes of all variables, and the compile config: a file must keep both."""
    # A model that is not compiled has no such attribute.
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer else [])]
    return {
        "variables": [
            [*map(int, v.shape), v.dtype, _digest(v)]
            for v in variables
            # Keras does not save the states of seed generators.
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
