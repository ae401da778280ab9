"""The base class of updates that run after the optimizer's own step."""


def contains(variables, variable):
    """Whether a variable is in a list, by identity; `in` would compare values."""
    return any(each is variable for each in variables)


class Update:
    """A change of some variables after each step of the optimizer.

    Args:
        variables: the model variables that it changes.
        active: a function without arguments; the update is left out where it returns False
            at tracing time.
    """

    #: Lower comes first: shrink, then mask.
    order: float = 0
    #: What it must be the only one of, for each of its variables; None where several may be.
    alone_as: str | None = None
    #: Whether it changes weights, and does not only look at them.
    changes_weights = True
    #: Whether `__call__` takes all variables of an optimizer at once: a list of them, a list of
    #: what `before` gave for each, and it returns a list.
    is_joint = False

    def __init__(self, variables, active=lambda: True):
        self.variables = list(variables)
        self.active = active
        #: How often it was traced or run for one of its variables.
        self.calls = 0
        #: The `Counter` of the steps that it was in, while it is in a hook.
        self.counter = None
        #: The variables that others of its class have changed before they were taken out.
        self.served = []

    def common(self, other):
        """Returns the variables that both updates change."""
        return [variable for variable in self.variables if contains(other.variables, variable)]

    def covered(self):
        """Returns the variables that it has changed in any step."""
        counts = self.counter.read()
        return [variable for each in counts for variable, times in each.of_variables if times]

    def create_state(self, hook):
        """Creates optimizer variables with `hook.add_state`."""

    def changed(self, variables):
        """Returns those of its variables with a gradient that it changes in a step."""
        return variables

    def before(self, hook, variable, gradient):
        """Returns a tuple of tensors from before the optimizer's own step.

        Under `tf.distribute` the gradient is the replica's part of it, see `sum_over_replicas`.
        """
        return ()

    def gradient(self, hook, variable, gradient):
        """Returns the gradient for the optimizer's own step, given that of the loss."""
        return gradient

    def __call__(self, hook, variable, learning_rate, before):
        """Returns the new value of `variable` after the optimizer's own step, or None.

        See `is_joint`.
        """
        raise NotImplementedError
