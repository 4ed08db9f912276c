"""Searches of the field as strategies of nagsdk, each from the idea of its paper; docs/searches.md explains them."""
