"""`shrink` of the architectures of `keras.applications` with half of all units zero."""

import pathlib

import keras
import pytest
from keras import layers

import kerasreg
from kerasreg._graph.variables import all_layers

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
#: name: (size of the images, the largest share of the parameters that may be left)
NAMES = {
    "ConvNeXtTiny": (32, 0.55),
    "DenseNet121": (32, 0.27),
    "EfficientNetB0": (32, 0.27),
    "EfficientNetV2B0": (32, 0.27),
    "InceptionV3": (75, 0.27),
    "MobileNetV2": (32, 0.27),
    # Many of its weights are vectors and depthwise kernels, which have one axis of units only.
    "MobileNetV3Small": (32, 0.275),
    "ResNet50": (32, 0.27),
    "ResNet50V2": (32, 0.27),
    "Xception": (71, 0.27),
}


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import shrink_architectures

    return shrink_architectures


@pytest.mark.parametrize("name", NAMES)
def test_an_architecture_loses_half_of_every_width(benchmark, name):
    keras.config.set_dtype_policy("float64")
    size, share = NAMES[name]
    model = benchmark.with_small_head(benchmark.architectures()[name], size)
    left = benchmark.halved(model)
    small, _ = kerasreg.shrink(model)
    assert small.count_params() <= left <= share * model.count_params()
    assert [x.name for x in all_layers(small)] == [x.name for x in all_layers(model)]
    difference, signal = benchmark.compare(model, small)
    assert difference < 1e-10
    assert signal > 1e-3
    norms = [x for x in all_layers(small) if isinstance(x, layers.BatchNormalization)]
    assert bool(norms) == (name != "ConvNeXtTiny")


def test_mobilenet_with_its_top_loses_half_of_every_width(benchmark):
    """The top is a convolution between two `Reshape` layers."""
    keras.config.set_dtype_policy("float64")
    model = keras.applications.MobileNet(weights=None, input_shape=(32, 32, 3), classes=10)
    left = benchmark.halved(model)
    small, _ = kerasreg.shrink(model)
    assert small.count_params() <= left <= 0.27 * model.count_params()
    difference, signal = benchmark.compare(model, small)
    assert difference < 1e-10
    assert signal > 1e-3
