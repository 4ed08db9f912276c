"""A small vision transformer with elastic depth, width, heads and hidden layers (after Chen et al., AutoFormer)."""
