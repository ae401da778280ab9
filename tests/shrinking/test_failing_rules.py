"""A rule that raises does not stop `shrink`: units stay, and the report has the error."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from shrinkable import dense, kill, randomize

import kerasreg
from kerasreg._graph.rules import Rule


class Own(layers.Layer):
    """A user-defined layer between two layers that shrink."""

    def call(self, x):
        return 2 * x


class Fails(Rule):
    """A user-defined rule that raises in one of its methods."""

    where = "label"

    def label(self, call, analysis):
        self._raise("label")
        call.outputs[0].labels = dict(call.inputs[0].labels)

    def constants(self, call, analysis):
        self._raise("constants")
        call.outputs[0].constants = {k: 2 * v for k, v in call.inputs[0].constants.items()}

    def readers(self, call, analysis):
        self._raise("readers")
        return []

    def config(self, call, kept):
        self._raise("config")
        return {}

    def arguments(self, call, args, kwargs, kept):
        self._raise("arguments")
        return args, kwargs

    def scales(self, call, kept):
        self._raise("scales")
        return []

    def finish(self, layer, new):
        self._raise("finish")

    def _raise(self, name):
        if name == self.where:
            raise KeyError(f"in {name}")


def _model(own=Own):
    x = keras.Input((6,))
    y = own(name="own")(layers.Dense(8, name="a")(x))
    y = layers.Dense(5, "relu", name="b")(y)
    model = randomize(keras.Model(x, layers.Dense(2, name="c")(y)))
    kill(model, "a", 4)
    kill(model, "b", 2)
    return model


PLACES = ["label", "constants", "readers", "config", "arguments", "scales", "finish"]


def test_units_before_a_layer_whose_rule_raises_stay_and_are_reported(monkeypatch):
    kerasreg.shrinking.rule_for(Own)(Fails)
    for where in [*PLACES, "nowhere"]:
        monkeypatch.setattr(Fails, "where", where)
        model = _model()
        small, report = kerasreg.shrink(model)
        units = [small.get_layer(name).units for name in "abc"]
        groups = kerasreg.coupled_groups(model)
        smaller, _ = kerasreg.shrink_to(model, params=0.9)
        assert smaller.count_params() <= 0.9 * model.count_params()
        if where == "nowhere":
            assert units == [4, 3, 2]
            continue
        assert units == [8, 3, 2], where
        reason = f"the rule of 'own' (Own) raised KeyError: 'in {where}'"
        assert report.pinned[reason] == 8
        if where in ("label", "constants", "readers"):
            assert groups.pinned["a/kernel"] == reason
    kerasreg.prune(_model(), 0.5, pattern="coupled")


class Fixed(layers.Layer):
    """A user-defined layer that accepts 8 features only."""

    def call(self, x):
        if x.shape[-1] != 8:
            raise ValueError("eight, please")
        return x + 1.0


def test_units_before_a_layer_that_rejects_fewer_features_stay_and_are_reported():
    kerasreg.shrinking.rule_for(Fixed)(kerasreg.shrinking.Elementwise)
    small, report = kerasreg.shrink(_model(Fixed))
    assert [small.get_layer(name).units for name in "abc"] == [8, 3, 2]
    assert any("eight, please" in reason for reason in report.pinned), report.pinned


class Misleading(Rule):
    """A wrong rule: it gives the outputs the labels of the inputs."""

    def label(self, call, analysis):
        call.outputs[0].labels = dict(call.inputs[0].labels)

    def constants(self, call, analysis):
        call.outputs[0].constants = dict(call.inputs[0].constants)


class Widened(layers.Layer):
    """A user-defined layer that always returns 8 features."""

    def call(self, x):
        return ops.concatenate([x, ops.zeros((ops.shape(x)[0], 8 - x.shape[-1]))], axis=-1)


def test_a_layer_that_fails_after_a_wrong_rule_pins_the_units_before_it():
    kerasreg.shrinking.rule_for(Widened)(Misleading)
    small, report = kerasreg.shrink(_model(Widened))
    assert [small.get_layer(name).units for name in "abc"] == [8, 5, 2] or [
        small.get_layer(name).units for name in "abc"
    ] == [8, 3, 2]
    assert any("'b' (Dense) raised" in reason for reason in report.pinned)


def test_a_cost_that_raises_is_reported_as_uncounted():
    @kerasreg._shrinking.costs.cost_of(Own)
    def cost(call, shape):
        raise RuntimeError("no idea")

    kerasreg.shrinking.rule_for(Own)(kerasreg.shrinking.Elementwise)
    model = _model()
    assert kerasreg.flops(model) is None
    small, report = kerasreg.shrink(model)
    assert small.get_layer("a").units == 4
    assert report.uncounted == ["the cost of 'own' (Own) raised RuntimeError: no idea"]
    with pytest.raises(ValueError, match="raised RuntimeError: no idea"):
        kerasreg.shrink_to(model, flops=0.5)


class Twice(keras.Model):
    """A Functional model whose `call` computes more than its graph."""

    def call(self, x, training=None):
        return 2 * super().call(x)


def test_a_nested_model_that_overrides_call_has_no_rule():
    x = keras.Input((6,))
    inner = Twice(x, layers.Dense(8, name="a")(x), name="inner")
    z = keras.Input((6,))
    y = layers.Dense(5, name="b")(inner(z))
    model = randomize(keras.Model(z, layers.Dense(2, name="c")(y)))
    kill(model, "b", 2)
    small, report = kerasreg.shrink(model)
    assert small.get_layer("b").units == 3
    assert any("'inner' (Twice) has no rule" in reason for reason in report.unknown)
    data = np.ones((2, 6), "float32")
    np.testing.assert_allclose(*(ops.convert_to_numpy(m(data)) for m in (model, small)), atol=1e-5)
    with pytest.raises(ValueError, match="'inner', a Twice, which has its own `call`"):
        kerasreg.shrink(inner)


def test_units_before_an_activation_that_halves_them_stay():
    x = keras.Input((6,))
    model = keras.Model(x, layers.Dense(8, "glu", name="a")(x))
    small, report = kerasreg.shrink(model)
    assert small.count_params() == model.count_params()
    assert report.difference == 0


@pytest.mark.parametrize("shape", [5, 5.0, "5", [None], object()])
def test_invalid_input_shapes_are_rejected(shape):
    for function in (kerasreg.shrink, kerasreg.flops, kerasreg.compare_latency):
        arguments = (dense(),) * (2 if function is kerasreg.compare_latency else 1)
        with pytest.raises(
            ValueError, match=r"`input_shape` must (fit|be).*[Rr]eceived.*input_shape="
        ):
            function(*arguments, input_shape=shape)


@pytest.mark.parametrize("budget", ["params", "flops"])
def test_a_share_of_less_than_one_is_rejected(budget):
    total = {"params": 119, "flops": 235}[budget]
    model = dense()
    assert total in (model.count_params(), kerasreg.flops(model))
    with pytest.raises(ValueError, match=rf"Received: {budget}=0.001, which is 0 of {total}"):
        kerasreg.shrink_to(model, **{budget: 0.001})
