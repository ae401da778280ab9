"""`kerasreg.summary`: a table of the weights of a model, like `model.summary`."""

from collections.abc import Callable

import keras

from kerasreg._statistics.numbers import ModelStatistics
from kerasreg._statistics.statistics import statistics


def summary(
    model: keras.Model, include: str | None = None, print_fn: Callable[[str], object] | None = None
) -> None:
    """Prints a table with the sparsity of every weight variable of a model, and of the model.

    A star marks variables with a regularizer, and `?` numbers that are unknown for a layer. If the
    terminal is too narrow, some columns are omitted, and their names are listed below the table.

    Args:
        model: a built Keras model, or a result of `kerasreg.statistics`.
        include: regular expression; only variables with a path in which it is found are shown.
            Default: None, for all variables.
        print_fn: a function that is called once with the table as plain text. Default: None, which
            prints the table in colour.

    Raises:
        ValueError: for an unbuilt model, or an `include` that matches no variable.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    >>> lines = []
    >>> kerasreg.summary(model, print_fn=lines.append)
    >>> "sparsity" in lines[0]
    True
    """
    numbers = model if isinstance(model, ModelStatistics) else statistics(model, include)
    numbers.print(print_fn)
