"""Which weights go together: the units that a pattern prunes as a whole, in NumPy.

A pattern is bound to a variable, which gives `Units`: how many there are, how scores of weights
become scores of units, and how a choice of units becomes a mask of weights.
"""
