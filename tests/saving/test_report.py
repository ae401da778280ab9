"""`kerasreg.size_report`: what is measured, and why something is not."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import kerasreg
from kerasreg._saving import sizes as reporting

FILES = ["model.save", "kerasreg.save", "kerasreg.save, smallest"]


@pytest.fixture
def model():
    """90 % zeros."""
    model = keras.Sequential([keras.Input((100,)), layers.Dense(200, name="dense")], name="net")
    kernel = np.zeros((100, 200), "float32")
    kernel.ravel()[::10] = np.random.default_rng(0).normal(size=2000)
    model.set_weights([kernel, np.zeros(200)])
    return model


def without_litert(monkeypatch):
    def export(*args, **kwargs):
        raise RuntimeError("no converter\nand a long trace")

    monkeypatch.setattr(keras.Model, "export", export)


def test_sizes_are_those_of_the_files(model, tmp_path, monkeypatch):
    without_litert(monkeypatch)
    report = kerasreg.size_report(model)
    model.save(tmp_path / "stock.keras")
    kerasreg.save(model, tmp_path / "packed.keras")
    kerasreg.save(model, tmp_path / "smallest.keras", smallest=True)
    for form, name in zip(FILES, ["stock", "packed", "smallest"], strict=True):
        assert report[form].bytes == (tmp_path / f"{name}.keras").stat().st_size
        assert report[form].ratio == report[form].bytes / report["model.save"].bytes
        assert report[f"{form}, gzipped"].bytes > 0
    assert report["weights"].bytes == 4 * 20200
    assert report["kerasreg.save"].ratio < 0.25


def test_a_compiled_model_has_an_optimizer(model, monkeypatch):
    without_litert(monkeypatch)
    assert "optimizer" not in kerasreg.size_report(model).sizes
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    model.fit(np.ones((2, 100)), np.ones((2, 200)), verbose=0)
    slots = model.optimizer.variables
    expected = sum(np.asarray(keras.ops.convert_to_numpy(v)).nbytes for v in slots)
    assert kerasreg.size_report(model)["optimizer"].bytes == expected


def test_bfloat16_takes_two_bytes(monkeypatch):
    without_litert(monkeypatch)
    model = keras.Sequential([keras.Input((100,)), layers.Dense(200, dtype="bfloat16")])
    assert kerasreg.size_report(model)["weights"].bytes == 2 * 20200


def test_failed_forms_are_listed_with_the_reason(model, monkeypatch):
    without_litert(monkeypatch)
    litert = kerasreg.size_report(model)["LiteRT"]
    assert (litert.bytes, litert.ratio) == (None, None)
    assert litert.reason == "RuntimeError: no converter"
    assert "LiteRT, gzipped" not in kerasreg.size_report(model).sizes


def test_without_a_stock_file_there_are_no_ratios(model, monkeypatch):
    without_litert(monkeypatch)

    def save(*args, **kwargs):
        raise NotImplementedError

    monkeypatch.setattr(model, "save", save)
    report = kerasreg.size_report(model)
    assert report["model.save"].reason == "NotImplementedError: "
    assert report["weights"].ratio is None
    assert report["weights"].bytes == 80800


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports on TensorFlow")
def test_litert(model):
    before = model.get_weights()
    litert = kerasreg.size_report(model)["LiteRT"]
    if litert.bytes is None:
        # Keras before 3.13 has no such export.
        assert tuple(map(int, keras.__version__.split(".")[:2])) < (3, 13), litert.reason
    else:
        assert 80800 < litert.bytes < 90000
    model.compile("sgd", "mse")
    for value, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, expected)
    model.fit(np.ones((2, 100)), np.ones((2, 200)), verbose=0)


def test_tables(model, monkeypatch):
    without_litert(monkeypatch)
    report = kerasreg.size_report(model)
    text = str(report).splitlines()
    assert text[0] == "Sizes of net"
    assert text[2].split() == ["form", "bytes", "of", "model.save", "note"]
    assert text[4].split()[:2] == ["weights", "80,800"]
    assert text[-1].split() == ["LiteRT", "RuntimeError:", "no", "converter"]
    markdown = report.to_markdown().splitlines()
    assert markdown[0] == "| form | bytes | of model.save | note |"
    assert markdown[-1] == "| LiteRT |  |  | RuntimeError: no converter |"
    assert len({line.count("|") for line in markdown}) == 1


def test_a_pipe_in_a_reason_does_not_break_markdown():
    sizes = {"LiteRT": reporting.Size("LiteRT", None, None, "a|b")}
    assert reporting.SizeReport("net", sizes).to_markdown().endswith(r"a\|b |")


def test_brackets_in_a_reason_are_no_markup():
    sizes = {"LiteRT": reporting.Size("LiteRT", None, None, "pip install x[bold]")}
    assert "x[bold]" in str(reporting.SizeReport("net", sizes))


def test_to_dict_is_json(model, monkeypatch):
    without_litert(monkeypatch)
    found = json.loads(json.dumps(kerasreg.size_report(model).to_dict()))
    assert found["model"] == "net"
    assert found["sizes"]["weights"]["bytes"] == 80800


def test_unbuilt():
    with pytest.raises(ValueError, match=r"`kerasreg.size_report` needs a built Keras model"):
        kerasreg.size_report(keras.Sequential([layers.Dense(2)]))
