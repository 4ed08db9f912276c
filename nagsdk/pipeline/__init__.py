"""What the verbs do: one module for each step from a target to a measured deployment."""
