"""How sparse in which step: formulas, units of time, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasreg import schedules
from kerasreg._pruning.schedules import standardize_schedule
from kerasreg._pruning.timeline import Run, Timeline

RAMPS = [schedules.Polynomial, schedules.Linear, schedules.Cosine]
shares = st.floats(0, 1)
timelines = st.builds(
    lambda begin, length, frequency: Timeline(
        schedules.Linear(0.5), begin, begin + length, frequency
    ),
    st.integers(0, 30),
    st.integers(0, 100) | st.just(math.inf),
    st.integers(1, 40) | st.floats(0.1, 40) | st.sampled_from([2.5, 10 / 3, 25 / 4]),
)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (schedules.Polynomial(0.8, 0.2), [0.2, 0.546875, 0.725, 0.8]),
        (schedules.Polynomial(0.8, 0.2, power=1), [0.2, 0.35, 0.5, 0.8]),
        (schedules.Polynomial(0.8, 0.2, power=0.5), [0.2, 0.8 - 0.6 * 0.75**0.5, None, 0.8]),
        (schedules.Linear(0.8, 0.2), [0.2, 0.35, 0.5, 0.8]),
        (schedules.Cosine(0.8, 0.2), [0.2, 0.5 - 0.3 / math.sqrt(2), 0.5, 0.8]),
        (schedules.Constant(0.8), [0.8] * 4),
        (schedules.OneShot(0.8), [0.8] * 4),
        (schedules.Function(lambda step: step / 1000), [0.1, 0.15, 0.2, 0.3]),
        (schedules.Hold(), [0.0] * 4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_sparsities_match_the_formulas(schedule, expected):
    found = [schedule.sparsity(step, 100, 300) for step in (100, 150, 200, 300)]
    for value, wanted in zip(found, expected, strict=True):
        assert wanted is None or value == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("kind", RAMPS)
@given(pair=st.tuples(shares, shares), begin=st.integers(0, 9), length=st.integers(0, 200))
def test_ramps_rise_from_the_first_sparsity_to_exactly_the_last(kind, pair, begin, length):
    first, last = sorted(pair)
    timeline = kind(last, first, begin, begin + length, frequency=7).timeline(Run())
    found = [timeline.sparsity(step) for step in range(begin, begin + length + 50)]
    assert found == sorted(found)
    assert found[-1] == found[length] == last == kind(last, first).final
    assert found[0] == pytest.approx(first if length else last)
    assert [timeline.sparsity(step) for step in range(begin)] == [0.0] * begin


@pytest.mark.parametrize("kind", RAMPS)
def test_the_last_sparsity_has_no_rounding_error(kind):
    pairs = [(first / 100, last / 100) for last in range(101) for first in range(last)]
    assert [pair for pair in pairs if kind(pair[1], pair[0]).final != pair[1]] == []


@given(timelines)
def test_due_steps_match_a_list_of_all_steps(timeline):
    due = timeline.due(200)
    assert due[0] == timeline.begin
    if math.isinf(timeline.end):
        assert due[-1] > 200 - timeline.frequency - 1
    else:
        assert due[-1] == timeline.end
    assert all(isinstance(step, int) for step in due)
    assert due == sorted(set(due))
    for step in range(-1, 200):
        assert timeline.last_due(step) == max((d for d in due if d <= step), default=None)
        behind = [d for d in due if d > step]
        if behind:
            assert timeline.next_due(step) == behind[0]
        elif not math.isinf(timeline.end):
            assert timeline.next_due(step) is None
    assert timeline.due(50) == [step for step in due if step <= 50]


@given(timelines)
def test_prunings_are_due_at_multiples_of_the_frequency(timeline):
    counts = range(int(200 / timeline.frequency) + 2)
    multiples = {timeline.begin + round(count * timeline.frequency) for count in counts}
    expected = {min(step, timeline.end) for step in multiples | {timeline.end}}
    assert set(timeline.due(200)) == {step for step in expected if step <= 200}


def test_epochs_of_an_accumulation_do_not_drift():
    schedule = schedules.Constant(0.5, end_step=30, frequency="epoch")
    assert schedule.timeline(Run(steps_per_epoch=2.5)).due(30) == [
        *(0, 2, 5, 8, 10, 12, 15, 18, 20, 22, 25, 28, 30),
    ]


def test_the_last_pruning_is_done_at_the_end_step():
    timeline = schedules.Polynomial(0.9, begin_step=10, end_step=95, frequency=40).timeline(Run())
    assert timeline.due(1000) == [10, 50, 90, 95]
    assert timeline.sparsity(95) == timeline.sparsity(10_000) == 0.9
    assert timeline.sparsity(90) < 0.9


@pytest.mark.parametrize(
    ("kind", "begin", "end"),
    [
        (lambda **times: schedules.Linear(0.5, **times), 20, 150),
        (lambda **times: schedules.Constant(0.5, **times), 20, 150),
        (lambda **times: schedules.Function(lambda step: 0.5, **times), 20, 200),
    ],
    ids=["ramp", "constant", "function"],
)
def test_every_schedule_has_a_default_end(kind, begin, end):
    for times in ({"begin_step": 20}, {"begin_step": 1, "unit": "epochs"}):
        timeline = kind(**times).timeline(Run(200, 20))
        assert (timeline.begin, timeline.end) == (begin, end)
    timeline = kind(begin_step=0.9, unit="fraction").timeline(Run(200))
    assert (timeline.begin, timeline.end) == (180, max(end, 180))


def test_times_in_epochs_and_fractions_become_steps():
    run = Run(200, 20)
    found = [
        schedules.Linear(0.5, begin_step=0.25, end_step=0.5, unit="fraction"),
        schedules.Linear(0.5, begin_step=2.5, end_step=5, unit="epochs"),
        schedules.Linear(0.5, begin_step=50, end_step=100),
    ]
    assert {(each.timeline(run).begin, each.timeline(run).end) for each in found} == {(50, 100)}
    assert schedules.OneShot(0.5, 3, unit="epochs").timeline(run).due(200) == [60]


def test_without_an_end_only_the_first_pruning_is_known():
    for schedule in (schedules.Constant(0.5, 7), schedules.Function(lambda step: 0.5, 7)):
        timeline = schedule.timeline(Run())
        assert timeline.due(math.inf) == [7]
        assert timeline.due(300) == [7, 107, 207]
        assert timeline.last_due(10**6) == 999_907


@pytest.mark.parametrize(
    ("schedule", "unknown"),
    [
        (schedules.Polynomial(0.5), "`steps` is unknown"),
        (schedules.Linear(0.5, begin_step=0.5, unit="fraction"), "`steps` is unknown"),
        (schedules.OneShot(0.5, 1, unit="epochs"), "`steps_per_epoch` is unknown"),
        (schedules.Constant(0.5, frequency="epoch"), "`steps_per_epoch` is unknown"),
    ],
    ids=["end_step", "fraction", "epochs", "frequency"],
)
def test_an_unknown_length_of_the_run_raises(schedule, unknown):
    with pytest.raises(ValueError, match=f"requires the length of this run, but {unknown}"):
        schedule.timeline(Run())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: schedules.Polynomial(1.1), "`final_sparsity` must be a finite number"),
        (lambda: schedules.Polynomial(90), "0.9 is 90 % zeros"),
        (lambda: schedules.Linear(math.nan), "`final_sparsity` must be a finite number"),
        (lambda: schedules.Linear(True), "Received: final_sparsity=True"),
        (lambda: schedules.Linear("0.5"), "Received: final_sparsity='0.5'"),
        (lambda: schedules.Cosine(0.5, -0.1), "`initial_sparsity` must be a finite number"),
        (lambda: schedules.Cosine(0.5, 0.6), "not be above `final_sparsity`"),
        (lambda: schedules.Polynomial(0.5, power=0), "`power` must be a finite number above 0"),
        (lambda: schedules.Polynomial(0.5, power=math.inf), "Received: power=inf"),
        (lambda: schedules.Polynomial(0.5, power="3"), "Received: power='3'"),
        (lambda: schedules.Constant(None), "`sparsity` must be a finite number"),
        (lambda: schedules.OneShot(2), "`sparsity` must be a finite number"),
        (lambda: schedules.Linear(0.5, unit="step"), "`unit` must be one of"),
        (lambda: schedules.Linear(0.5, frequency=0), "at least 1, or"),
        (lambda: schedules.Linear(0.5, frequency=2.5), "Received: frequency=2.5"),
        (lambda: schedules.Linear(0.5, frequency="epochs"), "Received: frequency='epochs'"),
        (lambda: schedules.Linear(0.5, frequency=True), "Received: frequency=True"),
        (
            lambda: schedules.Linear(0.5, begin_step=-1),
            "`begin_step` must be a finite number",
        ),
        (lambda: schedules.Linear(0.5, begin_step=1.5), "a whole number, such as 1000"),
        (lambda: schedules.Linear(0.5, begin_step=None), "Received: begin_step=None"),
        (lambda: schedules.Linear(0.5, end_step=math.nan), "`end_step` must be a finite number"),
        (lambda: schedules.Linear(0.5, end_step=math.inf), "`end_step` must be a finite number"),
        (lambda: schedules.Linear(0.5, begin_step=5, end_step=4), "must not be before"),
        (lambda: schedules.Linear(0.5, end_step=2, unit="fraction"), "a fraction of the run"),
        (lambda: schedules.OneShot(0.5, math.inf, unit="epochs"), "a number of epochs"),
        (lambda: schedules.Function(0.5), "`function` must be callable"),
        (lambda: schedules.Function(lambda step: 2.0).sparsity(7, 0, 9), "the schedule in step 7"),
        (lambda: standardize_schedule("linear"), "`schedule` must be a sparsity"),
        (lambda: standardize_schedule(schedules.Linear), "`schedule` must be a sparsity"),
        (lambda: standardize_schedule(True), "`schedule` must be a sparsity"),
    ],
)
def test_invalid_arguments_raise(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_numbers_functions_and_schedules_are_accepted():
    assert isinstance(standardize_schedule(np.float32(0.5)), schedules.Polynomial)
    assert standardize_schedule(1).final == 1.0
    assert isinstance(standardize_schedule(lambda step: 0.1), schedules.Function)
    assert standardize_schedule(lambda step: 0.1).final is None
    assert schedules.Linear(0.5, begin_step=1e3, frequency=np.int64(5)).begin_step == 1000
