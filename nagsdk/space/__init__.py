"""Search spaces: what a generator may choose from."""
