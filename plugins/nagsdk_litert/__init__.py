"""A hardware plugin of nagsdk for the CPU of this machine, through LiteRT (TensorFlow Lite)."""
