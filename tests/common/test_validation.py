"""Every bad argument is an error with its name, what was expected and what was received."""

import inspect
import re

import keras
import numpy as np
import pytest
from keras import layers

import kerasreg
from kerasreg import callbacks, constraints, patterns, regularizers, schedules, scores
from kerasreg._common import validation

X, Y = np.ones((2, 2), "float32"), np.ones((2, 1), "float32")
#: No numbers at all, and none that a range of ours has.
NO_NUMBERS = [True, False, np.True_, "x", "1", np.str_("1"), [], {}, 1j, object(), np.ones(2)]
NO_NUMBERS += [np.array([1]), np.array(True), float("nan"), np.float32("nan"), np.array(np.nan)]
BAD_NUMBERS = [*NO_NUMBERS, float("inf"), -float("inf"), 10**400]
BAD_INTS = [*BAD_NUMBERS[:-1], 1.5, 1.0, np.float32(1)]
BAD_EXPRESSIONS = [True, 1, "(", ["kernel"], X, b"kernel"]
BAD_CHOICES = [True, 1, "x", ["max"], X]
BAD_FLAGS = [1, 0, "x", [True], X, np.array([True])]
BAD_FUNCTIONS = [True, 1, "x", [], X]

# The bad values of one argument; None is bad unless it is the default.
KINDS = {
    "number": [*BAD_NUMBERS, -1, -1e-300, np.float32(-1), None],
    "positive": [*BAD_NUMBERS, -1, 0, 0.0, None],
    "positive or none": [*BAD_NUMBERS, -1, 0],
    "finite or none": BAD_NUMBERS,
    "share": [*BAD_NUMBERS, -1, 1.5, np.int64(2), None],
    "open share": [*BAD_NUMBERS, -1, 0, 1, 1.5, None],
    "below one": [*BAD_NUMBERS, -1, 1, None],
    "below one or none": [*BAD_NUMBERS, -1, 1],
    "count": [*BAD_INTS, -1, 0, np.int64(0), None],
    "count or none": [*BAD_INTS, -1, 0],
    "from zero or none": [*BAD_INTS, -1],
    "from zero": [*BAD_INTS, -1, None],
    "int": [*BAD_INTS, None],
    "int or none": BAD_INTS,
    "expression": BAD_EXPRESSIONS,
    "choice": [*BAD_CHOICES, None],
    "flag": [*BAD_FLAGS, None],
    "function": [*BAD_FUNCTIONS, None],
    "function or none": BAD_FUNCTIONS,
    "time": [*BAD_NUMBERS, -1, 1.5, None],
    "time or none": [*BAD_NUMBERS, -1, 1.5],
    "frequency": [*BAD_INTS, -1, 0],
    "budget": [*BAD_NUMBERS[:-1], -1, 0, 1.5],
    "axis": [*BAD_INTS, None],
    "schedule": [None, "x", True, [], X],
    "score": [None, "x", True, 1, [], X],
    "pattern": [None, "x", True, 1, [], X],
    "scope": [None, "x", True, 1, [], X, {}, {"kernel": True}, {"kernel": 2.0}, {1: 0.5}],
    "sparsities": [[True], [0.5, 0.5], ["x"], [2.0], [], [float("nan")]],
}
FACTOR = {"factor": "number"}
GATES = {"gates": "count"}
TIMES = {
    **{"begin_step": "time", "end_step": "time or none", "frequency": "frequency"},
    "unit": "choice",
}
RAMP = {"final_sparsity": "share", "initial_sparsity": "share", **TIMES}
FOUND = {"include": "expression", "exclude": "expression"}
SELECTED = {"pattern": "pattern", "score": "score", "scope": "scope", **FOUND}
SELECTED["min_units"] = "from zero"
WHEN = {"hold": "flag", "regrow_fraction": "open share"}

