"""Checks that a runtime computes an `IntegerGraph` as its simulation does."""

from __future__ import annotations

from nagsdk.errors import DeviceError
from nagsdk.graph.integers import MOST_OF_7_BITS, IntegerGraph
from nagsdk.graph.ir import Weights
from nagsdk.graph.parity import check, overall_error
from nagsdk.graph.simulate import simulated

# Saturation is the cause if its simulation is so many times nearer to what the runtime computed.
_NEARER = 3.0


def check_integers(graph: IntegerGraph, images: Weights, expected: Weights, actual: Weights, tolerance: float) -> float:
    """Compares the logits of an artifact with those of the simulation.

    Args:
        graph: The network.
        images: Normalised images, shape (n, 3, h, w).
        expected: Logits of the simulation, shape (n, classes).
        actual: Logits of the artifact.
        tolerance: Largest accepted error, as a share of the norm of all logits.

    Returns:
        The error.

    Raises:
        DeviceError: The logits differ by more; the message says so if the processor saturates.
    """
    try:
        return check(expected, actual, tolerance, "its simulation in integers", overall_error)
    except DeviceError as error:
        if graph.most > MOST_OF_7_BITS and actual.shape == expected.shape:
            saturating = overall_error(simulated(graph, images, saturating=True), actual)
            if _NEARER * saturating < overall_error(expected, actual):
                raise DeviceError(
                    f"{error.message} The processor adds products in 16 bits, where they saturate: it has no VNNI.",
                    "Write the weights in 7 bits (the device option weight_bits), or use another precision.",
                ) from error
        raise
