"""`shrink` of random models keeps the outputs and removes units that are certainly dead."""

import os

import keras
import numpy as np
import pytest
from keras import layers, ops, tree
from shrinking.random_layers import Choices
from shrinking.random_models import random_model
from shrinking.random_zeros import zero_at_random

import kerasreg
from kerasreg._graph.variables import all_layers

#: `make test-long` sets it: five times as many models.
LONG = bool(os.environ.get("KERASREG_LONG"))
#: Larger seeds for which `shrink` has failed once.
FAILED_ONCE = ()
SEEDS = [*range(500 if LONG else 100), *FAILED_ONCE]


@pytest.mark.filterwarnings("ignore:.*(with a mask attached|a softmax over axis|rms_scaling)")
@pytest.mark.parametrize(
    "seeds",
    [SEEDS[i : i + 10] for i in range(0, len(SEEDS), 10)],
    ids=lambda seeds: f"from {seeds[0]}",
)
def test_shrink_keeps_the_outputs_of_random_models(seeds):
    left, reacting = [], 0
    for seed in seeds:
        keras.backend.clear_session(free_memory=False)
        keras.config.set_dtype_policy("float64")
        model, small, reacts = _check(seed)
        left.append(small.count_params() / model.count_params())
        reacting += reacts
    assert np.mean(left) < 0.9
    assert reacting >= 3


def _check(seed):
    model, r = random_model(seed), Choices([seed, 1])
    zero_at_random(model, r)
    weights = model.get_weights()
    small, _ = kerasreg.shrink(model)
    inputs = [_input(each, r) for each in model.inputs]
    reacts = True
    for old, new in zip(_outputs(model, inputs), _outputs(small, inputs), strict=True):
        largest = np.abs(old).max()
        np.testing.assert_allclose(new, old, rtol=0, atol=1e-10 * largest, err_msg=f"seed {seed}")
        reacts &= np.ptp(old, axis=0).max() > 1e-6 * largest
    for now, then in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, then)
    assert small.count_params() <= model.count_params(), seed
    for name, width in _certain_widths(model):
        assert _by_name(small)[name].kernel.shape[-1] <= width, (seed, name)
    again, _ = kerasreg.shrink(small)
    assert again.count_params() == small.count_params(), seed
    return model, small, reacts


def _certain_widths(model):
    """Yields `(name, width)` of the layers `writer_N`; `width` excludes dead units."""
    found = _by_name(model)
    for name, writer in found.items():
        if name.startswith("writer_"):
            reader = found[name.replace("writer", "reader")]
            kernel, rows = _array(writer.kernel), np.moveaxis(_array(reader.kernel), -2, 0)
            is_constant = ~kernel.reshape(-1, kernel.shape[-1]).any(axis=0)
            if not isinstance(reader, layers.Dense):
                # With zero padding, constants other than 0 are not constant at the border.
                offset = np.zeros(kernel.shape[-1])
                offset = offset if writer.bias is None else _array(writer.bias)
                is_constant &= _array(writer.activation(ops.convert_to_tensor(offset))) == 0
            is_unread = ~rows.reshape(len(rows), -1).any(axis=1)
            yield name, max(1, np.count_nonzero(~is_constant & ~is_unread))


def _by_name(model):
    return {layer.name: layer for layer in all_layers(model)}


def _input(tensor, r):
    shape = (5, *tensor.shape[1:])
    return r.rng.integers(0, 7, shape) if tensor.dtype == "int32" else r.rng.normal(size=shape)


def _outputs(model, inputs):
    return [_array(each) for each in tree.flatten(model(inputs, training=False))]


def _array(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))
