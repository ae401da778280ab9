"""The zeros in the files that `ModelCheckpoint(save_best_only=True)` saves."""

from collections.abc import Callable, Iterable

from keras import callbacks

from kerasreg._common.warn import warn


class BestFiles:
    """Follows the callbacks of a fit that save the model if a metric is better than before.

    Args:
        others: all callbacks of the fit.
    """

    def __init__(self, others: Iterable[callbacks.Callback]):
        savers = [each for each in others if getattr(each, "save_best_only", False)]
        self._best = [(each, getattr(each, "best", None)) for each in savers]
        self._zeros: dict[callbacks.Callback, float] = {}

    def look(self, count_zeros: Callable[[], float]) -> None:
        """Notes the zeros of the files that were saved since the last call.

        Call it after each epoch, before the zeros change.

        Args:
            count_zeros: returns the present number or fraction of zeros.
        """
        saved = [each for each, best in self._best if getattr(each, "best", None) is not best]
        if saved:
            self._zeros |= dict.fromkeys(saved, count_zeros())
            self._best = [(each, getattr(each, "best", None)) for each, _ in self._best]

    def warn(self, caller: str, zeros: float, epoch: int | str, form: str = "{:.1%}") -> None:
        """Warns of files with fewer zeros than this, which is the number at the end of the fit.

        Args:
            caller: the name of the callback that prunes, for the message.
            zeros: the expected number or fraction of zeros.
            epoch: the first epoch that ends with all zeros, for the advice.
            form: the format of both numbers.
        """
        for each, saved in self._zeros.items():
            if saved < zeros - 1e-9:
                warn(
                    f"The best epoch that `{type(each).__name__}(save_best_only=True)` saved has "
                    f"{form.format(saved)} zeros, because it came before the last pruning of "
                    f"`{caller}`; the model has {form.format(zeros)}. To keep the best epoch among "
                    f"those with all zeros, use `EarlyStopping(start_from_epoch={epoch})` with "
                    "`restore_best_weights=True` instead, and save the model after `fit`."
                )
