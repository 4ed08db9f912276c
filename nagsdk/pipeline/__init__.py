"""The verbs at work: one module for each step from a target to a measured deployment."""
