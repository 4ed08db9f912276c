"""Checks of this installation: what works, what is wrong, and the command that fixes it."""
