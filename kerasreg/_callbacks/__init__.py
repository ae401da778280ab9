"""What the callbacks share: a session, their order in a fit, and the step counter."""
