"""A hardware plugin of nagsdk for Arm's Ethos-U, through Arm's compiler Vela; no board is needed."""
