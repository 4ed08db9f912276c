"""``nagsdk completion``."""

from __future__ import annotations

import click

from nagsdk.cli import options as o


@o.command(
    "completion",
    'eval "$(nagsdk completion bash)"       # in ~/.bashrc',
    'eval "$(nagsdk completion zsh)"        # in ~/.zshrc',
    "nagsdk completion fish > ~/.config/fish/completions/nagsdk.fish",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script for command completion in a shell.

    It completes commands, options, devices and bundles.
    """
    from click.shell_completion import get_completion_class

    from nagsdk.cli import cli

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "nagsdk", "_NAGSDK_COMPLETE").source())
