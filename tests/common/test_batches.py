"""Whatever `fit` takes as data: polish, scores and recalibrate take it, and compute the same."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers

import kerasreg
from kerasreg._common.batches import Batches
from kerasreg.regularizers import L1

X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
Y = (X[:, :1] - X[:, 1:2]).astype("float32")
HALVES = [(X[:6], Y[:6]), (X[6:], Y[6:])]


class Data(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return HALVES[index]


class Loader:
    """As grain's: it can be read again and has no length."""

    def __iter__(self):
        return iter(HALVES)


def tf_data(endless=False):
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices((X, Y))
    return (data.repeat() if endless else data).batch(6)


def unknown_length():
    tf = pytest.importorskip("tensorflow")
    signature = (tf.TensorSpec((None, 3)), tf.TensorSpec((None, 1)))
    return tf.data.Dataset.from_generator(lambda: iter(HALVES), output_signature=signature)


def torch_loader(**kwargs):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return torch.utils.data.DataLoader(data, batch_size=6, **kwargs)


def frames():
    pandas = pytest.importorskip("pandas")
    columns = {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]}
    return pandas.DataFrame(columns), pandas.DataFrame({"y": Y[:, 0]})


DATA = {
    "arrays": lambda: (X, Y),
    "lists": lambda: (X.tolist(), Y.tolist()),
    "DataFrames": frames,
    "backend tensors": lambda: (keras.ops.convert_to_tensor(X), keras.ops.convert_to_tensor(Y)),
    "tf.data": lambda: (tf_data(), None),
    "tf.data of unknown length": lambda: (unknown_length(), None),
    "DataLoader": lambda: (torch_loader(), None),
    "PyDataset": lambda: (Data(), None),
    "generator": lambda: ((batch for batch in HALVES), None),
    "generator of lists": lambda: ((list(batch) for batch in HALVES), None),
    "with weights": lambda: (((x, y, np.ones(len(x))) for x, y in HALVES), None),
    "islice of an endless one": lambda: (itertools.islice(itertools.cycle(HALVES), 2), None),
    "a loader without a length": lambda: (Loader(), None),
}


def model():
    keras.utils.set_random_seed(0)
    layer = layers.Dense(1, kernel_regularizer=L1(0.05), name="only")
    found = keras.Sequential([keras.Input((3,)), layers.BatchNormalization(), layer])
    found.compile(keras.optimizers.SGD(0.05), "mse")
    return found


def results(x, y, name):
    """What each caller makes of the same samples."""
    found, call = model(), {"batch_size": 6}
    if name == "polish":
        kerasreg.polish(found, x, y, epochs=5, **call)
    elif name == "recalibrate":
        kerasreg.recalibrate(found, x, batch_size=6)
    else:
        score = {
            "SNIP": lambda: kerasreg.scores.SNIP(x, y),
            "Activation": lambda: kerasreg.scores.Activation(x),
        }[name]()
        kerasreg.prune(found, 0.5, score=score)
    return found.get_weights()


@pytest.mark.parametrize("name", DATA)
def test_every_kind_of_data_gives_the_same_result(name):
    for caller in ("polish", "SNIP", "Activation", "recalibrate"):
        expected = results(X, Y if caller in ("polish", "SNIP") else None, caller)
        x, y = DATA[name]()
        y = y if caller in ("polish", "SNIP") else None
        for ours, theirs in zip(results(x, y, caller), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6, err_msg=caller)


def test_nested_structures_are_split_alike():
    data = {"a": X, "b": (X, None)}
    first, second = Batches(data, Y, None, 7, "caller")
    assert first[0]["b"][0].shape == (6, 3)
    np.testing.assert_array_equal(second[1], Y[6:])
    (batch,) = Batches(({"a": X} for _ in range(1)), None, None, None, "caller")
    assert set(batch[0]) == {"a"}
    assert batch[1:] == (None, None)


def test_a_generator_is_read_once_and_kept():
    data = Batches(iter(HALVES), None, None, None, "caller")
    assert len(data) == 2
    for _ in range(2):
        assert [x.shape for x, _, _ in data] == [(6, 3), (6, 3)]


class Endless(keras.utils.PyDataset):
    num_batches = None

    def __getitem__(self, index):
        return HALVES[0]


BAD = {
    "endless generator": (lambda: itertools.cycle(HALVES), None, "a finite number of batches"),
    "endless tf.data": (lambda: tf_data(endless=True), None, "a finite number of batches"),
    "endless PyDataset": (Endless, None, "a finite number of batches.*Received: Endless"),
    "used up": (lambda: iter(()), None, "needs data. Received: list without batches"),
    "number": (lambda: 3, None, "needs arrays or DataFrames, or batches.*x=int"),
    "string": (lambda: "data", None, "needs arrays or DataFrames, or batches.*x=str"),
    "y twice": (Data, Y, "batches as `x` alone.*x=Data, y=ndarray"),
    "other lengths": (lambda: X, Y[:5], r"same number of samples.*\[5, 12\]"),
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_data_raise(name):
    make, y, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        Batches(make(), y, None, None, "kerasreg.polish")
