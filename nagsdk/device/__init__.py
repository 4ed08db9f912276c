"""Devices: their descriptions, and the interface of the plugins that reach them."""
