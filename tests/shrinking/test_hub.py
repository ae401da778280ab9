"""`shrink` of backbones of keras-hub. Run: `make test-hub`."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasreg

hub = pytest.importorskip("keras_hub")
# A warning of keras-hub when it builds T5.
pytestmark = pytest.mark.filterwarnings("ignore:Layer '.*' .*mask:UserWarning")

TEXT = {"vocabulary_size": 50, "num_layers": 2, "hidden_dim": 16, "intermediate_dim": 24}
HEADS = {"num_heads": 4}
GROUPED = {"num_query_heads": 4, "num_key_value_heads": 2}
IMAGES = {"image_shape": (32, 32, 3)}
#: The config, and attributes of the first block after half of the units were removed.
BACKBONES = {
    "BertBackbone": (TEXT | HEADS, {"intermediate_dim": 12}),
    "GPT2Backbone": (TEXT | HEADS, {"intermediate_dim": 12}),
    "WhisperBackbone": (TEXT | HEADS, {"intermediate_dim": 12}),
    "T5Backbone": (TEXT | HEADS, {"self_attention.num_heads": 2}),
    "GemmaBackbone": (
        TEXT | GROUPED | {"head_dim": 8},
        {"intermediate_dim": 12, "num_query_heads": 2, "num_key_value_heads": 1, "head_dim": 8},
    ),
    "MistralBackbone": (TEXT | GROUPED, {"intermediate_dim": 12, "num_query_heads": 4}),
    "QwenBackbone": (TEXT | GROUPED, {"intermediate_dim": 12, "num_query_heads": 4}),
    "ViTBackbone": (
        IMAGES
        | {"patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 24},
        {"mlp_dim": 12},
    ),
    "ResNetBackbone": (
        IMAGES
        | {
            "input_conv_filters": [64],
            "input_conv_kernel_sizes": [3],
            "stackwise_num_filters": [64, 128],
            "stackwise_num_blocks": [2, 2],
            "stackwise_num_strides": [1, 2],
            "block_type": "basic_block",
        },
        {},
    ),
}


def backbone(name, **changes):
    rng = np.random.default_rng(0)
    model = getattr(hub.models, name)(**BACKBONES[name][0], **changes)
    for variable in model.trainable_variables:
        variable.assign(0.5 * rng.normal(size=variable.shape))
    return model


def inputs_of(model, samples=3, length=7):
    rng = np.random.default_rng(1)

    def make(tensor):
        shape = [samples, *(length if size is None else size for size in tensor.shape[1:])]
        if keras.backend.is_float_dtype(tensor.dtype):
            return rng.normal(size=shape).astype("float32")
        if "mask" in tensor.name:
            return (np.arange(length) < [[length], [length - 2], [1]]).astype(tensor.dtype)
        return rng.integers(0, 2 if "segment" in tensor.name else 50, shape).astype(tensor.dtype)

    return keras.tree.map_structure(make, model.input)


def blocks_of(model):
    """Returns the blocks whose attributes `BACKBONES` lists."""
    blocks = ("Encoder", "DecoderBlock", "TransformerDecoder", "TransformerLayer")
    return [each for each in model.layers if type(each).__name__.endswith(blocks)]


@pytest.mark.parametrize("side", ["producers", "consumers", "weights"])
@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_loses_half_of_all_units(name, side):
    model = backbone(name)
    inputs, left = inputs_of(model), model.count_params()
    for group in kerasreg.coupled_groups(model):
        units = np.random.default_rng(2).permutation(group.units)[: group.units // 2]
        for member in getattr(group, side):
            value = np.array(ops.convert_to_numpy(member.variable))
            member.variable.assign(np.where(member.mask(units), 0, value))
    small, report = kerasreg.shrink(model)
    assert small.count_params() == report.parameters_after < left
    for attribute, expected in BACKBONES[name][1].items():
        found = blocks_of(small)[0]
        for part in attribute.split("."):
            found = getattr(found, part)
        assert found == expected, attribute
    expected, found = (keras.tree.flatten(each(inputs)) for each in (model, small))
    for old, new in zip(expected, found, strict=True):
        old, new = (ops.convert_to_numpy(each) for each in (old, new))
        np.testing.assert_allclose(new, old, atol=2e-5 * np.abs(old).max())
    if name != "ResNetBackbone":
        assert any("its number of features, and" in each for each in report.unknown)


def test_a_query_head_is_removed_where_all_share_one_key_head():
    config = BACKBONES["GemmaBackbone"][0] | {"num_key_value_heads": 1}
    model = hub.models.GemmaBackbone(**config)
    kernel = blocks_of(model)[0].attention.output_dense.kernel
    value = np.array(ops.convert_to_numpy(kernel))
    value[1] = 0
    kernel.assign(value)
    small, _ = kerasreg.shrink(model)
    block = blocks_of(small)[0]
    assert (block.num_query_heads, block.num_key_value_heads) == (3, 1)


def test_a_t5_head_is_removed_only_where_it_is_dead_in_all_blocks_of_a_stack():
    model = backbone("T5Backbone")
    first, second, *_ = blocks_of(model)
    for block, heads in ((first, [0, 1]), (second, [1, 2])):
        kernel = block.self_attention.output_projector.kernel
        value = np.array(ops.convert_to_numpy(kernel)).reshape(4, -1, 16)
        value[heads] = 0
        kernel.assign(value.reshape(kernel.shape))
    small, _ = kerasreg.shrink(model)
    heads = [each.self_attention.num_heads for each in blocks_of(small)]
    assert heads == [3, 3, 4, 4]
