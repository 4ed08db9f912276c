"""The MCP server, called by the client of the package mcp: over the streams of a process, and in this process."""

import asyncio
import json
import os
import sys

import jsonschema
import pytest

import nagsdk
from nagsdk.events import Notice
from tests.few_images import few_images  # noqa: F401
from tests.pipeline.test_loop import simulate, world  # noqa: F401 — fixtures

pytest.importorskip("mcp", reason="the package mcp is not installed: pip install 'nagsdk[mcp]'")

from mcp import Client, StdioServerParameters

from nagsdk.agents.server import make_server

READ_ONLY = ["bundles", "devices", "frontier", "generate", "predict", "report"]
ARCHITECTURE = "mbv3:r32:d=1,1,1,1:ks=3,3,3,3:e=2,2,2,2"


def _process(*arguments):
    environment = {name: value for name, value in os.environ.items() if name.startswith(("NAGSDK_", "PYTHON"))}
    path = os.pathsep.join(filter(None, sys.path))
    return StdioServerParameters(command=sys.executable, args=[*arguments], env={**environment, "PYTHONPATH": path})


def talk(server, conversation, **options):
    """Runs a conversation with a server; a reply that never comes fails the test."""

    async def run():
        async with Client(server, **options) as client:
            return await conversation(client)

    return asyncio.run(asyncio.wait_for(run(), 300))


def one(tool, arguments=None):
    return lambda client: client.call_tool(tool, arguments or {})


def test_a_process_serves_the_tools_that_only_read():
    async def conversation(client):
        listed = (await client.list_tools()).tools
        answers = {
            "devices": await client.call_tool("devices", {}),
            "bundles": await client.call_tool("bundles", {}),
            "generate": await client.call_tool(
                "generate", {"device": "cpu", "batch": 8, "budget": ["2000FPS@p90", "1MB"]}
            ),
            "frontier": await client.call_tool("frontier", {"device": "pixel", "points": 5}),
        }
        # Calls at the same time are answered one after the other.
        answers["many"] = await asyncio.gather(
            *(client.call_tool("predict", {"architectures": [ARCHITECTURE], "device": d}) for d in ("cpu", "pixel"))
        )
        return listed, answers

    listed, answers = talk(_process("-m", "nagsdk", "mcp"), conversation)
    assert sorted(tool.name for tool in listed) == READ_ONLY
    for tool in listed:
        jsonschema.Draft202012Validator.check_schema(tool.input_schema)
        assert tool.annotations.read_only_hint and tool.input_schema["additionalProperties"] is False
        assert all("description" in about for about in tool.input_schema["properties"].values())
    assert "cpu" in [device["id"] for device in answers["devices"].structured_content["devices"]]
    assert "glyphs" in [bundle["name"] for bundle in answers["bundles"].structured_content["bundles"]]
    result = answers["generate"]
    (expected,) = nagsdk.generate("cpu", [["2000FPS@p90", "1MB"]], batch=8)
    assert result.is_error is False and json.loads(result.content[0].text) == result.structured_content
    assert result.structured_content == json.loads(json.dumps(expected.to_dict()))
    assert len(answers["frontier"].structured_content["rows"]) == 5
    assert [a.structured_content["results"][0]["device"] for a in answers["many"]] == ["cpu", "pixel"]


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "says"),
    [
        ("generate", {"device": "cpv", "budget": ["1ms"]}, 2, "Did you mean cpu"),
        ("generate", {"device": "cpu", "budget": ["80"]}, 2, "80ms"),
        ("generate", {"device": "cpu"}, 2, "No budget was given"),
        ("generate", {"device": "cpu", "budget": ["1kMACs"]}, 3, "the cheapest needs"),
        ("generate", {"device": "cpu", "budget": ["1ms"], "bath": 8}, 2, "did you mean batch?"),
        ("generate", {"budget": ["1ms"]}, 2, "device is missing"),
        ("generate", {"device": "cpu", "budget": ["1ms"], "threads": 0}, 2, "threads"),
        ("generate", {"device": "cpu", "budget": ["1ms"], "batch": 10**9}, 2, "batch"),
        ("generate", {"device": "cpu", "budget": ["1ms"] * 9}, 2, "budget"),
        ("generate", {"device": "cpu", "min_top1": 0.76}, 2, "min_top1"),
        ("predict", {"architectures": []}, 2, "architectures"),
        ("predict", {"architectures": ["mbv3:nonsense"]}, 2, "mbv3:r"),
        ("frontier", {"device": "cpu", "points": 10**6}, 2, "points"),
        ("frontier", {"device": "cpu", "metric": "joy"}, 2, "latency, macs"),
        ("report", {"folders": ["/no/such/folder"]}, 2, "manifest.json"),
        ("report", {"folders": "model"}, 2, "folders"),
        ("devices", {"all": True}, 2, "Arguments: none"),
        ("deploy", {"device": "cpu", "budget": ["1ms"], "output": "x"}, 2, "nagsdk mcp --allow-deploy"),
        ("verify", {"folder": "x"}, 2, "nagsdk mcp --allow-deploy"),
        ("generator", {}, 2, "Did you mean generate"),
    ],
)
def test_an_error_is_an_answer_with_the_next_step(tool, arguments, code, says):
    answer = talk(make_server(False, lambda event: None), one(tool, arguments))
    assert answer.is_error and says in answer.content[0].text
    found = answer.structured_content
    assert found["exit_code"] == code and found["next_step"]
    assert answer.content[0].text == f"{found['error']}\n{found['next_step']}"


