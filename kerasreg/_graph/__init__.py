"""How a Keras model is read: its variables, roles and groups, and the graph of its layers."""
