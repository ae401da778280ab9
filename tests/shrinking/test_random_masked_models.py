"""`shrink` of random models with masks, slices, splits, operators and shared parts."""

import contextlib
import os

import keras
import numpy as np
import pytest
from keras import ops, tree
from shrinking.random_layers import Choices
from shrinking.random_models import random_cut_and_masked_model
from shrinking.random_zeros import zero_at_random

import kerasreg

#: `make test-long` sets it: 2,000 models.
LONG = bool(os.environ.get("KERASREG_LONG"))
#: Larger seeds for which `shrink` has failed once.
FAILED_ONCE = (323, 586, 726, 1770, 1847, 1943)
SEEDS = [*range(2000 if LONG else 60), *([] if LONG else FAILED_ONCE)]


def check(seed):
    """Returns the model of a seed, the small model, and whether outputs depend on inputs."""
    keras.backend.clear_session(free_memory=False)
    keras.config.set_dtype_policy("float64")
    model, r = _model(seed), Choices([seed, 1])
    zero_at_random(model, r)
    small, report = kerasreg.shrink(model)
    # Other inputs than those with which `shrink` compares the models.
    inputs = [_input(each, r) for each in model.inputs]
    reacts = False
    for old, new in zip(_outputs(model, inputs), _outputs(small, inputs), strict=True):
        largest = np.nanmax(np.abs(old), initial=0.0)
        np.testing.assert_allclose(new, old, rtol=0, atol=1e-10 * largest, err_msg=f"seed {seed}")
        reacts |= bool(np.nanmax(np.ptp(old, axis=0), initial=0.0) > 1e-6 * largest)
    assert not any("raised" in reason for reason in report.pinned), (seed, report.pinned)
    assert small.count_params() <= model.count_params()
    return model, small, reacts


def _model(seed):
    """Returns a model that runs: Keras rejects some masks in a softmax."""
    model = random_cut_and_masked_model(seed)
    with contextlib.suppress(ValueError):
        _outputs(model, [_input(each, Choices(seed)) for each in model.inputs])
        return model
    return _model(seed + 1_000_000)


def _input(tensor, r):
    """Returns random inputs; some steps and samples are zero, which masks hide."""
    shape = (6, *tensor.shape[1:])
    is_table = tensor.dtype == "int32"
    numbers = r.rng.integers(0, 7, shape) if is_table else r.rng.normal(size=shape)
    if is_table or len(shape) > 2:
        hidden = r.rng.random(shape if is_table else (*shape[:-1], 1)) < 0.4
        hidden[0], hidden[1] = False, True
        numbers = np.where(hidden, 0, numbers)
    numbers[2:3] *= 1 if is_table else 30
    return numbers


def _outputs(model, inputs):
    outputs = tree.flatten(model(inputs, training=False))
    return [np.asarray(ops.convert_to_numpy(each)) for each in outputs]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "seeds",
    [SEEDS[i : i + 10] for i in range(0, len(SEEDS), 10)],
    ids=lambda seeds: f"from {seeds[0]}",
)
def test_shrink_keeps_the_outputs_of_random_masked_models(seeds):
    left, reacting = [], 0
    for seed in seeds:
        model, small, reacts = check(seed)
        left.append(small.count_params() / model.count_params())
        reacting += reacts
    if len(seeds) == 10:
        assert np.mean(left) < 0.95
        assert reacting >= 5
