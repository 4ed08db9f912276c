"""A hardware plugin of nagsdk for OpenVINO on this machine, made from the template."""
