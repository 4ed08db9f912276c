"""Names of the numbers that input and output of an integer file may have."""

from __future__ import annotations

FLOAT, INT8, UINT8 = "float", "int8", "uint8"
# By how much the integers of a file are larger than int8 inside of it.
SHIFTS = {INT8: 0, UINT8: 128}
