"""The base class of updates that run after the optimizer's own step."""


def contains(variables, variable):
    """Returns whether a variable is in a list, by identity; `in` would compare values."""
    return any(each is variable for each in variables)


class Update:
    """A change of some variables after each step of the optimizer.

    Args:
        variables: the model variables that it changes.
        active: a function without arguments; the update is omitted if it returns False at
            tracing time.
    """

    #: Updates with a lower order run first: the proximal operator, then the mask.
    order: float = 0
    #: A name for updates of which each variable may have only one; None for no such limit.
    alone_as: str | None = None
    #: Whether it changes weights, and does not only read them.
    changes_weights = True
    #: Whether `__call__` takes all variables of an optimizer at once: a list of variables and a
    #: list of the results of `before`. It then returns a list.
    is_joint = False

    def __init__(self, variables, active=lambda: True):
        self.variables = list(variables)
        self.active = active
        #: How often it was traced or run with at least one of its variables.
        self.calls = 0
        #: The `Counter` of its steps while it is in a hook, otherwise None.
        self.counter = None
        #: The variables that removed updates of the same class have changed.
        self.served = []

    def common(self, other):
        """Returns the variables that both updates change."""
        return [variable for variable in self.variables if contains(other.variables, variable)]

    def covered(self):
        """Returns the variables that it has changed in at least one step."""
        counts = self.counter.read()
        return [variable for each in counts for variable, times in each.of_variables if times]

    def create_state(self, hook):
        """Creates optimizer variables with `hook.add_state`."""

    def changed(self, variables):
        """Returns those of the given variables, which have gradients, that it changes in a step."""
        return variables

    def before(self, hook, variable, gradient):
        """Returns a tuple of tensors, computed before the optimizer's own step.

        Under `tf.distribute`, the gradient is that of one replica, see `sum_over_replicas`.
        """
        return ()

    def gradient(self, hook, variable, gradient):
        """Returns the gradient for the optimizer's own step, given the gradient of the loss."""
        return gradient

    def __call__(self, hook, variable, learning_rate, before):
        """Returns the new value of `variable` after the optimizer's own step, or None.

        With `is_joint`, the arguments and the result are lists.
        """
        raise NotImplementedError
