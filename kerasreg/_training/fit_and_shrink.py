"""`kerasreg.fit_and_shrink`: `fit` that removes dead units between epochs."""

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
    """Trains a model and removes dead units between epochs, so that later epochs take less time.

    The result is that of `model.fit(x, y, ...)` with a penalty or pruning that makes units zero,
    followed by `kerasreg.shrink`. A unit is removed at the end of an epoch if its output is zero
    in training and in inference, or if its output is unused. Training continues with the smaller
    model, which keeps the weights and the state of the optimizer: learning rate, iterations,
    moments, averages, accumulated gradients and loss scale. A removed unit cannot regrow. A unit
    whose output is constant but not zero is kept until the end of the training, because a bias that
    absorbs the constant would be trained differently.

    If the optimizer updates each weight independently, training is identical, up to rounding, to
    that of the larger model with the removed units held at zero. Lamb, `clipnorm` and
    `global_clipnorm` compute norms; with them, training is identical if all weights of the removed
    units are zero, as with `Pruning(pattern="coupled")`. The updates of Adafactor and Muon depend
    on the size of a variable, so they change when units are removed.

    The objective does not change. Group penalties are proportional to `sqrt(d_g)`, where `d_g` is
    the number of weights in a group. If `d_g` decreases, the factor of the regularizer is
    increased so that `factor * sqrt(d_g)` keeps its value; the returned model has this factor.
    `CoupledGroupLasso` and `Pruning(pattern="coupled")` use the numbers of units and weights of the
    original model.

    `on_train_begin` and `on_train_end` of each callback are called once, epochs are numbered
    consecutively, and there is one `History`. `EarlyStopping(restore_best_weights=True)` restores
    the weights into the model of the best epoch. With `BackupAndRestore`, the removed units are
    saved in its folder. To resume an interrupted run, make the same call with the same model.

    Args:
        model: a compiled Functional or Sequential model. It is trained until units are removed for
            the first time, and keeps its weights of that epoch.
        x, y: as in `fit`. Each smaller model iterates over the data from the start. A generator is
            not restarted.
        epochs: as in `fit`.
        shrink_every: int. Units are removed only after every `shrink_every`-th epoch. Default: 1.
        round_to: int. Each width larger than this keeps a multiple of it, as in `kerasreg.shrink`.
            Default: 1.
        only_if_faster: bool. If True, units are removed only if the time that this is predicted to
            save in the remaining epochs exceeds the time of the last compilation. If False, the
            result does not depend on the speed of the machine. Units are always removed after the
            last epoch. Default: True.
        callbacks: as in `fit`. `PruneUntil`, and `Pruning` with a pattern other than `"coupled"` or
            with `hold=False`, are not supported.
        verbose: as in `fit`. Unless it is 0, one line is printed for each smaller model.
        initial_epoch: as in `fit`.
        **fit_arguments: other arguments of `fit`.

    Returns:
        `(small, history)`. `small` is the smaller model as returned by `kerasreg.shrink`, with the
        state of the optimizer. `history` is the `keras.callbacks.History`. Its `history` also
        contains `parameters` and `flops` of the model in each epoch; `flops` is None if they are
        unknown.

    Raises:
        ValueError: for a model that is not compiled, is not supported by `kerasreg.shrink`,
            overrides `train_step` or a similar method, or is built for several replicas; for
            callbacks and optimizer states that are not supported.
        RuntimeError: if the outputs of the returned model differ from those before the last
            removal of units.

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
        """Returns whether training continues with a smaller model after this epoch."""
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
        """Returns the FLOPs of one sample, or the number of parameters if these are unknown."""
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
