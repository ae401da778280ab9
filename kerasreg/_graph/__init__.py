"""Analysis of Keras models: their variables, roles and groups, and the graph of their layers."""
