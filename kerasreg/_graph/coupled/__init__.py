"""Which units of a model go together."""
