"""Gradients and assignments under `tf.distribute`."""

import keras


def sum_over_replicas(optimizer, variable, gradient):
    """Returns the gradient that the optimizer will use: the sum over the replicas."""
    if keras.backend.backend() != "tensorflow":
        return gradient
    # As in `TFOptimizer`, which does not return the sum.
    ((gradient, _),) = optimizer._all_reduce_sum_gradients([(gradient, variable.value)])
    return gradient


def on_every_replica(optimizer, variables, function, arguments):
    """Calls `function(variables, arguments)` on every replica."""
    if keras.backend.backend() != "tensorflow":
        function(variables, arguments)
        return
    import tensorflow as tf

    # As in `TFOptimizer`, for its updates and its weight decay.
    def update(strategy, *arguments):
        first, *others = [variable.value for variable in variables]
        strategy.extended.update(
            first,
            lambda first, others, arguments: function([first, *others], arguments),
            args=(others, arguments),
            group=False,
        )

    tf.__internal__.distribute.interim.maybe_merge_call(
        update, optimizer._distribution_strategy, *arguments
    )
