"""Search spaces: the architectures that a generator chooses from."""
