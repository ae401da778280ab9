"""What callbacks have in common: a session, the order in one fit, and the count of steps."""
