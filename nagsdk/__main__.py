"""``python -m nagsdk``."""

from nagsdk.cli import main

main()
