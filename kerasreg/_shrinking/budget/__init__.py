"""A smaller model within a budget."""
