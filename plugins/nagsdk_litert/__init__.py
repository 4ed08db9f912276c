"""LiteRT (TensorFlow Lite) on the CPU of this machine: a hardware plugin of nagsdk."""
