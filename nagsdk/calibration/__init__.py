"""Calibration: fits the cost model of a device to architectures that were measured on it."""
