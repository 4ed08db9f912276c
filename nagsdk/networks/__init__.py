"""Well-known networks as lists of layers, so that a published latency of one of them tells something of a device."""
