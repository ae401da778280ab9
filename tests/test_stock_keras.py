"""Facts about Keras for which other tests are skipped: a newer Keras may change them."""

import keras
import numpy as np
import pytest
from keras import layers

BACKEND = keras.backend.backend()


def test_keras_rejects_several_steps_per_execution_on_torch_only():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse", steps_per_execution=2)
    x, y = np.ones((4, 2)), np.ones((4, 1))
    if BACKEND == "torch":
        with pytest.raises(ValueError, match="must be 1 with the PyTorch backend"):
            model.fit(x, y, batch_size=2, verbose=0)
    else:
        model.fit(x, y, batch_size=2, verbose=0)
        assert int(model.optimizer.iterations) == 2


def test_fit_builds_a_model_before_its_callbacks_except_on_tensorflow():
    built = []
    model = keras.Sequential([layers.Dense(1)])
    model.compile("sgd", "mse")
    begin = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: built.append(model.built))
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[begin])
    assert built == [BACKEND != "tensorflow"]
