"""A fit that goes on with a smaller model whenever units are dead."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerasreg._common import validation
from kerasreg._shrinking.costs import costs, total
from kerasreg._shrinking.costs.flops import Shapes, flops, open_sizes
from kerasreg._shrinking.shrink import shrink_and_compile
from kerasreg._shrinking.training.optimizer_state import extra_state
from kerasreg._shrinking.training.reduce import compile_and_carry, silent_labels, without
from kerasreg._training.backup import Backup
from kerasreg._training.one_run import OneRun
from kerasreg._training.requirements import require_trainable_parts, steps_of
from kerasreg._training.timing import Timing

_CALLER = "kerasreg.fit_and_shrink"


def fit_and_shrink(
    model: keras.Model,
    x: Any = None,
    y: Any = None,
    *,
    epochs: int = 1,
    shrink_every: int = 1,
    round_to: int = 1,
    only_if_faster: bool = True,
    callbacks: Sequence[keras.callbacks.Callback] | keras.callbacks.Callback | None = None,
    verbose: str | int = "auto",
    initial_epoch: int = 0,
    **fit_arguments: Any,
) -> tuple[keras.Model, keras.callbacks.History]:
    """Trains a model and removes units as soon as they are dead, so that epochs get cheaper.

    It is `model.fit(x, y, ...)` with a penalty or a pruning that makes units zero, followed by
    `kerasreg.shrink`, in less time. At the end of an epoch, units whose output is zero in training
    and in inference, and units that no layer reads, are removed, and the training continues with
    the smaller model: same weights, learning rate, number of iterations, moments, averages,
    accumulated gradients and loss scale. A unit that is removed does not come back. A unit whose
    output is a constant other than zero stays until the end, because a bias that takes the
    constant over would train differently.

    The training is that of the larger model in which the removed units stay zero, up to
    rounding, for optimizers whose step for a weight depends on that weight alone. Lamb, `clipnorm`
    and `global_clipnorm` take norms, and the training is the same where all weights of a removed
    unit are zero, as with `Pruning(pattern="coupled")`. Adafactor and Muon divide by the size of a
    variable, and steps change with it.

    The objective stays as it was written. Group penalties are proportional to `sqrt(d_g)`: where
    `d_g` falls, the factor of the regularizer rises, so that `factor * sqrt(d_g)` is the same, in
    the returned model too. `CoupledGroupLasso` and `Pruning(pattern="coupled")` count with the
    units and weights of the original.

    Callbacks get `on_train_begin` and `on_train_end` once, epochs are numbered through, and there
    is one History. `EarlyStopping(restore_best_weights=True)` restores into the model of its best
    epoch. With `BackupAndRestore`, the removed units are saved in its folder: the same call with
    the same model resumes a run that was killed.

    Args:
        model: a compiled Functional or Sequential model. It is trained until the first units are
            removed, and is left in that state.
        x, y: as in `fit`. Each smaller model begins to iterate over the data again; a generator
            continues where it is.
        epochs: as in `fit`.
        shrink_every: after how many epochs units may be removed.
        round_to: what stays of a width is a multiple of this, as in `kerasreg.shrink`.
        only_if_faster: whether units are removed only if that is predicted to save more time in
            the epochs that are left than the last compilation took. With False, the times of the
            machine have no influence on the result. At the end, units are always removed.
        callbacks: as in `fit`. Of kerasreg's, `PruneUntil` and patterns of `Pruning` other than
            `"coupled"` cannot be used.
        verbose: as in `fit`; other than 0, a line for each smaller model is printed.
        initial_epoch: as in `fit`.
        **fit_arguments: other arguments of `fit`.

    Returns:
        `(small, history)`: the smaller model, as `kerasreg.shrink` returns it and with the state of
        the optimizer, and the `keras.callbacks.History`. Its `history` also has `parameters` and
        `flops`, those of the model in each epoch (None where FLOPs are unknown).

    Raises:
        ValueError: for a model that is not compiled, or that `kerasreg.shrink` refuses; one with a
            `train_step` of its own; for several replicas, and for callbacks that cannot be used.
        RuntimeError: if the outputs of the returned model were not the same.

    Example:

    >>> layers = [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)]
    >>> model = keras.Sequential(layers)
    >>> model.compile("adam", "mse")
    >>> data = np.random.default_rng(0).normal(size=(64, 4))
    >>> pruning = kerasreg.callbacks.Pruning(0.5, pattern="coupled")
    >>> small, history = kerasreg.fit_and_shrink(
    ...     model, data, data[:, :1], epochs=4, callbacks=[pruning], verbose=0)
    >>> small.layers[0].units, len(history.history["parameters"])
    (4, 4)
    """
    require_trainable_parts(model, _CALLER)
    shrink_every = validation.integer(shrink_every, "shrink_every", at_least=1)
    round_to = validation.integer(round_to, "round_to", at_least=1)
    validation.integer(epochs, "epochs", at_least=1)
    run = _Run(model, epochs, shrink_every, round_to, only_if_faster, verbose)
    steps = steps_of(model, x, y, fit_arguments)
    return run.train(x, y, callbacks, steps, initial_epoch, fit_arguments)


class _Run:
    def __init__(self, model, epochs, shrink_every, round_to, only_if_faster, verbose):
        self._model, self._epochs, self._every = model, epochs, shrink_every
        self._round_to, self._only_if_faster, self._verbose = round_to, only_if_faster, verbose
        self._timing, self._labels, self._line = Timing(), None, None

    def train(self, x, y, callbacks, steps, epoch, arguments):
        run = OneRun(callbacks, self._model, self._verbose, self._epochs, steps, self)
        backup = Backup(run.every)
        original = self._model
        try:
            run.begin_shrinking(original)
            restored = backup.restore(original)
            if restored is not None:
                self._model, epoch = restored
                run.begun = [backup.callback]
                run.go_on_with(self._model)
            self._timing.begin_model()
            while True:
                self._count()
                with run.final_values_at_the_end():
                    self._model.fit(
                        x,
                        y,
                        **arguments,
                        epochs=self._epochs,
                        initial_epoch=epoch,
                        verbose=self._verbose,
                        callbacks=run,
                    )
                if not run.is_pausing:
                    break
                epoch = run.next_epoch
                self._shrink(run, backup, epoch)
            return self._result(run.model), run.history
        finally:
            run.end_shrinking()

    def begin_epoch(self):
        self._timing.begin_epoch()

    def end_step(self, steps):
        self._timing.end_step(steps)

    def end_epoch(self, history):
        self._timing.end_epoch()
        for name, value in (("parameters", self._parameters), ("flops", self._flops)):
            history.setdefault(name, []).append(value)
        if self._line is not None and self._verbose:
            print(self._progress(*self._line))
        self._line = None

    def decide(self, epoch):
        """Whether to continue with a smaller model after an epoch."""
        if (epoch + 1) % self._every:
            return False
        analysis, labels = silent_labels(self._model, self._round_to)
        if not labels.any():
            return False
        gone = labels[analysis.roots]
        before, after = self._cost(analysis, np.zeros_like(gone)), self._cost(analysis, gone)
        self._fraction = 1 - after / before
        if self._only_if_faster and not self._timing.pays(self._fraction, self._epochs - epoch - 1):
            return False
        self._labels = labels
        self._units = int(np.count_nonzero(labels & (analysis.roots == np.arange(len(labels)))))
        return True

    def _cost(self, analysis, gone):
        """FLOPs of one sample, or parameters where they are unknown."""
        shapes = Shapes(open_sizes(self._model, analysis.graph), analysis, gone)
        found = total(costs(analysis.graph, shapes).values())
        return found or sum(np.prod(shapes(each)) for each in self._model.weights)

    def _shrink(self, run, backup, epoch):
        self._timing.begin_model(self._fraction)
        before = self._parameters, self._flops, self._timing.step
        backup.add(epoch, self._labels)
        self._model = without(self._model, self._labels, run.state)
        run.go_on_with(self._model)
        self._count()
        self._line = epoch, self._units, *before

    def _count(self):
        self._parameters, self._flops = self._model.count_params(), flops(self._model)

    def _progress(self, epoch, units, parameters, flops, step):
        text = f"Shrunk after epoch {epoch}: {units:,} units removed, parameters {parameters:,} -> "
        text += f"{self._parameters:,}"
        if flops and self._flops:
            text += f", FLOPs {flops:,} -> {self._flops:,}"
        if step and self._timing.step:
            text += f", {1000 * step:.1f} -> {1000 * self._timing.step:.1f} ms per step"
        return text

    def _result(self, model):
        state = extra_state(model.optimizer)

        def compile_small(model, small, twins):
            compile_and_carry(model, small, twins, state)

        small, _ = shrink_and_compile(model, self._round_to, None, compile_small)
        return small
