"""One pass over the weights: numbers, and their table."""
