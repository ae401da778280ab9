"""What a penalty is: a value, a prox, a config."""

from kerasreg.regularizers.base import Regularizer
from kerasreg.regularizers.elementwise import L1, L1L2, L2
from kerasreg.regularizers.group import GroupLasso, SparseGroupLasso

__all__ = ["L1", "L1L2", "L2", "GroupLasso", "Regularizer", "SparseGroupLasso"]
