"""Reports and pictures of deployments and calibrations."""
