"""Regularizers of a built model: setting, saving and checking them."""
