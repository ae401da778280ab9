"""What is written is read back, whoever opened the file."""

from pathlib import Path

import keras
import needs
import numpy as np
import pytest
from event_files import event_files, read
from tensorboard.backend.event_processing import event_multiplexer, plugin_event_accumulator

from kerasreg._report.events import ScalarWriter, shared_callback


def test_round_trip(tmp_path):
    writer = ScalarWriter(tmp_path / "run")
    writer.write({"a/b": 0.5, "c": 7}, step=0)
    writer.write({"a/b": 1.5, "d": -2}, step=3)
    writer.close()
    assert read(tmp_path / "run") == {"a/b": [(0, 0.5), (3, 1.5)], "c": [(0, 7)], "d": [(3, -2)]}


def test_values_are_float32(tmp_path):
    writer = ScalarWriter(tmp_path)
    writer.write({"third": 1 / 3, "count": 2**24 + 1}, step=0)
    expected = {"third": [(0, np.float32(1 / 3))], "count": [(0, 2.0**24)]}
    assert read(tmp_path) == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_a_number_is_written_as_such(tmp_path, bad):
    ScalarWriter(tmp_path).write({"a": bad}, step=0)
    np.testing.assert_array_equal(read(tmp_path)["a"], [(0, bad)])


def test_written_scalars_can_be_read_at_once(tmp_path):
    writer = ScalarWriter(tmp_path)
    writer.write({"a": 1}, step=0)
    assert read(tmp_path) == {"a": [(0, 1)]}


def test_the_scalar_plugin_knows_the_tags(tmp_path):
    ScalarWriter(tmp_path).write({"a": 1}, step=0)
    events = plugin_event_accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert events.SummaryMetadata("a").plugin_data.plugin_name == "scalars"


def test_the_multiplexer_finds_the_run(tmp_path):
    ScalarWriter(tmp_path / "one" / "train").write({"a": 1}, step=5)
    multiplexer = event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(tmp_path))
    (event,) = multiplexer.Reload().Scalars("one/train", "a")
    assert (event.step, event.value) == (5, 1)


def test_no_file_before_the_first_number(tmp_path):
    ScalarWriter(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"`log_dir` must be.*Received: .*file/run.*Not a dir"):
        ScalarWriter(tmp_path / "file" / "run")


@needs.TENSORFLOW
def test_into_the_file_of_the_stock_callback(tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    stock = keras.callbacks.TensorBoard(tmp_path, write_graph=False)
    stock.set_model(model)
    ScalarWriter(tmp_path / "train", stock).write({"a": 1}, step=4)
    assert len(event_files(tmp_path / "train")) == 1
    assert read(tmp_path / "train") == {"a": [(4, 1)]}


def test_the_stock_callback_of_a_folder():
    first, second = keras.callbacks.TensorBoard("a"), keras.callbacks.TensorBoard("./b/")
    callbacks = [keras.callbacks.History(), first, second]
    assert shared_callback(callbacks) is first
    assert shared_callback(callbacks, "b") is second
    assert shared_callback(callbacks, Path("b").absolute()) is second
    assert shared_callback(callbacks, "c") is None
