"""Proximal training: regularizers that make weights exactly zero."""
