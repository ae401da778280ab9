"""`|w| ||x||`: the norm of what each weight adds to the output, found by zeroing all others."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasreg
from kerasreg.scores import Activation

BACKEND = keras.backend.backend()
rng = np.random.default_rng(0)


class Remember(Activation):
    """Its scores by path, kept to look at."""

    def __call__(self, variable, weights, record=None):
        self.found = {
            **getattr(self, "found", {}),
            variable.path: super().__call__(variable, weights, record),
        }
        return self.found[variable.path]


def array(variable):
    return keras.ops.convert_to_numpy(variable)


def scores_of(model, x, include="kernel", **kwargs):
    score = Remember(x, **kwargs)
    kerasreg.prune(model, 0.0, include=include, score=score)
    return score.found


def contributions(model, variable, x):
    """Per weight the norm of the output of the model that has this weight alone."""
    weights = array(variable).copy()
    norms = np.empty(weights.size)
    for place in range(weights.size):
        alone = np.zeros_like(weights)
        alone.flat[place] = weights.flat[place]
        variable.assign(alone)
        norms[place] = np.linalg.norm(array(model(x)))
    variable.assign(weights)
    return norms.reshape(weights.shape)


def einsum(equation, output_shape, **kwargs):
    return layers.EinsumDense(equation, output_shape, **kwargs)


LAYERS = {
    "dense": (layers.Dense(3, use_bias=False), (4,)),
    "dense on a sequence": (layers.Dense(3, use_bias=False), (5, 4)),
    "steps": (layers.TimeDistributed(layers.Dense(3, use_bias=False)), (5, 4)),
    "conv1d": (layers.Conv1D(3, 1, use_bias=False), (5, 2)),
    "conv2d": (layers.Conv2D(3, 1, use_bias=False), (5, 4, 2)),
    "conv3d": (layers.Conv3D(3, 1, use_bias=False), (3, 2, 4, 2)),
    "transposed": (layers.Conv2DTranspose(3, 1, use_bias=False), (5, 4, 2)),
    "depthwise": (layers.DepthwiseConv2D(1, depth_multiplier=3, use_bias=False), (5, 4, 2)),
    "einsum ab,bc->ac": (einsum("ab,bc->ac", 3), (4,)),
    "einsum ...x,xy->...y": (einsum("...x,xy->...y", 3), (5, 4)),
    "einsum abc,cde->abde": (einsum("abc,cde->abde", (None, 2, 3)), (5, 4)),
    "einsum abcd,cde->abe": (einsum("abcd,cde->abe", (None, 3)), (5, 2, 4)),
    "einsum abc,dc->abd": (einsum("abc,dc->abd", (None, 3)), (5, 4)),
    "einsum abc,ecb->ae": (einsum("abc,ecb->ae", 3), (5, 4)),
    "einsum ...bc,bcd->...bd": (einsum("...bc,bcd->...bd", (3, 5)), (2, 3, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_the_score_is_the_norm_of_the_output_of_a_single_weight(name):
    layer, shape = LAYERS[name]
    layer = layer.__class__.from_config(layer.get_config())
    model = keras.Sequential([keras.Input(shape), layer], name="net")
    x = rng.normal(size=(7, *shape)).astype("float32")
    (found,) = scores_of(model, x, batch_size=3).values()
    expected = contributions(model, model.weights[0], x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow has no channels first on a CPU")
@pytest.mark.parametrize("kind", [layers.Conv2D, layers.Conv2DTranspose])
def test_channels_first_is_supported(kind):
    layer = kind(3, 1, use_bias=False, data_format="channels_first")
    model = keras.Sequential([keras.Input((2, 5, 4)), layer], name="net")
    x = rng.normal(size=(7, 2, 5, 4)).astype("float32")
    (found,) = scores_of(model, x).values()
    expected = contributions(model, model.weights[0], x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("query", "key"), [(4, 4), (3, 5)])
def test_projections_of_attention_are_supported(query, key):
    q, kv = keras.Input((6, query)), keras.Input((5, key))
    attention = layers.MultiHeadAttention(2, 3, use_bias=False, name="mha")
    model = keras.Model([q, kv], attention(q, kv), name="net")
    x = [rng.normal(size=(4, *each.shape[1:])).astype("float32") for each in (q, kv)]
    found = scores_of(model, x)
    for name, inputs in (("query", x[0]), ("key", x[1]), ("value", x[1])):
        norms = np.sqrt(np.square(inputs).sum((0, 1)))[:, None, None]
        (kernel,) = (v for v in model.weights if v.path.endswith(f"/{name}/kernel"))
        np.testing.assert_allclose(found[kernel.path], np.abs(array(kernel)) * norms, rtol=1e-5)
    kernel = attention._output_dense.kernel
    expected = contributions(model, kernel, x)
    np.testing.assert_allclose(found[kernel.path], expected, rtol=1e-4, atol=1e-6)


def test_the_norm_of_a_shared_layer_covers_all_its_inputs():
    one, two = keras.Input((4,)), keras.Input((4,))
    dense = layers.Dense(3, use_bias=False, name="a")
    model = keras.Model([one, two], layers.Concatenate()([dense(one), dense(inputs=two)]))
    x = [rng.normal(size=(7, 4)).astype("float32") for _ in range(2)]
    (found,) = scores_of(model, x).values()
    expected = contributions(model, model.weights[0], x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_other_layers_have_the_magnitude():
    stack = [
        layers.Embedding(5, 4, name="embedding"),
        layers.LSTM(3, return_sequences=True, name="lstm"),
        layers.Conv1D(3, 1, groups=3, name="grouped"),
        layers.Dense(2, name="dense"),
    ]
    model = keras.Sequential([keras.Input((6,)), *stack], name="net")
    found = scores_of(model, rng.integers(0, 5, (4, 6)), include="embeddings|kernel|bias")
    for variable in model.weights:
        is_magnitude = np.array_equal(found[variable.path], np.abs(array(variable)))
        # The biases are zero.
        assert is_magnitude == (variable.path != "net/dense/kernel"), variable.path


def test_layers_inside_a_loop_of_the_backend_are_scored():
    class Cell(layers.Layer):
        def __init__(self):
            super().__init__(name="cell")
            self.state_size = self.output_size = 3
            self.dense = layers.Dense(3, use_bias=False, name="dense")

        def build(self, shape):
            self.dense.build(shape)

        def call(self, x, states):
            x = self.dense(x) + states[0]
            return x, [x]

    model = keras.Sequential([keras.Input((5, 4)), layers.RNN(Cell(), name="rnn")], name="net")
    # Keras calls the cell once more for the first step.
    x = rng.normal(size=(7, 5, 4)).astype("float32") * np.array([0, 1, 1, 1, 1])[:, None]
    (found,) = scores_of(model, x).values()
    magnitude = np.abs(array(model.weights[0]))
    norms = np.ones(4) if BACKEND == "jax" else np.sqrt(np.square(x).sum((0, 1)))
    np.testing.assert_allclose(found, magnitude * norms[:, None], rtol=1e-5)


def test_layers_are_restored():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    before = dict(model.layers[0].__dict__)
    scores_of(model, np.ones((2, 4)))
    assert model.layers[0].__dict__.keys() == before.keys()
    with pytest.raises(ValueError, match="incompatible"):
        scores_of(model, np.ones((2, 5)))
    assert "call" not in model.layers[0].__dict__


def test_weights_of_a_weak_input_are_pruned_first():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign([[1.0], [-0.5]])
    kerasreg.prune(model, 0.5, score=Activation(np.array([[0.1, 1.0]])))
    np.testing.assert_array_equal(array(model.layers[0].kernel), [[0.0], [-0.5]])
