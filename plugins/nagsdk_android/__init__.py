"""A hardware plugin of nagsdk for Android phones, which it reaches by ADB and times with TFLite's benchmark_model."""
