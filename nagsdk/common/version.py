"""The version of nagsdk."""

VERSION = "0.1.0"
