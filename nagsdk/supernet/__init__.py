"""The weight-sharing network and the subnets cut out of it (imports torch)."""
