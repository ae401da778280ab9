"""Constraints in layers, their special cases, and their errors."""

import keras
import numpy as np
import pytest
from tensors import array, tensor

from kerasreg.constraints import Box, KSparse, L1Ball, L2Ball, Projection, Simplex


def holds(constraint, kernel):
    if isinstance(constraint, Box):
        low, high = np.float32([constraint.min_value, constraint.max_value])
        return (kernel >= low).all() and (kernel <= high).all()
    if isinstance(constraint, Simplex):
        return (kernel >= 0).all() and np.allclose(kernel.sum(axis=0), constraint.radius)
    if isinstance(constraint, L1Ball):
        return (abs(kernel).sum(axis=0) <= constraint.radius * (1 + 1e-6)).all()
    if isinstance(constraint, L2Ball):
        return (np.linalg.norm(kernel, axis=0) <= constraint.radius * (1 + 1e-6)).all()
    return (np.count_nonzero(kernel, axis=0) <= constraint.k).all()


@pytest.mark.parametrize(
    "constraint",
    [
        Box(-0.1, 0.2),
        Simplex(0.5, axis=0),
        L1Ball(0.5, axis=0),
        L2Ball(0.3, axis=0),
        KSparse(2, axis=0),
    ],
    ids=repr,
)
def test_constraints_hold_in_training_and_after_loading(constraint, tmp_path):
    layer = keras.layers.Dense(3, kernel_constraint=constraint)
    model = keras.Sequential([keras.Input((6,)), layer])
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 6)).astype("float32"), rng.normal(size=(32, 3)).astype("float32")
    model.fit(x, y, epochs=2, verbose=0)
    assert holds(constraint, array(layer.kernel))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    same = loaded.layers[-1].kernel_constraint
    assert type(same) is type(constraint)
    assert same.get_config() == constraint.get_config()
    loaded.fit(x, y, epochs=1, verbose=0)
    assert holds(constraint, array(loaded.layers[-1].kernel))


def test_ksparse_keeps_k_of_equal_weights():
    for k in range(1, 7):
        x = array(KSparse(k)(tensor(np.ones((2, 3)))))
        np.testing.assert_array_equal(x.ravel(), np.arange(6) < k)
        x = array(KSparse(k)(tensor([[1, -2, 1], [1, 0, 1]])))
        assert np.count_nonzero(x) == min(k, 5)
        assert x[0, 1] == -2


def test_ksparse_compares_weights_relative_to_their_steps():
    z = np.array([1.0, 1.5, 2.0])
    x = array(KSparse(1).project(tensor(z), tensor([1.0, 4.0, 9.0])))
    np.testing.assert_array_equal(x, [1, 0, 0])


def test_the_l1_ball_of_positive_weights_is_the_simplex():
    rng = np.random.default_rng(0)
    z, t = tensor(1 + rng.uniform(size=(5, 4))), tensor(10.0 ** rng.uniform(-3, 3, (5, 4)))
    for axis in (None, 0, -1):
        one, other = L1Ball(0.7, axis).project(z, t), Simplex(0.7, axis).project(z, t)
        np.testing.assert_array_equal(array(one), array(other))


def test_projections_of_100000_weights():
    z = np.random.default_rng(0).normal(size=100_000)
    x = array(Simplex(1.0)(tensor(100 * z)))
    np.testing.assert_allclose(x.sum(), 1.0, rtol=1e-6)
    x = array(L1Ball(1000.0)(tensor(z)))
    np.testing.assert_allclose(abs(x).sum(), 1000.0, rtol=1e-6)
    x = array(L2Ball(2.0)(tensor(z)))
    np.testing.assert_allclose(np.linalg.norm(x), 2.0, rtol=1e-6)
    assert np.count_nonzero(array(KSparse(sparsity=0.9)(tensor(z)))) == 10_000


