"""The proximal step of one variable, as a pure function of tensors."""

from keras import ops

from kerasreg._proximal.sign_steps import long_step
from kerasreg._proximal.step_sizes import float32, within_reach
from kerasreg.constraints import Projection
from kerasreg.regularizers.base import Regularizer


class ProximalStep:
    """Computes the weights after a proximal step.

    Steps that are equal compute the same function.

    Args:
        sizes: the `StepSize` of the optimizer.
        index: the number of the variable in it.
        penalty, constraint: the regularizer and the projection, either may be None.
        shape: the shape of the variable.
        takes_signs: whether the step replaces that of an optimizer that takes signs.
    """

    def __init__(self, sizes, index, penalty, constraint, shape, takes_signs):
        self._sizes, self._index = sizes.detached() if sizes.is_shared else sizes, index
        self._penalty: Regularizer | None = penalty
        self._constraint: Projection | None = constraint
        self._shape, self.takes_signs = tuple(shape), takes_signs
        functions = [each for each in (penalty, constraint) if each is not None]
        #: Whether it can be compiled with XLA, and shared by all variables that it is equal for.
        self.is_fusible = sizes.is_shared and all(_is_fusible(each) for each in functions)
        self._key = id(self)
        if self.is_fusible:
            configs = tuple((type(each), *each.get_config().items()) for each in functions)
            self._key = self._sizes.key, configs, self._shape, takes_signs

    def __eq__(self, other):
        return isinstance(other, ProximalStep) and self._key == other._key

    def __hash__(self):
        return hash(self._key)

    @property
    def needs_old(self):
        """Whether it needs the weights before the step of the optimizer."""
        return self.takes_signs or (self._needs_moves and not self._sizes.knows_moves)

    @property
    def _needs_moves(self):
        if self._penalty is None:
            return False
        one_per_weight = self._penalty.step_shape(self._shape) == self._shape
        return not one_per_weight or self._sizes.is_bounded

    @property
    def start_shape(self):
        """The shape of `start`, or None without."""
        if self._penalty is None or not self._penalty.has_own_start():
            return None
        return self._penalty.start_shape(self._shape)

    def __call__(self, new, *, learning_rate, old, kept, slots, gain, scale, start):
        """Returns `(weights, next gain, next start)`.

        Args:
            new: the weights after the step of the optimizer.
            learning_rate: the learning rate of that step.
            old: the weights before it, if `needs_old`, otherwise None.
            kept: the values of `StepSize.before`; the mean gradient if `takes_signs`.
            slots: the values of `StepSize.slots`.
            gain: the recursion of momentum, or None.
            scale: the scale of the penalty, or None for 1.
            start: the start for `prox_from`, or None.
        """
        if self.takes_signs:
            return self._of_signs(float32(learning_rate), old, *kept, scale, start)
        sizes, index = (self._sizes, self._index) if slots is None else (self._sizes.at(slots), 0)
        step = sizes.plain(index, learning_rate, kept)
        moves = None
        if self._needs_moves:
            moves = sizes.moves(index, step) if old is None else float32(old) - float32(new)
        if gain is not None:
            step, gain = sizes.with_momentum(step, float32(gain))
        if self._penalty is not None:
            if moves is not None:
                new, moves, step = self._with_common_step(new, moves, step)
            proxed, start = self._prox(new, _scaled(step, scale), start)
            bound = sizes.bound(index, learning_rate, kept)
            new = proxed if bound is None else within_reach(new, proxed, moves, bound)
        return self._project(new, step), gain, start

    def _of_signs(self, learning_rate, old, mean, scale, start):
        dtype, old = old.dtype, float32(old)
        step = long_step(learning_rate, mean)
        new, _, common = self._with_common_step(old - step * mean, step * mean, step)
        proxed, start = self._prox(new, _scaled(common, scale), start)
        new = self._project(within_reach(old, proxed, 0.0, learning_rate), step)
        return ops.cast(new, dtype), None, start

    def _prox(self, weights, step, start):
        if start is None:
            return self._penalty.prox(weights, step), None
        return self._penalty.prox_from(weights, step, start)

    def _project(self, weights, step):
        return weights if self._constraint is None else self._constraint.project(weights, step)

    def _with_common_step(self, new, moves, step):
        """Returns `(new, moves, step)` of the same gradient, with a step that the prox supports.

        `moves / step` is the gradient that the optimizer follows. Following it with the common step
        size does not change the optimum. A proximal operator with another step size than the
        gradient step would change it.
        """
        common = self._penalty.common_step(step, self._shape)
        if common is step:
            return new, moves, step
        # A step size of zero or infinity must not give 0 * infinity, which is NaN.
        ratio = ops.where(step > 0, self._penalty.expand_step(common, self._shape) / step, 0.0)
        along = ops.where(moves == 0, 0.0, ratio * moves)
        return float32(new) + moves - along, along, common


def _scaled(step, scale):
    return step if scale is None else scale * step


def _is_fusible(function):
    # Arrays would be compiled as constants. The code of a user may not compile.
    is_own = type(function).__module__.startswith("kerasreg.")
    return is_own and function.is_fusible
