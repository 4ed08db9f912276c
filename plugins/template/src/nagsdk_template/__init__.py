"""The template as a device of nagsdk."""
