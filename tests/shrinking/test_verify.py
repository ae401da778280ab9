"""`verify` uses inputs that a model accepts and that show differences between two models."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasreg
from kerasreg._shrinking.verify import verify


def pooled(depth):
    """A model of images of any size, which halves the size `depth` times."""
    x = keras.Input((None, None, 3))
    y = layers.Conv2D(4, 1)(x)
    for _ in range(depth):
        y = layers.AveragePooling2D(2)(y)
    return keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(y)))


@pytest.mark.parametrize("depth", [0, 5])
def test_images_are_large_enough_to_tell_models_apart(depth):
    """Images that are too small would give NaN in both models."""
    shapes = [(None, None, 3)]
    with pytest.raises(RuntimeError, match="differ by"):
        verify(pooled(depth), pooled(depth), lambda: (pooled(depth), pooled(depth)), shapes)


@pytest.mark.parametrize("longest", [15, 40, 70])
def test_sequences_are_as_short_as_the_model_requires(longest):
    x = keras.Input((None,), dtype="int32")
    y = layers.Embedding(5, 4, name="tokens")(x)
    y = layers.Lambda(limited, arguments={"longest": longest})(y)
    y = layers.Dense(6, name="wide")(y)
    model = keras.Model(x, layers.GlobalAveragePooling1D()(layers.Dense(2)(y)))
    wide = model.get_layer("wide")
    wide.kernel.assign(np.where(np.arange(6) < 3, 0, ops.convert_to_numpy(wide.kernel)))
    small, _ = kerasreg.shrink(model)
    assert small.get_layer("wide").units == 3


def limited(x, longest):
    if x.shape[1] is not None and x.shape[1] > longest:
        raise ValueError(f"at most {longest} positions")
    return x
