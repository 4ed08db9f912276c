"""An MCP server on standard input and output, with nagsdk's verbs as tools.

The transport of the package mcp keeps the two streams to itself: whatever else writes to standard output, such as a
plugin or a library, writes to standard error instead, and no child process reads the client's messages.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from nagsdk.agents.tools import call, tools
from nagsdk.common.pip import pip
from nagsdk.common.version import VERSION
from nagsdk.errors import NagsdkError, UsageError
from nagsdk.events import Event, Listener, Notice, Started

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

_INSTRUCTIONS = (
    "nagsdk finds, measures and exports image classifiers that hold a latency, size or compute budget on a device. "
    "Start with devices and bundles; generate answers a budget by prediction, frontier shows what other budgets would "
    "bring. Only a deployment whose verdict is held was measured to hold its budget. Errors end with the next step."
)


def skill() -> str:
    """The text of SKILL.md, which explains the command line to coding agents."""
    return files("nagsdk.agents").joinpath("SKILL.md").read_text("utf-8")


def serve(allow_deploy: bool, on_event: Listener) -> None:
    """Serves one client until it closes the connection.

    Args:
        allow_deploy: Whether clients may deploy and verify, which run models and measure; deploying also writes files.
        on_event: Receives the events of all tools.

    Raises:
        UsageError: The package mcp is not installed.
    """
    try:
        import anyio
        from mcp.server.stdio import stdio_server
    except ImportError as error:
        raise UsageError(
            "The server for agents needs the package mcp.", f"Install it: {pip('install', 'nagsdk[mcp]')}"
        ) from error

    async def run() -> None:
        server = make_server(allow_deploy, on_event)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    anyio.run(run)


def make_server(allow_deploy: bool, on_event: Listener) -> Server:
    """The server with its tools; see `serve`."""
    import anyio
    from anyio import from_thread, to_thread
    from mcp import types
    from mcp.server.lowlevel import Server

    known = tools(allow_deploy)
    one_at_a_time = anyio.CapacityLimiter(1)  # measurements disturb each other

    async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=name,
                    description=tool.description,
                    input_schema=tool.input.model_json_schema(),
                    annotations=types.ToolAnnotations(read_only_hint=tool.read_only, open_world_hint=False),
                )
                for name, tool in known.items()
            ]
        )

    async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        count = 0

        def heard(event: Event) -> None:
            nonlocal count
            from_thread.check_cancelled()  # ends the work of a client that no longer waits for it
            on_event(event)
            if isinstance(event, (Started, Notice)):
                count += 1
                from_thread.run(ctx.session.report_progress, count, None, event.text)

        answer, failed = await to_thread.run_sync(
            lambda: _answer(lambda: call(known, params.name, params.arguments or {}, heard)),
            abandon_on_cancel=True,
            limiter=one_at_a_time,
        )
        text = "\n".join((answer["error"], answer["next_step"])) if failed else json.dumps(answer, allow_nan=False)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text)], structured_content=answer, is_error=failed
        )

    return Server(
        "nagsdk", version=VERSION, instructions=_INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool
    )


def _answer(work: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """What a tool answers, and whether it failed; an agent can correct what the error names."""
    try:
        return work(), False
    except NagsdkError as error:
        return {"error": error.message, "next_step": error.next_step, "exit_code": error.exit_code}, True
    except Exception as error:  # the connection must outlive a bug of a plugin
        traceback.print_exc()
        what = f"{type(error).__name__}: {error}"
        step = "This is a bug in nagsdk or in a plugin; the server's standard error has the traceback."
        return {"error": what, "next_step": step, "exit_code": 1}, True
