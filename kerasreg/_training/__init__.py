"""Training with removal of dead units between epochs."""
