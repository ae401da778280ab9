"""Wrong rules, each with a model whose outputs it changes."""

import keras
import numpy as np
import shrinkable
from keras import layers, ops
from precision import WIDEST
from shrinkable import kill, randomize

from kerasreg._graph.labels import Labels
from kerasreg._graph.rules import (
    attention,
    base,
    convolutions,
    dot_attention,
    elementwise,
    joins,
    kernels,
    movement,
    normalization,
    recurrent,
    space,
)
from kerasreg._graph.tracing import Tensor
from kerasreg._shrinking import dead
from kerasreg._shrinking.rebuild import Kept, Rebuild

MUTANTS = []


def mutant(make, is_tiny=False):
    """Registers a function that installs a wrong rule, with a function that builds a model.

    An error close to rounding (`is_tiny`) is found in float64 only.
    """

    def register(plant):
        if WIDEST == "float64" or not is_tiny:
            MUTANTS.append((plant, make))
        return plant

    return register


def _ended(x, y):
    return randomize(keras.Model(x, layers.Dense(3, name="end")(y)))


# Units whose output is constant.


@mutant(shrinkable.constant)
def a_constant_is_dropped(patch):
    patch(dead, "_biases", lambda views, gone: {})


@mutant(shrinkable.carrier)
def no_unit_carries_the_removed_constants(patch):
    patch(dead, "_carried", lambda views, gone: {})


@mutant(shrinkable.carrier)
def zero_padding_of_a_convolution_is_ignored(patch):
    patch(convolutions._Conv, "is_uniform", lambda self, layer: True)


@mutant(shrinkable.causal)
def causal_padding_is_ignored(patch):
    patch(convolutions._Conv, "is_uniform", lambda self, layer: layer.padding != "same")


@mutant(shrinkable.padded)
def zero_padding_before_a_convolution_is_ignored(patch):
    patch(Tensor, "padding", property(lambda self: None, lambda self, value: None))


def _transposed():
    x = keras.Input((5, 5, 3))
    y = layers.Conv2DTranspose(8, 3, activation="sigmoid", name="a")(x)
    model = randomize(keras.Model(x, layers.Conv2DTranspose(4, 3, name="b")(y)))
    kill(model, "a", 4, axis=-2, bias=False)
    return model


@mutant(_transposed)
def padding_of_a_transposed_convolution_is_ignored(patch):
    patch(convolutions._ConvTranspose, "is_uniform", lambda self, layer: True)


@mutant(shrinkable.without_bias)
def an_activation_is_ignored(patch):
    patch(kernels, "apply_to", lambda function, constants: constants)


@mutant(shrinkable.carrier)
def a_moving_mean_is_ignored(patch):
    def affine(self, layer, tensor):
        scale = base.numpy(layer.gamma) / np.sqrt(base.numpy(layer.moving_variance) + layer.epsilon)
        return tensor.rank - 1, scale, base.numpy(layer.beta)

    patch(normalization._BatchNormalization, "affine", affine)


@mutant(shrinkable.folded, is_tiny=True)
def the_epsilon_of_a_normalization_is_ignored(patch):
    def affine(self, layer, tensor):
        scale = base.numpy(layer.gamma) / np.sqrt(base.numpy(layer.moving_variance))
        shift = base.numpy(layer.beta) - base.numpy(layer.moving_mean) * scale
        return tensor.rank - 1, scale, shift

    patch(normalization._BatchNormalization, "affine", affine)


def _sloped():
    x = keras.Input((6,))
    model = _ended(x, layers.PReLU()(layers.Dense(8, name="a")(x)))
    kill(model, "a", 4, bias=False)
    model.get_layer("a").bias.assign(-np.ones(8))
    return model


@mutant(_sloped)
def the_slope_of_a_prelu_is_ignored(patch):
    def constants(self, call, analysis):
        call.outputs[0].constants = dict(call.inputs[0].constants)

    patch(elementwise._PReLU, "constants", constants)


def _added():
    x = keras.Input((6,))
    model = _ended(x, layers.Add()([layers.Dense(8, name=name)(x) for name in "ab"]))
    kill(model, "a", 4)
    kill(model, "b", 2)
    return model


@mutant(_added)
def a_sum_is_zero_where_one_branch_is_zero(patch):
    patch(elementwise, "_MULTIPLIES", ("Multiply", "Add"))


