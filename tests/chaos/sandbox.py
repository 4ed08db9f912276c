"""The world in which commands meet faults: folders of their own, the state that they start from, and what is whole."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nagsdk.bundle.bundle import Bundle
from nagsdk.bundle.imported import SUPERNET_WEIGHTS
from nagsdk.common.files import sha256
from nagsdk.common.temporary import PARTIAL, TEMPORARY
from nagsdk.manifest.manifest import MANIFEST, read_manifest
from nagsdk.measuring.store import STORE, Store
from tests.conftest import REPOSITORY

STUCK_S = 300.0


@dataclass
class Ended:
    """How a command ended.

    Attributes:
        code: Exit code; negative if a signal killed it.
        seconds: From its start, or from the signal that was sent.
        said: What it wrote to standard error.
        changes: The changes of files that it made; empty if it was killed.
    """

    code: int
    seconds: float
    said: str
    changes: list[str]


class Server:
    """Starts commands in forks of one warm process.

    Args:
        tracer: A program with arguments that starts and watches that process.
    """

    def __init__(self, *tracer: str) -> None:
        paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "plugins")])
        self._process = subprocess.Popen(
            [*tracer, sys.executable, "-m", "tests.chaos.server"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        )
        assert self._process.stdout.readline() == "ready\n"

    def run(self, sandbox: "Sandbox", arguments, *, number=None, after=0.0, **faults) -> Ended:
        """Runs a command, and sends it a signal after some seconds."""
        logs = sandbox.root.parent / "logs"
        logs.mkdir(exist_ok=True)
        told = logs / "changes.json"
        told.unlink(missing_ok=True)
        request = {
            "arguments": arguments,
            "environment": sandbox.environment,
            "folder": str(sandbox.work),
            "stdout": str(logs / "stdout"),
            "stderr": str(logs / "stderr"),
            "told": str(told),
            "faults": {"root": str(sandbox.root), **faults},
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        pid = json.loads(self._process.stdout.readline())["pid"]
        sent = None
        if number is not None:
            time.sleep(after)
            sent = time.monotonic()
            with contextlib.suppress(ProcessLookupError):  # it has ended before
                os.kill(pid, number)
        ended = self._wait(pid)
        seconds = ended["seconds"] if sent is None else time.monotonic() - sent
        changes = json.loads(told.read_text()) if told.exists() else []
        return Ended(ended["code"], seconds, (logs / "stderr").read_text("utf-8", "replace"), changes)

    def _wait(self, pid):
        import select

        ready, _, _ = select.select([self._process.stdout], [], [], STUCK_S)
        if not ready:
            with contextlib.suppress(OSError):
                os.killpg(pid, 9)
            raise AssertionError(f"the command did not end within {STUCK_S:g} s")
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


class Sandbox:
    """Folders for commands, below one root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.work, self.temporary = root / "work", root / "tmp"
        self.cache, self.data = root / "cache", root / "data"
        self.environment = {
            **{k: v for k, v in os.environ.items() if k.startswith(("PATH", "LD_", "PYTHON", "VIRTUAL"))},
            "HOME": str(root / "home"),
            "TMPDIR": str(self.temporary),
            "NAGSDK_CACHE_DIR": str(self.cache),
            "NAGSDK_DATA_DIR": str(self.data),
            "OMP_NUM_THREADS": "1",
        }

    def make(self) -> "Sandbox":
        """Makes the folders, and files of the user's in each of them."""
        for folder in (self.work, self.temporary, self.cache, self.data, self.root / "home"):
            folder.mkdir(parents=True)
            decoy = folder / "mine"
            decoy.mkdir()
            (decoy / "thesis.txt").write_text("years of work")
            (folder / ".nagsdk-partial-mine").write_text("looks like ours, and is not")
        return self

    def restore(self, template: "Sandbox", command: "Command") -> None:
        """Becomes a copy of another sandbox, ready for a command."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(template.root, self.root, symlinks=True)
        command.before(self)

    def decoys(self) -> dict[str, str]:
        """The files of the user's."""
        mine = [
            *self.root.glob("*/mine/*"),
            *self.root.glob("*/.nagsdk-partial-mine"),
            *self.root.glob("work/photos/*/*"),
        ]
        return {str(file.relative_to(self.root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in mine}

    def names(self) -> set[str]:
        """What lies in the folders; the files that SQLite keeps beside a store belong to it, whoever closed it last."""
        names = {str(path.relative_to(self.root)) for path in self.root.rglob("*")}
        return {name for name in names if not name.endswith((f"{STORE}-wal", f"{STORE}-shm"))}

    def left(self) -> list[str]:
        """Temporary files and folders of ours."""
        return [
            str(path.relative_to(self.root))
            for path in self.root.rglob("*")
            if path.name.startswith((PARTIAL, TEMPORARY)) and not path.name.endswith("-mine")
        ]

    def take_kept(self, told: str) -> None:
        """Removes complete results that could not take the place of the old ones; a command must say where they are."""
        for kept in list(self.root.rglob("*.new-*")):
            assert kept.name in told, kept
            shutil.rmtree(kept)

    def processes(self) -> list[str]:
        """Processes that a command started and that still run; they get a moment to die."""
        mark = f"TMPDIR={self.temporary}\0".encode()
        for _ in range(100):
            alive = []
            for environment in Path("/proc").glob("[0-9]*/environ"):
                with contextlib.suppress(OSError):
                    if mark in environment.read_bytes() + b"\0":
                        alive.append((environment.parent / "cmdline").read_text().replace("\0", " "))
            if not alive:
                return []
            time.sleep(0.05)
        return alive


@dataclass(frozen=True)
class Command:
    """A command, and what makes its outputs whole.

    Attributes:
        arguments: Its arguments.
        check: Raises an error unless the old or the new state is whole.
        before: Makes the state that it starts from out of the common one.
    """

    arguments: tuple[str, ...]
    check: Callable[[Sandbox], object]
    before: Callable[[Sandbox], object] = lambda sandbox: None


def whole_deployment(folder: Path) -> None:
    manifest = read_manifest(folder)
    found = {manifest["artifact"]["path"]: manifest["artifact"]["sha256"]}
    found |= {name: record["sha256"] for name, record in manifest["files"].items()}
    for name, digest in found.items():
        assert sha256(folder / name) == digest, name


def _deploy(sandbox: Sandbox) -> None:
    whole_deployment(sandbox.work / "out")


def _build(sandbox: Sandbox) -> None:
    app = sandbox.work / "app"
    from nagsdk.project.lock import read_lock  # pydantic is not installed everywhere where tests are collected

    lock = read_lock(app / "nagsdk.lock")
    assert lock
    for folder in (app / "assets").iterdir():
        if not folder.name.startswith("."):
            whole_deployment(folder)
    assert (app / "assets" / "ml" / MANIFEST).is_file()


def whole_bundle(folder: Path) -> None:
    bundle = Bundle(folder)
    for name, record in bundle.description.files.items():
        assert sha256(folder / name) == record.sha256, name


def _train(sandbox: Sandbox) -> None:
    if (sandbox.work / "trained").exists():
        whole_bundle(sandbox.work / "trained")


def _store(sandbox: Sandbox) -> int:
    path = sandbox.cache / STORE
    return Store(path).check() if path.exists() else 0


def _calibrate(sandbox: Sandbox) -> None:
    from nagsdk.cost import card

    _store(sandbox)
    space = Bundle(sandbox.work / "tiny").space
    cards = list((sandbox.cache / "cost").glob("*.json"))
    assert cards
    for path in cards:
        card.from_json(path.read_text("utf-8"), space)


def _pull(sandbox: Sandbox) -> None:
    folder = sandbox.data / "bundles" / Bundle(sandbox.work / "bare").weights_folder.name
    record = json.loads((folder / "weights.json").read_text())
    assert sha256(folder / SUPERNET_WEIGHTS) == record["sha256"]


def _import(sandbox: Sandbox) -> None:
    held = _store(sandbox)
    lines = len((sandbox.work / "readings.jsonl").read_text().splitlines()) - 2
    assert held in (0, lines), (held, lines)


def _forget_store(sandbox: Sandbox) -> None:
    """Begins without readings, as on a machine to which they are imported."""
    for path in sandbox.cache.glob(f"{STORE}*"):
        path.unlink()


BOARD = ("--device", "board", "--bundle", "./tiny")
TRAINING = ("--space", "space.json", "--epochs", "1", "--batch-size", "16", "--subnets", "50", "--no-generator")
COMMANDS = {
    "deploy": Command(("deploy", *BOARD, "--strategy", "lookup", "--budget", "0.09ms", "--output", "out"), _deploy),
    "build": Command(("build", "--project", "app"), _build),
    "train": Command(("train", "photos", "--output", "trained", *TRAINING), _train),
    "calibrate": Command(("calibrate", *BOARD, "--samples", "5", "--seed", "1"), _calibrate),
    "pull": Command(("bundle", "pull", "./bare", "--from", "new.pth"), _pull),
    "import": Command(("store", "import", "readings.jsonl"), _import, _forget_store),
}


def template(server: Server, root: Path) -> Sandbox:
    """Makes the state that commands start from: earlier outputs of each of them."""
    import torch

    from nagsdk.bundle.write import rewrite_bundle
    from nagsdk.families.mobilenet_v3.checkpoint import _ofa_names
    from tests.conftest import TINY
    from tests.pictures import COLOURS, fill

    sandbox = Sandbox(root).make()
    work = sandbox.work
    fill(work / "photos", dict.fromkeys(COLOURS, 12))
    (work / "space.json").write_text(json.dumps(TINY.to_dict()))

    def run(*arguments):
        ended = server.run(sandbox, arguments)
        assert ended.code == 0, ended.said

    run("train", "photos", "--output", "tiny", *TRAINING)
    bundle = Bundle(work / "tiny")
    rewrite_bundle(bundle, work / "bare", [], without=[SUPERNET_WEIGHTS])
    for seed, name in enumerate(("old.pth", "new.pth")):
        supernet = bundle.space.supernet()
        supernet.initialise(seed)
        state = supernet.state_dict()
        torch.save({"state_dict": {theirs: state[ours] for theirs, ours in _ofa_names(supernet).items()}}, work / name)
    run("bundle", "pull", "./bare", "--from", "old.pth")
    run("calibrate", *BOARD, "--samples", "9")
    run("deploy", *BOARD, "--strategy", "lookup", "--budget", "0.08ms", "--output", "out")
    project = work / "app"
    project.mkdir()
    text = (
        '[deployments.small]\ndevice = "board"\nbundle = "../tiny"\nstrategy = "lookup"\n'
        'budget = "{}ms"\noutput = "assets/ml"\n'
    )
    (project / "nagsdk.toml").write_text(text.format(0.08))
    run("build", "--project", "app")
    (project / "nagsdk.toml").write_text(text.format(0.09))
    run("store", "export", "readings.jsonl")
    assert not sandbox.left()
    return sandbox
