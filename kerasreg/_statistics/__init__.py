"""Statistics of the weights of a model, and their table."""
