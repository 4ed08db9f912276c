"""The family of networks template_space for nagsdk."""
