"""Finished networks as a family: which of them, and the resolution, are the decisions."""
