"""A model's weights as a table, printed as Keras prints its own summary."""

from collections.abc import Callable

import keras

from kerasreg._statistics.numbers import ModelStatistics
from kerasreg._statistics.statistics import statistics


def summary(
    model: keras.Model, include: str | None = None, print_fn: Callable[[str], object] | None = None
) -> None:
    """Print the sparsity of every weight variable of a model, and of the whole.

    A star marks variables with a regularizer; `?` is what kerasreg does not know of a layer. A
    terminal that is too narrow gets fewer columns, and their names below the table.

    Args:
        model: a built Keras model, or what `kerasreg.statistics` returned.
        include: regular expression of the paths to show; default all.
        print_fn: called once with the table as plain text; default prints in colour.

    Raises:
        ValueError: for an unbuilt model, or an `include` that matches nothing.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    >>> lines = []
    >>> kerasreg.summary(model, print_fn=lines.append)
    >>> "sparsity" in lines[0]
    True
    """
    numbers = model if isinstance(model, ModelStatistics) else statistics(model, include)
    numbers.print(print_fn)
