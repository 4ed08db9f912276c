"""The command line: parses arguments, calls the API and prints. One file per command."""

from __future__ import annotations

import difflib
import gc
import os
import sys
import traceback
import warnings
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from nagsdk.cli import streams
from nagsdk.cli.own_process import set_up
from nagsdk.cli.printing import say
from nagsdk.cli.progress import at_once
from nagsdk.cli.stopping import Stopping
from nagsdk.common.os_errors import named, out_of_memory
from nagsdk.common.version import VERSION
from nagsdk.errors import NagsdkError, printable
from nagsdk.events import heard_by

# Name -> (module, one line of help). A module is imported only when its command runs.
COMMANDS = {
    "deploy": ("deploy", "Build a model file that was measured to hold a budget on a device."),
    "init": ("init", "Declare a model that an app needs in nagsdk.toml."),
    "build": ("build", "Bring the deployments declared in nagsdk.toml up to date."),
    "try": ("try_images", "Predict the classes of images with a deployment."),
    "verify": ("verify", "Check a deployment again: hashes, outputs, latency."),
    "report": ("report", "Write the HTML page of a deployment, or compare several."),
    "generate": ("generate", "Find the best architecture for a budget without measuring."),
    "frontier": ("frontier", "Show the best accuracy for every budget, in a table or picture."),
    "bench": ("bench", "Compare ways to find architectures."),
    "fleet": ("fleet", "Choose the few models that serve the devices of all users."),
    "predict": ("predict", "Predict accuracy and cost of given architectures."),
    "profile": ("profile", "Measure given architectures on a device, with random weights."),
    "calibrate": ("calibrate", "Fit the cost model of a device from a few measurements."),
    "export": ("export", "Write the model file of one given architecture."),
    "train": ("train", "Train a bundle on a folder of images."),
    "evaluate": ("evaluate", "Measure the top-1 of subnets."),
    "predictor": ("predictor", "Fit accuracy predictors to measured subnets."),
    "devices": ("devices", "List the devices, and describe new ones."),
    "lab": ("lab", "Measure on the devices of several hosts."),
    "store": ("store", "Export, import and delete stored measurements."),
    "generator": ("generator", "Train generators."),
    "bundle": ("bundle", "List, inspect and fetch bundles."),
    "android": ("android", "Install the tool that measures on Android phones."),
    "plugins": ("plugins", "List the plugins and their state, or write a new one."),
    "mcp": ("mcp", "Serve coding agents (Model Context Protocol), or print a skill for them."),
    "doctor": ("doctor", "Check this installation, and name the commands that fix it."),
    "config": ("config", "Show the settings, and where each value comes from."),
    "completion": ("completion", "Print the script for command completion in a shell."),
}

EPILOG = """\b
Examples:
  nagsdk deploy --device cpu --budget 0.2ms
  nagsdk generate --device cpu --bundle imagenet --budget 20ms --json
  nagsdk bundle pull imagenet

\b
Exit codes: 0 success (held or unverified), 1 internal error, 2 wrong usage,
3 budget missed or infeasible, 4 device, 5 bundle or weights, 6 verification
required but impossible, 7 not as pinned,
130 stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP.
"""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Imports the command's module."""
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"nagsdk.cli.{COMMANDS[name][0]}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggests a similar command if there is none with the given name."""
        if (
            args[0] not in COMMANDS
            and not ctx.resilient_parsing
            and (near := difflib.get_close_matches(args[0], COMMANDS, n=1))
        ):
            ctx.fail(f"There is no command {args[0]!r}. Did you mean {near[0]}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="nagsdk")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """A latency budget and a device in, a measured model file that holds the budget out."""
    ctx.with_resource(heard_by(at_once))
    Path.cwd()  # where it was removed, libraries end the process and do not say why


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Python would show the place in the code as well, which says nothing to users of a command."""
    return f"Warning: {printable(str(message))}\n"


def main() -> NoReturn:
    """Runs the command line and exits with the documented code."""
    # Imports make tens of thousands of objects that stay. With the default of 700 new ones, Python would look through
    # them a hundred times for garbage that is not there.
    gc.set_threshold(50_000, *gc.get_threshold()[1:])
    streams.prepare()
    set_up()
    stopping = Stopping()
    warnings.formatwarning = _one_line
    try:
        stopping.listen()
        code = _run()
        stopping.finish()
    except (click.exceptions.Abort, KeyboardInterrupt):
        stopping.finish()
        stopping.leave("Interrupted; the measurements so far are stored.")
    if "TORCHELASTIC_RUN_ID" in os.environ:
        # Threads of torch's process groups sometimes abort the process while Python ends, and torchrun then fails.
        stopping.end(code)
    sys.exit(code)


def _run() -> int:
    """Runs the command and returns its exit code; an interruption passes."""
    output = sys.stdout
    try:
        streams.check()
        code: int = cli.main(standalone_mode=False) or 0
        streams.flush()
    except click.exceptions.Abort:
        raise
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except NagsdkError as error:
        code = _tell(error)
    except SystemExit:
        if sys.stdout is output:
            raise
        code = 0  # click has exchanged a standard output that nobody reads any more
    except BrokenPipeError:
        streams.discard()
        code = 0
    except OSError as error:
        if error.errno is None:
            return _bug()
        streams.discard()
        code = _tell(named(error))
    except Exception as error:  # anything else that is unforeseen is a bug, and the user should report it
        lacking = out_of_memory(error)
        code = _bug() if lacking is None else _tell(lacking)
    return code


def _tell(error: NagsdkError) -> int:
    say(f"Error: {error.message}", fg="red", err=True)
    say(error.next_step, err=True)
    return error.exit_code


def _bug() -> int:
    traceback.print_exc()
    click.echo("This is a bug in nagsdk or in a plugin. Please report it with the lines above.", err=True)
    return 1
