"""Penalties of a built model: set, saved with it, and checked."""
