"""How a penalty becomes exact zeros."""
