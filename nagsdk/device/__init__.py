"""Devices: their descriptions, and the contract with the plugins that reach them."""
