"""OpenVINO on this machine: a hardware plugin of nagsdk, made from the template."""