def _called_twice():
    inputs = [keras.Input((4,)), keras.Input((4,))]
    shared = layers.Dense(3, name="shared")
    ends = [layers.Dense(6, name=f"a{i}")(x) for i, x in enumerate(inputs)]
    model = randomize(keras.Model(inputs, [shared(each) for each in ends]))
    for name in ("a0", "a1"):
        kill(model, name, 3, bias=False)
    return model


@mutant(_called_twice)
def calls_of_a_shared_layer_need_not_agree(patch):
    patch(dead, "_require_agreement", lambda views: None)


def _embedded(mask_zero=False):
    x = keras.Input((5,), dtype="int32")
    y = layers.Embedding(9, 6, mask_zero=mask_zero, name="table")(x)
    model = _ended(x, y)
    table = model.get_layer("table").embeddings
    table.assign(np.where(np.arange(9)[:, None] + np.arange(6) < 4, 0, ops.convert_to_numpy(table)))
    return model


@mutant(_embedded)
def only_the_first_rows_of_an_embedding_are_checked(patch):
    def constants(self, call, analysis):
        table = base.numpy(call.operation.embeddings)[:2]
        constants = np.where((table == 0).all(axis=0), 0.0, np.nan)
        call.outputs[0].constants[call.outputs[0].rank - 1] = constants

    patch(kernels._Embedding, "constants", constants)


def _rarely_active():
    """Units that only large inputs activate."""
    x = keras.Input((6,))
    model = _ended(x, layers.Dense(8, "relu", name="a")(x))
    model.get_layer("a").bias.assign(np.where(np.arange(8) < 3, -40.0, 0.5))
    return model


@mutant(_rarely_active)
def a_rarely_active_unit_is_dead(patch):
    constants = kernels.Kernel.constants

    def wrong(self, call, analysis):
        constants(self, call, analysis)
        found = call.outputs[0].constants[call.outputs[0].rank - 1]
        found[base.numpy(call.operation.bias) < -20] = 0.0

    patch(kernels.Kernel, "constants", wrong)


def _equal():
    """Units that are 1 where two inputs are equal, and 0 elsewhere."""
    inputs = [keras.Input((6,)), keras.Input((6,))]
    y = ops.equal(*[layers.Dense(6, name=name)(x) for name, x in zip("ab", inputs, strict=True)])
    model = _ended(inputs, ops.cast(y, "float32"))
    for name in "ab":
        model.get_layer(name).set_weights([np.eye(6), np.zeros(6)])
    return model


@mutant(_equal)
def two_tensors_are_equal_nowhere(patch):
    own = elementwise._Broadcast._constants

    def constants(self, axis, call, output):
        is_equal = type(call.operation).__name__ == "Equal"
        return np.zeros(6) if is_equal else own(self, axis, call, output)

    patch(elementwise._Broadcast, "_constants", constants)


@mutant(shrinkable.dense)
def no_unit_is_used(patch):
    patch(dead._View, "read", lambda self, gone: np.zeros(len(self.constants), bool))


# Masks.


def _masked(join, by_table=False):
    def make():
        x = keras.Input((5,), dtype="int32") if by_table else keras.Input((5, 4))
        masked = layers.Embedding(9, 4, mask_zero=True)(x) if by_table else layers.Masking()(x)
        y, z = (layers.Dense(6, name=name)(masked) for name in "ab")
        z = keras.ops.tanh(z) if by_table else z
        return _with_constants(_ended(x, join(y, z)))

    return make


def _with_constants(model):
    """Makes units of `a` and `b` constant; which of the two is larger alternates."""
    for name, sign in (("a", 1), ("b", -1)):
        kill(model, name, 3, bias=False)
        model.get_layer(name).bias.assign(sign * np.array([1, -1, 1, -1, 1, -1]))
    for layer in model.layers:
        if isinstance(layer, layers.MultiHeadAttention):
            shrinkable.zero_units(layer._value_dense, 2, ["kernel"])
            shrinkable.zero_units(layer._query_dense, 2, ["kernel", "bias"])
    return model


def _mask_of_a_layer_output():
    """A mask that depends on the output of a layer: no input masks a step for certain."""
    x = keras.Input((5, 4))
    y = layers.Masking(0.5)(layers.Dense(4, name="before")(x))
    y = layers.Maximum()([layers.Dense(6, name="a")(y), layers.Dense(6, name="b")(x)])
    return _with_constants(_ended(x, y))


