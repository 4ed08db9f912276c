"""``nagsdk mcp``."""

from __future__ import annotations

import click

from nagsdk.cli import options as o
from nagsdk.cli.printing import say
from nagsdk.cli.progress import warn


@o.command("mcp", "nagsdk mcp", "nagsdk mcp --allow-deploy", "nagsdk mcp --skill > SKILL.md")
@click.option(
    "--allow-deploy",
    is_flag=True,
    help="Offer the tools deploy and verify, which run models and measure; deploy writes files.",
)
@click.option("--skill", is_flag=True, help="Print SKILL.md, which explains the command line to agents, and end.")
def command(allow_deploy: bool, skill: bool) -> None:
    """Serve coding agents by the Model Context Protocol.

    Runs on standard input and output until the client ends it. The tools devices, bundles, generate, predict, frontier
    and report only read. Needs the extra mcp: pip install 'nagsdk[mcp]'.
    """
    from nagsdk.agents import server

    if skill:
        say(server.skill().rstrip("\n"))
    else:
        server.serve(allow_deploy, warn)