@pytest.mark.parametrize("cls", [Simplex, L1Ball, L2Ball])
@pytest.mark.parametrize("radius", [0.0, -1.0, np.inf, np.nan, "1", None, True])
def test_radii_out_of_range_raise(cls, radius):
    with pytest.raises(ValueError, match=r"`radius` must be a finite number above 0.*radius="):
        cls(radius)


@pytest.mark.parametrize("bound", [np.inf, np.nan, "0", True])
def test_invalid_bounds_raise(bound):
    with pytest.raises(
        ValueError, match=r"`min_value` must be a finite number, or None.*min_value="
    ):
        Box(bound, 1.0)
    with pytest.raises(
        ValueError, match=r"`max_value` must be a finite number, or None.*max_value="
    ):
        Box(0.0, bound)


def test_empty_boxes_raise():
    with pytest.raises(ValueError, match=r"needs a `min_value`, a `max_value`, or both. Received"):
        Box()
    with pytest.raises(ValueError, match=r"`min_value` must not be above `max_value`.*min_value=2"):
        Box(2.0, 1.0)


@pytest.mark.parametrize("k", [0, -1, 1.0, "1", True])
def test_invalid_counts_raise(k):
    with pytest.raises(ValueError, match=r"`k` must be an int of at least 1.*Received: k="):
        KSparse(k)


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, np.nan, "0.5", True])
def test_invalid_sparsities_raise(sparsity):
    with pytest.raises(ValueError, match=r"`sparsity` must be a finite number.*sparsity="):
        KSparse(sparsity=sparsity)


@pytest.mark.parametrize("arguments", [{}, {"k": 1, "sparsity": 0.5}])
def test_ksparse_needs_exactly_one_of_k_and_sparsity(arguments):
    with pytest.raises(ValueError, match=r"needs either `k` or `sparsity`. Received: k="):
        KSparse(**arguments)


def test_a_count_above_the_size_of_a_group_raises():
    with pytest.raises(ValueError, match=r"at most the number.*: 2 in weights with shape \(2, 3\)"):
        KSparse(3, axis=0)(tensor(np.ones((2, 3))))


@pytest.mark.parametrize("cls", [Simplex, L1Ball, L2Ball, KSparse])
def test_invalid_axes_and_gates_raise(cls):
    for axis in (1.5, "output", ()):
        with pytest.raises(ValueError, match=r"`axis` must be an int.*Received: axis="):
            cls(1, axis=axis)
    with pytest.raises(ValueError, match=r"`gates` needs an `axis`.*axis=None, gates=4"):
        cls(1, gates=4)
    with pytest.raises(ValueError, match=r"different axes.*shape \(2, 3\) are \[0, 1\]"):
        cls(1, axis=2)(tensor(np.ones((2, 3))))
    with pytest.raises(ValueError, match=r"6 indices, which 4 gates do not divide"):
        cls(1, axis=0, gates=4).project(tensor(np.ones((2, 6))), 1.0)
    for axis, shape in ((0, (2, 3, 4)), ((0, 1), (2, 4))):
        with pytest.raises(ValueError, match=r"contains all axes but one.*gates=4"):
            cls(1, axis=axis, gates=4)(tensor(np.ones(shape)))


def test_the_axis_has_the_meaning_of_keras_constraints():
    """The tolerance is for `MaxNorm`, which adds `epsilon` to the norm."""
    for shape, axis in (((5, 4), 0), ((5, 4), -1), ((3, 3, 2, 4), (0, 1, 2)), ((3, 2, 4), [0, 1])):
        weights = tensor(np.random.default_rng(0).normal(size=shape))
        given = tuple(axis) if isinstance(axis, list) else axis
        stock = keras.constraints.MaxNorm(0.7, given)(weights)
        np.testing.assert_allclose(array(L2Ball(0.7, axis)(weights)), array(stock), rtol=1e-5)


def test_the_base_class_is_abstract():
    with pytest.raises(NotImplementedError):
        Projection()(tensor([1.0]))
