"""ONNX Runtime on the CPU of this machine: a hardware plugin of nagsdk."""
