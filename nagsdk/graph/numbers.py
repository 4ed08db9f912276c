"""Names of the numbers that input and output of an integer file may have."""

from __future__ import annotations

# float32; int8; and int8 shifted by 128.
FLOAT, INT8, UINT8 = "float", "int8", "uint8"
