"""ResNet50D with elastic depth, expansion and widths (Cai et al., Once-for-All)."""
