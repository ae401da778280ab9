"""The short names of scores."""

from kerasreg._common import validation
from kerasreg._pruning.scores.base import Score
from kerasreg._pruning.scores.of_weights import Custom, Magnitude, Random
from kerasreg._pruning.scores.recorded import Movement, Taylor

#: The scores of the short names.
NAMES = {"magnitude": Magnitude, "taylor": Taylor, "movement": Movement, "random": Random}


def standardize_score(score):
    """Returns the `Score` of an argument: a name, a score or a function."""
    if isinstance(score, Score):
        return score
    if isinstance(score, str) and score in NAMES:
        return NAMES[score]()
    if callable(score) and not isinstance(score, type):
        return Custom(score)
    expected = (
        f"one of {list(NAMES)}, a score of `kerasreg.scores` (those that need data have no short "
        "name), or a function `(variable, weights) -> array`"
    )
    raise validation.invalid("score", score, expected)
