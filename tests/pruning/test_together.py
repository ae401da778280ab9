"""Pruning beside what else Keras does: distillation, quantization, whole architectures."""

import keras
import numpy as np
import pytest
from keras import layers, optimizers
from watched import PLAIN

import kerasreg
from kerasreg import patterns, schedules
from kerasreg.callbacks import Pruning


def digits(rng):
    x = rng.normal(size=(64, 8)).astype("float32")
    return x, (x[:, :3].argmax(axis=1)).astype("int32")


def classifier(name):
    return keras.Sequential(
        [keras.Input((8,)), layers.Dense(16, "relu"), layers.Dense(3)], name=name
    )


@pytest.mark.skipif(not hasattr(keras, "distillation"), reason="this Keras has none")
def test_distillation_prunes_the_student_only():
    keras.utils.set_random_seed(0)
    x, y = digits(np.random.default_rng(0))
    teacher, student = classifier("teacher"), classifier("student")
    distiller = keras.distillation.Distiller(
        teacher, student, keras.distillation.LogitsDistillation(temperature=2.0)
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(optimizers.Adam(0.01), loss, **PLAIN)
    before = teacher.get_weights()
    pruning = Pruning(schedules.Polynomial(0.75, end_step=12, frequency=2))
    distiller.fit(x, y, batch_size=16, epochs=4, verbose=0, callbacks=[pruning])
    for variable in student.weights:
        zeros = np.mean(np.asarray(keras.ops.convert_to_numpy(variable)) == 0)
        assert zeros == (0.75 if variable.name == "kernel" else 0)
    for now, then in zip(teacher.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_quantization_keeps_the_zeros():
    keras.utils.set_random_seed(0)
    model = classifier("net")
    kerasreg.prune(model, 0.75)
    dead = np.asarray(keras.ops.convert_to_numpy(model.layers[0].kernel)) == 0
    for layer in model.layers:
        layer.quantize("int8")
    quantized = np.asarray(keras.ops.convert_to_numpy(model.layers[0]._kernel))
    assert quantized.dtype == "int8"
    assert (quantized[dead] == 0).all()
    with pytest.raises(ValueError, match="dtype is int8"):
        kerasreg.prune(model, 0.9)


ARCHITECTURES = {
    "ConvNeXtTiny": 224,
    "DenseNet121": 64,
    "EfficientNetB0": 64,
    "EfficientNetV2B0": 64,
    "InceptionV3": 96,
    "MobileNet": 64,
    "MobileNetV3Small": 64,
    "NASNetMobile": 64,
    "ResNet50": 64,
    "Xception": 96,
}
PATTERNS = {
    "unstructured": "unstructured",
    "2:4": "2:4",
    "blocks": patterns.Block((4, 4)),
    "units": "unit",
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures(name):
    """Half of each kernel goes, to the nearest unit, and nothing else changes."""
    if name.startswith("NASNet") and keras.backend.backend() == "torch":
        pytest.skip("Keras has no NASNet on torch")
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    size = ARCHITECTURES[name]
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(size, size, 3), include_top=False
    )
    start = model.get_weights()
    for label, pattern in PATTERNS.items():
        model.set_weights(start)
        plan = kerasreg.prune(model, 0.5, pattern)
        assert plan.sparsity == pytest.approx(0.5, abs=2e-3)
        for variable, old in zip(model.weights, start, strict=True):
            new = np.asarray(keras.ops.convert_to_numpy(variable))
            if variable.path in plan.skipped:
                np.testing.assert_array_equal(new, old)
                continue
            row = plan[variable.path]
            assert np.count_nonzero(new == 0) == row.zeros
            if pattern != "2:4":
                # To the nearest unit, which is a block of 16 or all of one size.
                largest = 16 if label == "blocks" else row.weights / row.units
                assert abs(row.zeros - row.weights / 2) <= largest / 2
            assert ((new == old) | (new == 0)).all()
