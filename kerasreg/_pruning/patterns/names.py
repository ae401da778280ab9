"""The short names of patterns."""

from kerasreg._common import validation
from kerasreg._pruning.patterns.base import Pattern
from kerasreg._pruning.patterns.coupled import Coupled
from kerasreg._pruning.patterns.groups import Group
from kerasreg._pruning.patterns.heads import Heads
from kerasreg._pruning.patterns.nm import NM
from kerasreg._pruning.patterns.unstructured import Unstructured

#: The patterns of the short names.
NAMES = {
    "unstructured": Unstructured,
    "2:4": lambda: NM(2, 4),
    "unit": Group,
    "input": lambda: Group("input"),
    "head": Heads,
    "coupled": Coupled,
}


def standardize_pattern(pattern):
    """Returns the `Pattern` of an argument: a name or a pattern."""
    if isinstance(pattern, Pattern):
        return pattern
    if isinstance(pattern, str) and pattern in NAMES:
        return NAMES[pattern]()
    expected = f"one of {list(NAMES)} or a pattern of `kerasreg.patterns`"
    raise validation.invalid("pattern", pattern, expected)