#: `(what is called, its other arguments, {argument: kind})`
CALLS = [
    *((getattr(regularizers, name), {}, "regularizer") for name in regularizers.__all__),
    *((getattr(constraints, name), {}, "constraint") for name in constraints.__all__),
    (patterns.NM, {"n": 2, "m": 4}, {"n": "count", "m": "count", "axis": "int or none"}),
    (patterns.Block, {"shape": (2, 2)}, {"pooling": "choice"}),
    (patterns.Coupled, {}, {"round_to": "count", "min_units": "count"}),
    (patterns.Heads, {}, {"min_units": "count"}),
    (patterns.Group, {"axis": 0}, {"axis": "axis", **GATES}),
    (scores.Random, {}, {"seed": "from zero"}),
    (scores.Taylor, {}, {"decay": "below one"}),
    (scores.SNIP, {"x": X, "y": Y}, {"batch_size": "count or none"}),
    (scores.Activation, {"x": X}, {"batch_size": "count or none"}),
    (schedules.Polynomial, {"final_sparsity": 0.5}, {**RAMP, "power": "positive"}),
    (schedules.Cosine, {"final_sparsity": 0.5}, RAMP),
    (schedules.Linear, {"final_sparsity": 0.5}, RAMP),
    (schedules.Constant, {"sparsity": 0.5}, {"sparsity": "share", **TIMES}),
    (schedules.OneShot, {"sparsity": 0.5}, {"sparsity": "share"}),
    (schedules.Function, {"function": abs}, {"function": "function", **TIMES}),
    (callbacks.CoupledGroupLasso, {}, {**FACTOR, **FOUND}),
    (
        callbacks.PenaltySchedule,
        {},
        {
            **{"warmup_steps": "from zero", "ramp_steps": "from zero"},
            **{"schedule": "function or none", "include": "expression"},
        },
    ),
    (callbacks.Pruning, {"schedule": 0.5}, {"schedule": "schedule", **SELECTED, **WHEN}),
    (
        callbacks.PruneUntil,
        {},
        {
            **{"tolerance": "number", "epochs": "count", "baseline": "finite or none"},
            **{"mode": "choice", "sparsities": "sparsities", **SELECTED},
        },
    ),
    (callbacks.SparsityLogger, {}, {"update_freq": "count", "include": "expression"}),
    (
        callbacks.ThresholdPruning,
        {"threshold": 0.1},
        {"threshold": "number", "relative": "flag", **FOUND},
    ),
    (kerasreg.prune, "model", {"sparsity": "share", **SELECTED}),
    (kerasreg.prune_below, "model", {"threshold": "number", "relative": "flag", **FOUND}),
    (
        kerasreg.pruning,
        {"model": "model", "optimizer": "optimizer", "schedule": 0.5},
        {**SELECTED, **WHEN, "steps": "from zero or none"},
    ),
    (
        kerasreg.polish,
        {"model": "model", "x": X, "y": Y},
        {
            **{"batch_size": "count or none", "epochs": "from zero", "debias_epochs": "from zero"},
            "learning_rate": "positive or none",
        },
    ),
    (kerasreg.shrink, "model", {"round_to": "count"}),
    (
        kerasreg.shrink_to,
        {"model": "model", "params": 0.5},
        {"round_to": "count", "min_units": "count", "score": "score", "scope": "scope", **FOUND},
    ),
    (kerasreg.shrink_to, "model", {"params": "budget", "flops": "budget"}),
    (kerasreg.shrink_to, "model", {"latency": "positive or none"}),
    (
        kerasreg.recalibrate,
        {"model": "model", "data": X},
        {"steps": "count or none", "batch_size": "count or none"},
    ),
    (
        kerasreg.compare_latency,
        {"model": "model", "small": "model"},
        {"batch_size": "count", "repeats": "count", "warmup": "count"},
    ),
    (kerasreg.summary, "model", {"include": "expression"}),
    (kerasreg.statistics, "model", {"include": "expression"}),
]
#: What arguments of the same name in penalties and constraints have in common.
PENALTIES = {
    **dict.fromkeys(["factor", "l1", "l2"], "number"),
    **dict.fromkeys(["theta", "gamma", "a", "epsilon", "radius"], "positive"),
    **{"l1_ratio": "share", "last": "share", "q": "open share", "rho": "open share"},
    **dict.fromkeys(["gates", "power", "power_iterations", "strides"], "count"),
    **{"k": "count or none", "sparsity": "below one or none", "p": "positive"},
    **dict.fromkeys(["min_value", "max_value"], "finite or none"),
    **{"unit_norm": "flag", "sequence": "choice", "from_logits": "flag", "axis": "axis"},
}
# Arrays have tests of their own.
ARRAYS = {"weights", "pilot", "reference", "total", "groups"}
OTHERS = {"KSparse": {"k": 2}}


