"""Custom training loops: updates without a prox or a mask are detected by counting."""

import contextlib
import warnings

import keras
import numpy as np
import pytest
from keras import ops, optimizers

import kerasreg
from kerasreg import schedules

pytestmark = pytest.mark.filterwarnings("ignore:Gradients do not exist")
BACKEND = keras.backend.backend()


def net():
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Dense(8, "tanh", kernel_regularizer="l1", name="a"),
        keras.layers.Dense(1, kernel_regularizer="l1", name="b"),
    ]
    return keras.Sequential([keras.Input((6,)), *layers], name="net")


def batch(size=8):
    rng = np.random.default_rng(1)
    return [rng.normal(size=(size, width)).astype("float32") for width in (6, 1)]


def error(match):
    return pytest.raises((RuntimeError, ValueError), match=match)


def warning(match):
    return pytest.warns((UserWarning, RuntimeWarning), match=match)


def zeros(model, layer="a"):
    return np.mean(ops.convert_to_numpy(model.get_layer(layer).kernel) == 0)


class Loop:
    """A compiled step; on JAX it keeps weights and state, and reads and writes them when told."""

    def __init__(self, model, optimizer, only="", torch_optimizer=None):
        self.model, self.optimizer = model, optimizer
        self.variables = [v for v in model.trainable_variables if only in v.path]
        optimizer.build(model.trainable_variables)
        if BACKEND == "tensorflow":
            import tensorflow as tf

            self._step = tf.function(self._tensorflow)
        elif BACKEND == "jax":
            import jax

            self._step = jax.jit(self._jax)
        else:
            self._step = self._torch
        self._torch_optimizer = torch_optimizer

    def __call__(self, times=1, size=8):
        for _ in range(times):
            x, y = map(ops.convert_to_tensor, batch(size))
            if BACKEND == "jax":
                self.weights, self.state = self._step(self.weights, self.state, x, y)
            else:
                self._step(x, y)

    def read(self, weights=True, state=True):
        """On JAX: take weights and state from the variables."""
        if weights:
            self.weights = [v.value for v in self.model.trainable_variables]
        if state:
            self.state = [v.value for v in self.optimizer.variables]

    def write(self, weights=True, state=True):
        """On JAX: put weights and state into the variables, as far as there are any."""
        if BACKEND == "jax" and weights:
            assign(self.model.trainable_variables, self.weights)
        if BACKEND == "jax" and state:
            assign(self.optimizer.variables, self.state)

    def _loss(self, prediction, y):
        return ops.mean((y - prediction) ** 2)

    def _tensorflow(self, x, y):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = self._loss(self.model(x), y)
        gradients = tape.gradient(loss, [v.value for v in self.variables])
        self.optimizer.apply(gradients, self.variables)

    def _torch(self, x, y):
        import torch

        self.model.zero_grad()
        self._loss(self.model(x), y).backward()
        with torch.no_grad():
            if self._torch_optimizer is not None:
                self._torch_optimizer.step()
            else:
                gradients = [v.value.grad for v in self.variables]
                self.optimizer.apply(gradients, self.variables)

    def _jax(self, weights, state, x, y):
        import jax

        def loss(weights):
            rest = [v.value for v in self.model.non_trainable_variables]
            return self._loss(self.model.stateless_call(weights, rest, x)[0], y)

        gradients = jax.grad(loss)(weights)
        owns = [any(v is own for own in self.variables) for v in self.model.trainable_variables]
        gradients = [g if own else None for g, own in zip(gradients, owns, strict=True)]
        return self.optimizer.stateless_apply(state, gradients, weights)


def assign(variables, values):
    for variable, value in zip(variables, values, strict=False):
        variable.assign(value)


@contextlib.contextmanager
def silent():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("error", RuntimeWarning)
        warnings.filterwarnings("ignore", "Gradients do not exist")
        yield


only_on = {
    backend: pytest.mark.skipif(backend != BACKEND, reason=f"of {backend} only")
    for backend in ("tensorflow", "jax", "torch")
}


@pytest.mark.parametrize("make", [lambda: optimizers.SGD(0.1), lambda: optimizers.Adam(0.01)])
def test_a_step_compiled_before_the_context_raises(make):
    """On JAX the state of inside has one number more, and the step is compiled anew."""
    model, optimizer = net(), make()
    loop = Loop(model, optimizer)
    if BACKEND == "jax":
        loop.read()
    loop(2)
    expected = contextlib.nullcontext()
    if BACKEND == "tensorflow":
        expected = error(r"5 updates, but none had a proximal step.*compiled b")
    with expected, kerasreg.proximal(model, optimizer):
        if BACKEND == "jax":
            loop.read()
        loop(5)
        loop.write()
    assert "kerasreg" not in optimizer.__dict__
    assert model.get_layer("a").kernel.regularizer is model.get_layer("a").kernel_regularizer


