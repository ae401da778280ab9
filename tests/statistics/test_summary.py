"""The table says what `statistics` found, in any terminal."""

import re

import keras
import numpy as np
import pytest
from keras import layers

import kerasreg


def small(kernel=((3.0, 0.0), (-4.0, 0.0)), **kwargs):
    kernel = np.asarray(kernel, "float32")
    layer = layers.Dense(kernel.shape[1], name="dense", **kwargs)
    model = keras.Sequential([keras.Input(kernel.shape[:1]), layer], name="net")
    model.set_weights([kernel, np.zeros(kernel.shape[1])])
    return model


def printed(model, **kwargs):
    """What `print_fn` gets."""
    texts = []
    kerasreg.summary(model, print_fn=texts.append, **kwargs)
    (text,) = texts
    return text


def cells(text):
    """`{first cell: the other cells}`."""
    rows = [line.split("  ") for line in text.splitlines()]
    rows = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    return {row[0]: row[1:] for row in rows if row}


@pytest.fixture
def terminal(monkeypatch):
    """Makes summary print to a colour terminal of this many columns."""

    def set_width(columns):
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", str(columns))

    monkeypatch.delenv("NO_COLOR", raising=False)
    return set_width


def test_the_numbers():
    found = cells(printed(small()))
    header = ["shape", "weights", "zeros", "sparsity", "dead units", "dead inputs"]
    assert found["variable"] == [*header, "L1", "L2", "max"]
    numbers = ["2x2", "4", "2", "50.0%", "1 of 2", "0 of 2", "7", "5", "4"]
    assert found["net/dense/kernel"] == numbers
    assert found["net/dense/bias"] == ["2", "2", "2", "100.0%", "0", "0", "0"]
    assert found["total"] == ["6", "4", "66.7%", *numbers[4:]]


def test_the_title_names_the_model():
    assert printed(small()).splitlines()[0] == "Weights of net"


def test_regularized_variables_have_a_star_and_a_penalty():
    text = printed(small(kernel_regularizer=keras.regularizers.L1(0.1)))
    assert cells(text)["net/dense/kernel *"][-1] == "0.7"
    assert text.splitlines()[-1] == "* has a regularizer"


def test_a_penalty_of_zero_is_shown():
    text = printed(small(np.zeros((2, 2)), kernel_regularizer="l1"))
    assert cells(text)["net/dense/kernel *"][-1] == "0"


def test_nan_weights_get_a_column():
    found = cells(printed(small([[np.nan, np.inf]])))
    assert found["variable"][-1] == "NaN/inf"
    assert found["net/dense/kernel"][-4:] == ["nan", "nan", "nan", "2"]


def test_an_unknown_layer_gets_a_question_mark():
    class Unknown(layers.Layer):
        def build(self, shape):
            self.matrix = self.add_weight(shape=(2, 2), name="matrix")

        def call(self, x):
            return x

    text = printed(keras.Sequential([keras.Input((2,)), Unknown()], name="net"))
    assert cells(text)["net/unknown/matrix"][4:6] == ["?", "?"]
    assert text.splitlines()[-1] == "? unknown kind of layer"


def test_the_bias_of_a_known_layer_gets_none():
    assert "?" not in printed(keras.Sequential([keras.Input((4, 2)), layers.GRU(3)]))


@pytest.mark.parametrize(("zeros", "shown"), [(0, "0.0%"), (1, "<0.1%"), (9999, ">99.9%")])
def test_only_exact_zero_and_one_are_shown_as_such(zeros, shown):
    kernel = np.ones(10_000)
    kernel[:zeros] = 0
    assert shown in cells(printed(small(kernel[:, None])))["net/dense/kernel"]


def test_include():
    found = cells(printed(small(), include="bias"))
    assert "net/dense/kernel" not in found
    assert found["total"][0] == "2"


def test_statistics_are_taken_as_they_are():
    model = small()
    numbers = kerasreg.statistics(model)
    model.set_weights([np.ones((2, 2)), np.ones(2)])
    assert cells(printed(numbers))["total"][1] == "4"


def test_print_fn_gets_plain_text(terminal):
    terminal(40)
    text = printed(small())
    assert "\x1b" not in text
    assert len(cells(text)["variable"]) == 9


def test_a_terminal_gets_colours(terminal, capsys):
    terminal(120)
    kerasreg.summary(small([[np.nan]]))
    assert "\x1b[31m" in capsys.readouterr().out


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 100])
def test_a_narrow_terminal_cuts_no_number(terminal, capsys, columns):
    terminal(columns)
    kerasreg.summary(small(np.eye(100), kernel_regularizer="l1"))
    text = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, text.splitlines())) <= columns
    assert "99.0%" in text
    assert "…" not in text


def test_a_narrow_terminal_names_what_it_drops(terminal, capsys):
    terminal(75)
    kerasreg.summary(small())
    assert "no room for L1, dead inputs" in capsys.readouterr().out


def test_without_a_terminal_nothing_is_dropped(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    kerasreg.summary(small())
    assert len(cells(capsys.readouterr().out)["variable"]) == 9


def test_a_name_with_brackets_is_a_name():
    layer = layers.Dense(1, name="[bold]:smile:")
    assert "[bold]:smile:/kernel" in printed(keras.Sequential([keras.Input((1,)), layer]))