def test_a_bug_ends_the_call_and_not_the_connection(monkeypatch, capsys):
    from nagsdk import inventory

    async def conversation(client):
        monkeypatch.setattr(inventory, "devices", lambda: 1 / 0)
        failed = await client.call_tool("devices", {})
        return failed, await client.call_tool("bundles", {})

    failed, answered = talk(make_server(False, lambda event: None), conversation)
    assert failed.is_error and "ZeroDivisionError" in failed.content[0].text and "plugin" in failed.content[0].text
    assert not answered.is_error and "Traceback" in capsys.readouterr().err


def test_what_plugins_print_is_kept_out_of_the_protocol():
    script = (
        "import os, subprocess, sys\n"
        "from nagsdk import inventory\n"
        "def devices():\n"
        "    print('printed by a plugin'); sys.stdout.flush(); os.write(1, b'written by a library\\n')\n"
        "    subprocess.run([sys.executable, '-c', \"import sys; print('child', sys.stdin.read())\"], check=True)\n"
        "    return [{'id': 'noisy'}]\n"
        "inventory.devices = devices\n"
        "from nagsdk.agents.server import serve\n"
        "serve(False, lambda event: None)\n"
    )
    strange = []

    async def conversation(client):
        return [await client.call_tool("devices", {}) for _ in range(2)]

    async def unexpected(message):
        if isinstance(message, Exception):
            strange.append(message)

    answers = talk(_process("-c", script), conversation, message_handler=unexpected)
    assert [answer.structured_content for answer in answers] == [{"devices": [{"id": "noisy"}]}] * 2
    assert strange == []


def test_a_deployment_is_made_where_it_is_allowed_and_reported(simulate, tmp_path):  # noqa: F811
    simulate()
    heard, progress = [], []
    asked = {"device": "board", "budget": ["500FPS"], "output": str(tmp_path / "out")}

    async def told(done, total, message):
        progress.append((done, message))

    async def conversation(client):
        (deploy,) = [tool for tool in (await client.list_tools()).tools if tool.name == "deploy"]
        answer = await client.call_tool("deploy", asked, progress_callback=told)
        again = await client.call_tool("deploy", {**asked, "output": str(tmp_path / "more"), "min_top1": 85})
        folders = [str(tmp_path / "out"), str(tmp_path / "more")]
        slow = {
            "format": 1,
            "model_sha256": answer.structured_content["artifact"]["sha256"],
            "latencies_ms": [9.0] * 40,
        }
        (tmp_path / "probe.json").write_text(json.dumps(slow), "utf-8")
        probe = {"folder": folders[0], "probe": str(tmp_path / "probe.json")}
        verified = [await client.call_tool("verify", given) for given in ({"folder": folders[0]}, probe)]
        return deploy, answer, again, await client.call_tool("report", {"folders": folders}), verified

    deploy, answer, again, report, verified = talk(make_server(True, heard.append), conversation)
    found = [one.structured_content for one in verified]
    assert [one["exit_code"] for one in found] == [0, 3]
    assert found[1]["checks"][-1]["name"] == "probe" and "exceeds 500FPS" in found[1]["checks"][-1]["detail"]
    assert deploy.annotations.read_only_hint is False
    assert answer.structured_content["verdict"] == "held" and answer.structured_content["budget"]["text"] == "500FPS"
    assert (tmp_path / "out/model.onnx").is_file() and not again.is_error
    first, second = report.structured_content["deployments"]
    assert first["artifact"]["sha256"] == answer.structured_content["artifact"]["sha256"]
    assert (first["batch"], first["timing_only"], second["min_top1"]) == (1, False, 85)
    rows = {row["title"]: row for row in report.structured_content["rows"]}
    assert rows["budget"]["values"] == ["500FPS", "500FPS"]
    assert [done for done, _ in progress] == sorted({done for done, _ in progress}) and len(progress) > 2
    assert any(isinstance(event, Notice) or event.text for event in heard)


def test_reading_leaves_the_deployment_as_it_is(world, tmp_path):  # noqa: F811
    nagsdk.export("board", ARCHITECTURE, tmp_path / "out", timing_only=True)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").iterdir()}
    answer = talk(make_server(False, lambda event: None), one("report", {"folders": [str(tmp_path / "out")]}))
    (found,) = answer.structured_content["deployments"]
    assert found["timing_only"] is True and answer.structured_content["rows"] == []
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").iterdir()} == before
