"""Training and evaluation of supernets and of the subnets cut out of them (imports torch)."""
