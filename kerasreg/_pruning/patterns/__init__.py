"""Patterns: which weights are pruned together, as units.

Binding a pattern to a variable returns `Units`, which define the number of units, how scores of
weights become scores of units, and how a choice of units becomes a mask of weights.
"""
