"""Costs of architectures on a device: latency models, and tables of other costs."""
