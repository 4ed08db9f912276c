"""Predicts the accuracy of an architecture without training it."""