@pytest.fixture(scope="module")
def model():
    net = keras.Sequential([keras.Input((2,)), layers.Dense(3), layers.BatchNormalization()])
    net.add(layers.Dense(1, kernel_regularizer="l1"))
    net.compile("sgd", "mse")
    return net


def kinds_of(function, kinds):
    if isinstance(kinds, dict):
        return kinds
    names = [name for name in inspect.signature(function).parameters if name not in ARRAYS]
    return {name: PENALTIES[name] for name in names}


def error_of(function, arguments):
    try:
        result = function(**arguments)
        if hasattr(result, "__enter__"):
            with result:
                pass
    except (ValueError, TypeError) as error:
        return str(error)
    return None


def test_invalid_arguments_raise_and_change_nothing(model):
    """Each is named, with what was received, and nothing has happened to the model."""
    before, wrong = model.get_weights(), []
    for function, others, kinds in CALLS:
        others = {"model": "model"} if others == "model" else dict(others)
        given = {"model": model, "optimizer": model.optimizer}
        others = {key: given[v] if isinstance(v, str) else v for key, v in others.items()}
        for name, kind in kinds_of(function, kinds).items():
            for value in KINDS[kind]:
                default = inspect.signature(function).parameters[name].default
                if value is default or (function is regularizers.L1L2 and value is None):
                    continue
                text = error_of(function, {**others, name: value})
                named = text is not None and f"`{name}" in text
                if not named or "Received" not in text:
                    wrong.append(f"{function.__name__}({name}={value!r}): {text}")
    assert not wrong, "\n".join(wrong)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_numpy_numbers_become_python_numbers():
    for value in (0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), np.float16(0.5)):
        found = validation.number(value, "a", at_least=0)
        assert (type(found), found) == (float, 0.5)
    for value in (3, np.int8(3), np.uint64(3), np.array(3)):
        found = validation.integer(value, "a", at_least=1), validation.number(value, "a")
        assert [(type(each), each) for each in found] == [(int, 3), (float, 3.0)]
    tensor = keras.ops.convert_to_tensor(0.5)
    assert validation.number(tensor, "a", at_most=1) == 0.5
    assert validation.number(None, "a", none="no bound") is None
    assert validation.flag(np.True_, "a") is True


def test_errors_have_one_format():
    texts = {
        "`a` must be a finite number above 0 and at most 1, a share. Received: a=2": lambda: (
            validation.number(2, "a", above=0, at_most=1, meaning="a share")
        ),
        "`a` must be an int of at least 1, or None for all. Received: a='x'": lambda: (
            validation.integer("x", "a", at_least=1, none="all")
        ),
        '`a` must be "max" or "min". Received: a=1': lambda: validation.choice(
            1, "a", ("max", "min")
        ),
        "`a` must be callable. Received: a=1": lambda: validation.function(1, "a"),
    }
    for text, call in texts.items():
        with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
            call()
    with pytest.raises(ValueError, match=r"^`a` must be a regular expression\. Received: a='\('"):
        validation.expression("(", "a")
    with pytest.raises(ValueError, match=r"Received: a=.{200}$"):
        validation.number("x" * 1000, "a")
