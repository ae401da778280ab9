"""One definition of a group: its layout and size, against explicit lists of indices."""

import numpy as np
import pytest
from cases import CASES

from kerasreg import regularizers
from kerasreg._graph.groups import Groups
from kerasreg.regularizers.group import GroupRegularizer

GROUPED = [
    case
    for case in CASES
    if "axis" in case.arguments
    and case.arguments["factor"]
    and issubclass(getattr(regularizers, case.name), GroupRegularizer)
]


def members(groups, shape):
    """The groups as a set of sets of flat indices."""
    view, axes = groups.layout(shape)
    index = np.arange(np.prod(shape, dtype=int)).reshape(view)
    kept = [axis for axis in range(index.ndim) if axis not in axes]
    rows = index.transpose(kept + list(axes)).reshape(-1, groups.size(shape))
    return {frozenset(row.tolist()) for row in rows}


@pytest.mark.parametrize("case", GROUPED, ids=str)
def test_the_groups_are_those_of_the_table(case):
    groups = Groups(case.arguments["axis"], case.arguments.get("gates", 1))
    labels = case.groups.ravel()
    expected = {frozenset(np.flatnonzero(labels == label).tolist()) for label in labels}
    assert members(groups, case.shape) == expected
    assert {groups.size(case.shape)} == {len(each) for each in expected}


@pytest.mark.parametrize(
    ("axis", "gates", "shape", "expected"),
    [
        (0, 1, (2, 3), [[0, 1, 2], [3, 4, 5]]),
        (-1, 1, (2, 3), [[0, 3], [1, 4], [2, 5]]),
        ((0, 1), 1, (2, 2), [[0], [1], [2], [3]]),
        ((-1, 0), 1, (2, 2, 2), [[0, 2], [1, 3], [4, 6], [5, 7]]),
        (0, 1, (3,), [[0], [1], [2]]),
        (0, 3, (6,), [[0, 2, 4], [1, 3, 5]]),
        (-1, 2, (2, 4), [[0, 2, 4, 6], [1, 3, 5, 7]]),
        (0, 2, (4, 1), [[0, 2], [1, 3]]),
        (1, 2, (1, 2, 2), [[0, 1, 2, 3]]),
    ],
)
def test_members(axis, gates, shape, expected):
    assert members(Groups(axis, gates), shape) == {frozenset(each) for each in expected}


def test_one_axis_is_an_int_and_several_are_a_tuple():
    assert Groups([1]).axis == Groups((1,)).axis == 1
    assert Groups([0, -1]).axis == (0, -1)
    assert Groups([0, -1]) == Groups((0, -1))
    assert hash(Groups([0, -1])) == hash(Groups((0, -1)))
