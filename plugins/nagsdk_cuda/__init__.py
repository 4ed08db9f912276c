"""NVIDIA GPUs by torch and CUDA: a hardware plugin of nagsdk."""