@only_on["tensorflow"]
def test_a_last_batch_of_another_size_alone_is_compiled_inside():
    model, optimizer = net(), optimizers.SGD(0.1)
    loop = Loop(model, optimizer)
    loop()
    with (
        error("only 1 of 22 updates of the optimizer 'sgd' had a proximal step"),
        kerasreg.proximal(model, optimizer),
    ):
        loop(21)
        loop(1, size=5)


@only_on["tensorflow"]
def test_a_step_compiled_in_another_context_raises():
    """It has the prox of the other one, and its numbers."""
    model, optimizer = net(), optimizers.SGD(0.1, momentum=0.9)
    loop = Loop(model, optimizer)
    with kerasreg.proximal(model, optimizer):
        loop(3)
    with (
        error("3 updates, but none had a proximal step"),
        kerasreg.proximal(model, optimizer),
    ):
        loop(3)
    loop = Loop(model, optimizer)
    with silent(), kerasreg.proximal(model, optimizer):
        loop(3)


@only_on["jax"]
def test_a_state_from_before_the_context_raises():
    model, optimizer = net(), optimizers.SGD(0.1)
    loop = Loop(model, optimizer)
    loop.read()
    loop(2)
    with (
        error(r"Read `optimizer.variables` inside the context"),
        kerasreg.proximal(model, optimizer),
    ):
        # The old trace takes it, the new one of the odd batch does not.
        loop(3)
        loop(1, size=5)


@only_on["jax"]
@pytest.mark.parametrize("written", ["nothing", "weights", "all"])
def test_an_old_trace_with_an_old_state_raises(written):
    model, optimizer = net(), optimizers.SGD(0.1)
    loop = Loop(model, optimizer)
    loop.read()
    loop(2)
    message = {
        "nothing": r"'sgd' made no update.*does not write its state back",
        "weights": r"a/kernel.*changed, while the optimizer 'sgd' made no update",
        "all": r"made 5 updates, but none had a proximal step",
    }[written]
    with error(message), kerasreg.proximal(model, optimizer):
        loop(3)
        loop.write(weights=written != "nothing", state=written == "all")


@only_on["jax"]
def test_a_state_written_back_too_late_raises():
    model, optimizer = net(), optimizers.SGD(0.1)
    with (
        warning(r"show no update.*before the context ends"),
        kerasreg.proximal(model, optimizer),
    ):
        loop = Loop(model, optimizer)
        loop.read()
        loop(3)


@only_on["torch"]
def test_a_torch_optimizer_raises():
    import torch

    model, optimizer = net(), optimizers.SGD(0.1)
    loop = Loop(model, optimizer, torch_optimizer=torch.optim.SGD(model.parameters(), 0.1))
    with (
        error(r"'sgd' made no update.*torch\.optim"),
        kerasreg.proximal(model, optimizer),
    ):
        loop(3)
    schedule = schedules.OneShot(0.5, 1)
    with (
        error(r"'sgd' made no update.*torch\.optim"),
        kerasreg.pruning(model, optimizer, schedule) as pruning,
    ):
        loop()
        pruning.step()
        raise AssertionError("known after one batch")


def test_another_keras_optimizer_raises():
    model, optimizer = net(), optimizers.SGD(0.1)
    with (
        error(r"changed, while.*'sgd' made no update"),
        kerasreg.proximal(model, optimizer),
    ):
        loop = Loop(model, optimizers.Adam(0.1))
        loop.read()
        loop(2)
        loop.write()


def test_an_optimizer_that_steps_a_part_only():
    """What has no gradient is said, what another optimizer trains is an error."""
    model, optimizer = net(), optimizers.SGD(0.1)
    with (
        warning(r"did not change '.*b/kernel' in 3 updates"),
        kerasreg.proximal(model, optimizer),
    ):
        loop = Loop(model, optimizer, only="a/")
        loop.read()
        loop(3)
        loop.write()
    other = optimizers.SGD(0.1)
    with (
        error(r"'.*b/kernel' changed.*none of them of these weights"),
        kerasreg.proximal(model, optimizer),
    ):
        for own, only in ((optimizer, "a/"), (other, "b/")):
            loop = Loop(model, own, only)
            loop.read()
            loop(3)
            loop.write()


