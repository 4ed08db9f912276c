"""Android phones by ADB and TFLite's benchmark_model: a hardware plugin of nagsdk."""
