"""Models made by `shrink` can be exported like any other Keras model."""

import keras
import numpy as np
import pytest
import shrinkable
from keras import ops

import kerasreg

pytestmark = [
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports on TensorFlow"),
    # TensorFlow warns about its interpreter.
    pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning"),
]
KEYS = ["residual", "squeezed", "nested", "attention_inputs"]


@pytest.fixture(params=KEYS)
def pair(request):
    """Returns a small model, inputs, and the outputs of the original."""
    model = getattr(shrinkable, request.param)()
    model = model[0] if isinstance(model, tuple) else model
    kerasreg.prune(model, 0.5, pattern="coupled")
    small, _ = kerasreg.shrink(model)
    assert small.count_params() < model.count_params()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, *model.input_shape[1:])).astype("float32")
    return small, x, ops.convert_to_numpy(model(x, training=False))


def test_an_exported_saved_model_has_the_same_outputs(pair, tmp_path):
    import tensorflow as tf

    small, x, expected = pair
    small.export(tmp_path / "small", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "small")
    found = loaded.serve(x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_an_exported_litert_model_has_the_same_outputs(pair, tmp_path):
    import tensorflow as tf

    if tuple(map(int, keras.__version__.split(".")[:2])) < (3, 13):
        pytest.skip("Keras before 3.13 cannot export to LiteRT")
    small, x, expected = pair
    path = str(tmp_path / "small.tflite")
    small.export(path, format="litert", verbose=False)
    interpreter = tf.lite.Interpreter(path)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
