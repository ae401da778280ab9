"""Model files in which zeros take almost no space, and the sizes of a model in several formats."""