@mutant(_masked(lambda y, z: layers.Maximum()([y, ops.tanh(z) + 0.5])))
@mutant(_masked(lambda y, z: layers.Multiply()([y, z])))
@mutant(_masked(lambda y, z: layers.Multiply()([y, z]), by_table=True))
@mutant(_masked(lambda y, z: layers.Maximum()([z, y]), by_table=True))
@mutant(_masked(lambda y, z: layers.Minimum()([y, z]), by_table=True))
@mutant(_mask_of_a_layer_output)
def masks_of_merged_tensors_are_ignored(patch):
    patch(elementwise, "_LOOK_AT_MASKS", ())


@mutant(_masked(lambda y, z: layers.Attention()([z, y])))
@mutant(_masked(lambda y, z: layers.Attention()([y, z, y]), by_table=True))
@mutant(_masked(lambda y, z: layers.MultiHeadAttention(2, 3, dropout=0.1)(y, z)))
def masks_of_attention_are_ignored(patch):
    for module in (attention, dot_attention):
        patch(module, "is_masked", lambda call, features: False)


# Scales.


def _smaller_heads():
    """Queries and values of a smaller size: on JAX, keys and values must have the same size."""
    layer = layers.MultiHeadAttention(2, 6, name="attention")
    model = shrinkable._attend(layer)
    for dense in (layer._query_dense, layer._value_dense):
        shrinkable.zero_units(dense, 2, ["kernel", "bias"])
    return model


def _smaller_heads_of_constants():
    model = _smaller_heads()
    kill(model, "before", 3, bias=False)
    return model


@mutant(_smaller_heads)
def attention_scores_are_not_rescaled(patch):
    patch(attention, "_rescaled", lambda dense, before, after: [])


@mutant(_smaller_heads_of_constants)
def a_new_bias_is_not_rescaled(patch):
    patch(Rebuild, "_scale_of_bias", lambda self, layer, name, place: 1.0)


@mutant(shrinkable.rms_norm)
def the_scale_of_rms_normalization_is_not_corrected(patch):
    patch(normalization._RMSNormalization, "scales", lambda self, call, kept: [])


@mutant(shrinkable.rms_norm, is_tiny=True)
def the_epsilon_of_rms_normalization_is_not_corrected(patch):
    patch(normalization._RMSNormalization, "config", lambda self, call, kept: {})


@mutant(shrinkable.group_norm)
def the_number_of_normalization_groups_stays(patch):
    patch(normalization._GroupNormalization, "config", lambda self, call, kept: {})


def _centred():
    x = keras.Input((6,))
    y = layers.LayerNormalization(center=False, scale=False)(layers.Dense(8, name="a")(x))
    model = _ended(x, y)
    kill(model, "a", 4)
    return model


@mutant(_centred)
def zeros_do_not_change_the_mean_of_layer_normalization(patch):
    patch.rule(layers.LayerNormalization, normalization._UnitNormalization())


@mutant(shrinkable.softmax)
def softmax_is_elementwise(patch):
    patch(kernels, "is_elementwise", lambda function: True)


# Which units, axes and heads belong together.


@mutant(shrinkable.producer_dead)
def the_first_units_are_kept_instead_of_the_living_ones(patch):
    def mask(self, labels):
        stays = ~self._gone[labels]
        return np.arange(len(stays)) < stays.sum() if stays.ndim == 1 else stays

    patch(Kept, "mask", mask)


@mutant(shrinkable.concatenated)
def concatenated_units_are_reversed(patch):
    label = joins._Concatenate.label

    def reverse(self, call, analysis):
        label(self, call, analysis)
        call.outputs[0].labels = {k: v[::-1] for k, v in call.outputs[0].labels.items()}

    patch(joins._Concatenate, "label", reverse)


def _heads():
    x = keras.Input((5, 8))
    layer = layers.GroupQueryAttention(4, 6, 3)
    model = randomize(keras.Model(x, layer(x, x)))
    kernel = np.array(ops.convert_to_numpy(layer._output_dense.kernel))
    kernel[[0, 3]] = 0
    layer._output_dense.kernel.assign(kernel)
    return model


