"""A hardware plugin of nagsdk for NVIDIA GPUs, through torch or through ONNX Runtime."""
