"""Calibration: measured reference architectures become the cost model of a device."""
