"""Once-for-All's MobileNetV3 family: space, supernet, subnets, progressive shrinking, checkpoints."""
