"""Accuracy of an architecture without training it."""
