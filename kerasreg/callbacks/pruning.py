"""Pruning during `fit`."""

from kerasreg.callbacks.siblings import prunes, put_off, restores_weights, run_after
from kerasreg.callbacks.train_step_callback import TrainStepCallback
from kerasreg.pruning.strategy import Strategy
from kerasreg.pruning.timeline import Run
from kerasreg.pruning.training import PruningTraining
from kerasreg.train_step import FitScope


class Pruning(TrainStepCallback):
    """Prune weights while the model trains: to exact zeros, in the compiled step.

    What is pruned is zero after every step, in every checkpoint, in the moving averages of the
    optimizer, and what it remembers of it is cleared. It works on variables: any model, any layer,
    any optimizer of Keras, on all backends. When the fit is over, model and optimizer are as
    before, and the zeros stay. Checkpoints that are written meanwhile open in stock Keras, and a
    fit that resumes from one goes on with its masks (`BackupAndRestore`), or with its zeros (any
    other).

    Args:
        schedule: how sparse, and when: a float, which is the final sparsity of
            `kerasreg.schedules.Polynomial`; a schedule of `kerasreg.schedules` (`Hold()` keeps the
            zeros that are there); or a function from the step to a sparsity. None is the sparsity
            of an N:M pattern.
        pattern: what goes together: `"unstructured"`, `"2:4"`, `"unit"` (filters, neurons),
            `"coupled"` (units with all that computes and reads them), or one of
            `kerasreg.patterns`.
        score: what goes first: `"magnitude"`, `"taylor"`, `"movement"`, `"random"`, one of
            `kerasreg.scores`, or a function `(variable, weights) -> array`.
        scope: how the zeros are shared out: `"layer"` (the same share of each variable),
            `"global"` (the lowest scores of all), `"erk"` (small layers stay denser), or a dict
            from regular expression to the final sparsity of the variables with a path in which it
            is found.
        include: regular expression of the paths to prune. Default: all trainable variables of
            two or more dimensions but normalizations, biases and adapters.
        exclude: regular expression of paths to leave alone.
        hold: whether what is pruned stays zero. Without, it may grow until the next pruning, and
            the last one is made again when the fit ends (soft pruning).
        regrow: None, or how to choose dead weights that get another chance at every pruning:
            `"gradient"` (RigL, 4 bytes per weight) or `"random"` (SET).
        regrow_share: of the weights that are alive, at first; it falls to 0 like a cosine.

    What is not pruned is skipped, not fatal: `plan` says what and why. After the fit, `pruned` is
    `{step: sparsity}` of every pruning.

    Raises:
        ValueError: for bad arguments; at the start of `fit`, for a model that is not built, an
            expression that matches nothing, or a schedule that prunes nothing in this run; and for
            NaN or infinite weights when it prunes.
        RuntimeError: at the end of the first epoch, if the model's train step does not apply the
            optimizer that it was compiled with.

    Example:

    >>> layers = [keras.Input((8,)), keras.layers.Dense(6, name="dense")]
    >>> model = keras.Sequential(layers, name="net")
    >>> model.compile("adam", "mse")
    >>> pruning = kerasreg.callbacks.Pruning(0.75, pattern="unstructured")
    >>> x, y = np.ones((32, 8)), np.ones((32, 6))
    >>> _ = model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[pruning])
    >>> kerasreg.statistics(model)["net/dense/kernel"].sparsity
    0.75
    """

    prunes_weights = True

    def __init__(
        self,
        schedule=None,
        pattern="unstructured",
        score="magnitude",
        scope="layer",
        include=None,
        exclude=None,
        hold=True,
        regrow=None,
        regrow_share=0.3,
    ):
        super().__init__()
        self._strategy = Strategy(
            schedule, pattern, score, scope, include, exclude, hold, regrow, regrow_share
        )
        self._training = None

    @property
    def pruned(self):
        """`{step: sparsity}` of every pruning of the last fit, over the weights that are pruned."""
        return {} if self._training is None else self._training.pruned

    def plan(self, model, steps=None, steps_per_epoch=None, print_fn=None):
        """Print what a fit would prune, how far and when, and what not; a dry run.

        Args:
            model: a built Keras model.
            steps: how many steps of the optimizer the run has.
            steps_per_epoch: for schedules in epochs.
            print_fn: called once with the table as plain text; default prints in colour.

        Returns:
            A `Plan`, as `kerasreg.prune` returns it.

        Raises:
            ValueError: as `fit` would, above all if nothing would ever be pruned.

        Example:

        >>> layers = [keras.Input((8,)), keras.layers.Dense(6, name="dense")]
        >>> model = keras.Sequential(layers, name="net")
        >>> lines = []
        >>> pruning = kerasreg.callbacks.Pruning(0.75)
        >>> plan = pruning.plan(model, steps=1000, print_fn=lines.append)
        >>> plan["net/dense/kernel"].sparsity, plan.steps[-1]
        (0.75, 750)
        >>> plan.skipped
        {'net/dense/bias': 'a bias, or another vector: include it by name'}
        """
        plan = self._strategy.plan(model, Run(steps, steps_per_epoch), "Pruning")
        plan.print(print_fn)
        return plan

    def on_train_begin(self, logs=None):
        run_after(self, lambda each: not prunes(each))
        scope = FitScope.of(self.model)
        try:
            self._run = self._run_of_fit()
            self._strategy.plan(self.model, self._run, "Pruning")
            self._training = PruningTraining(
                self.model, self.model.optimizer, self._strategy, "Pruning", scope.inside
            )
        except ValueError:
            scope.release()
            self.release_unused()
            raise
        self._started = False
        self._training.on()
        scope.enter(self._training.off)

    def on_epoch_begin(self, epoch, logs=None):
        if not self._started:
            done = epoch * self._run.steps_per_epoch if self._run.steps_per_epoch else 0
            self._training.start(self._run, int(done))
            self._started = True
        self._done = self._training.done()

    def on_train_batch_end(self, batch, logs=None):
        # The batch may be beyond the last one and an update may be skipped: this many at most.
        # Only then it is worth to wait for the device and to ask for the true number.
        if self._done + batch + 1 >= self._training.next_due:
            self._synchronize()
            self._training.step()

    def on_epoch_end(self, epoch, logs=None):
        self._synchronize()
        self._training.step()
        self._training.enforce()
        self.require_in_step(self._training.is_in_step)

    def on_train_end(self, logs=None):
        if put_off(self, until=restores_weights):
            return
        self._training.finish()
        FitScope.of(self.model).leave(self._training.off)

    def _synchronize(self):
        # On JAX, asking for the model brings the state of training into its variables.
        _ = self.model

    def _run_of_fit(self):
        epochs, steps = self.params.get("epochs"), self.params.get("steps")
        if epochs is None or steps is None:
            return Run()
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        accumulation = getattr(optimizer, "gradient_accumulation_steps", None) or 1
        return Run(epochs * steps // accumulation, steps / accumulation)
