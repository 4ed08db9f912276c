"""Rounding of layer widths: as in families of mobile networks, and of the hidden layers of transformers."""

from __future__ import annotations


def make_divisible(value: float, divisor: int = 8) -> int:
    """Rounds a channel count to a multiple of `divisor`, at most 10 % down (MobileNet's rule)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def hidden_width(channels: int, ratio: float) -> int:
    """Width of the hidden layer of a transformer's block."""
    return round(channels * ratio)