def test_one_optimizer_that_steps_one_part_after_the_other():
    model, optimizer = net(), optimizers.SGD(0.1)
    with silent(), kerasreg.proximal(model, optimizer):
        loops = [Loop(model, optimizer, only) for only in ("a/", "b/")]
        for _ in range(3):
            for loop in loops:
                loop.read()
                loop()
                loop.write()


def test_two_optimizers_of_two_parts_that_share_nothing():
    model = net()
    parts = {"a/": optimizers.SGD(0.1), "b/": optimizers.Adam(0.01)}
    for optimizer in parts.values():
        optimizer.build(model.trainable_variables)
    with silent(), contextlib.ExitStack() as stack:
        for optimizer in parts.values():
            stack.enter_context(kerasreg.proximal(model, optimizer))
        for only, optimizer in parts.items():
            loop = Loop(model, optimizer, only)
            loop.read()
            loop(3)
            loop.write()


EVERY = {
    "parts": lambda: optimizers.MultiOptimizer(
        optimizers.OptimizerMap(
            optimizers.SGD(0.1), {"a/": optimizers.SGD(0.1, gradient_accumulation_steps=2)}
        )
    ),
    "accumulation": lambda: optimizers.SGD(0.1, gradient_accumulation_steps=2),
    "average": lambda: optimizers.SGD(0.1, use_ema=True),
    "scaled": lambda: optimizers.LossScaleOptimizer(optimizers.SGD(0.1), initial_scale=1.0),
}


@pytest.mark.parametrize("name", EVERY)
def test_every_update_counts(name):
    model, optimizer = net(), EVERY[name]()
    with silent(), kerasreg.proximal(model, optimizer):
        loop = Loop(model, optimizer)
        loop.read()
        loop(4)
        loop(2, size=5)
        loop.write()
    assert zeros(model) >= 0


def test_a_loop_that_restores_the_optimizer():
    """The updates of a checkpoint are none of this context."""
    model, optimizer = net(), optimizers.SGD(0.1)
    store = {}
    loop = Loop(model, optimizer)
    loop.read()
    loop(4)
    loop.write()
    optimizer.save_own_variables(store)
    fresh = optimizers.SGD(0.1)
    with silent(), kerasreg.proximal(model, fresh):
        fresh.load_own_variables(store)
        loop = Loop(model, fresh)
        loop.read()
        loop(3)
        loop.write()
    assert int(fresh.iterations) == 7


def pruned(model, optimizer, schedule, read, write, steps=6):
    with kerasreg.pruning(model, optimizer, schedule, include="a/kernel") as pruning:
        loop = Loop(model, optimizer)
        loop.read()
        for _ in range(steps):
            loop()
            loop.write(*write)
            pruning.step()
            loop.read(*read)


def test_pruning_in_a_loop_that_reads_and_writes():
    model = net()
    with silent():
        pruned(model, optimizers.Adam(0.01), schedules.OneShot(0.75, 2), (True, True), (True, True))
    assert zeros(model) == 0.75


@only_on["jax"]
def test_pruning_in_a_loop_that_does_not_read_or_write_raises():
    before = r"holds 36 weights at zero since step 2, but .* continued with the state from before"
    never = r"'adam\w*' made no update.*does not write its state back"
    changed = r"a/kernel' changed, while the optimizer 'adam\w*' made no update"
    cases = [
        ((False, False), (True, True), before),
        ((True, False), (True, True), before),
        ((False, True), (True, True), before),
        ((True, True), (False, False), never),
        ((False, False), (False, False), never),
        ((False, True), (True, False), changed),
    ]
    for read, write, message in cases:
        with error(message):
            pruned(net(), optimizers.Adam(0.01), schedules.OneShot(0.75, 2), read, write)


def test_weights_set_before_leaving_are_pruned_with_a_warning():
    model, optimizer = net(), optimizers.SGD(0.1)
    best, once = model.get_weights(), schedules.OneShot(0.75, 1)
    with (
        warning("36 pruned weights are not zero at the end of the context"),
        kerasreg.pruning(model, optimizer, once, include="a/kernel") as pruning,
    ):
        loop = Loop(model, optimizer)
        for _ in range(2):
            loop.read()
            loop()
            loop.write()
            pruning.step()
        model.set_weights(best)
    assert zeros(model) == 0.75