@mutant(_heads)
def heads_are_mixed_up(patch):
    own = attention._GroupQueryAttention.new_labels

    def new_labels(self, layer, analysis):
        labels = own(self, layer, analysis)
        return {**labels, "heads": np.tile(labels["groups"], layer.num_repeats)}

    patch(attention._GroupQueryAttention, "new_labels", new_labels)


def _constants_of_attention():
    x = keras.Input((5, 6))
    y = layers.Dense(8, name="a")(x)
    model = _ended(x, layers.MultiHeadAttention(2, 4, name="attention")(y, y))
    kill(model, "a", 3, bias=False)
    return model


@mutant(_constants_of_attention)
def constants_go_into_the_bias_of_another_projection(patch):
    patch(attention, "_place", lambda layer, dense: 0)


@mutant(shrinkable.attention_without_projections)
def queries_and_keys_are_not_used(patch):
    patch(dot_attention._Attention, "readers", lambda self, call, analysis: [])


def _forgetful(gate):
    def make():
        x = keras.Input((5, 4))
        layer = layers.LSTM(6, name="rnn")
        model = _ended(x, layer(x))
        shrinkable._zero_candidate(layer, 3, 4, gate)
        return model

    return make


@mutant(_forgetful(1))
def the_gates_of_an_lstm_are_in_another_order(patch):
    patch(recurrent, "CANDIDATES", {**recurrent.CANDIDATES, 4: 1})


class _Numpy:
    """NumPy with some functions replaced."""

    def __init__(self, **functions):
        self._functions = functions

    def __getattr__(self, name):
        return self._functions.get(name) or getattr(np, name)


@mutant(_forgetful(2))
def columns_of_gates_are_interleaved(patch):
    patch(recurrent, "np", _Numpy(tile=np.repeat))


def _flattened():
    model, _ = shrinkable.flattened()
    return model


@mutant(_flattened)
def a_flattened_axis_is_reversed(patch):
    own = movement.moves_of

    def moves_of(call, axis, size):
        moves, step = own(call, axis, size), -1 if isinstance(call.operation, layers.Flatten) else 1
        return [(target, places[:, ::step]) for target, places in moves]

    patch(movement, "moves_of", moves_of)
    patch(movement, "follows", lambda call, axis, size, moves: True)


def _cut(cut):
    def make():
        x = keras.Input((4, 6))
        model = _ended(x, cut(layers.Dense(8, name="a")(x)))
        kill(model, "a", 2)
        return model

    return make


@mutant(_cut(lambda y: ops.concatenate([y[..., 2:5], layers.Dense(4)(y)], axis=-1)))
def the_start_of_a_slice_is_not_adjusted(patch):
    patch(movement._GetItem, "arguments", lambda self, call, args, kwargs, kept: (args, kwargs))


def _rolled():
    x = keras.Input((6,))
    model = _ended(x, ops.roll(layers.Dense(8, name="a")(x), 3, axis=-1))
    alive = np.isin(np.arange(8), [1, 6], invert=True)
    for each in model.get_layer("a").weights:
        each.assign(ops.convert_to_numpy(each) * alive)
    return model


@mutant(_rolled)
def a_roll_is_the_same_for_fewer_units(patch):
    patch(movement, "follows", lambda call, axis, size, moves: True)


@mutant(shrinkable.producer_dead)
def units_of_the_model_output_can_be_removed(patch):
    patch(Labels, "pin", lambda self, labels, reason: None)


@mutant(shrinkable.convolutions)
def height_and_width_are_mixed_up(patch):
    own = Rebuild._value

    def value(self, variable):
        found = own(self, variable)
        return np.swapaxes(found, 0, 1) if found.ndim == 4 else found

    patch(Rebuild, "_value", value)


def _padded_by_ops():
    x = keras.Input((6, 3))
    y = layers.Conv1D(8, 3, activation="sigmoid", name="a")(x)
    model = _ended(x, ops.pad(y, [[0, 0], [1, 1], [0, 0]]))
    kill(model, "a", 4, bias=False)
    return model


@mutant(_padded_by_ops)
def padding_has_the_value_of_the_constants(patch):
    def constants(self, call, analysis):
        for axis in call.outputs[0].labels:
            call.outputs[0].constants[axis] = call.inputs[0].constant(axis)

    patch(space._Pad, "constants", constants)
