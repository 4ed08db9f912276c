"""Replays sessions of several networks under the rule of verdicts: how often does what was held pass a later check?

    python benchmarks/sessions.py [--file FILE] [--networks 6] [--sessions 12] [--device cpu] [--bundle glyphs]

Six sessions of each network are taken in turns, and again six of each. With --file they are kept, a line of JSON for
each, and read from there if the file exists. Then sessions of a verdict and of its check are drawn from those of one
network, with replacement, under limits that lie 5 to 40 % above the percentile. So the rule is judged without drift,
which `benchmarks/percentiles.py` contains. Last comes the likelihood of the scatter between sessions for several
weights of what is known beforehand. Takes some five seconds for each session, ten on a disturbed machine, and half a
minute more.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from nagsdk.budget import Budget
from nagsdk.common.temporary import temporary_folder
from nagsdk.cost.bounds import Completions
from nagsdk.generator.strategies import Nag
from nagsdk.measuring.across_sessions import AcrossSessions
from nagsdk.measuring.measurement import Measurement
from nagsdk.pipeline.calibrate import calibrate_target
from nagsdk.pipeline.models import question
from nagsdk.pipeline.rule import Rule
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import time_artifacts, timing_artifact

PERCENTILES = (90.0, 95.0)
TURN = 6
TIMES = 60
ROOM = (0.05, 0.35)
WEIGHTS = (1, 2, 3, 4, 6, 8, 12)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, help="where sessions are kept")
    parser.add_argument("--networks", type=int, default=6)
    parser.add_argument("--sessions", type=int, default=12, help="of each network (default: %(default)s)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bundle", default="glyphs")
    options = parser.parse_args()
    with temporary_folder() as folder:
        path = options.file or folder / "sessions.jsonl"
        if not path.exists():
            take(options, path)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    networks: dict[str, list[Measurement]] = defaultdict(list)
    for line in lines:
        networks[line["network"]].append(Measurement.from_dict(line["measurement"]))
    for percentile in PERCENTILES:
        replay(networks, percentile, lines[0]["known_spread"])
        likelihoods(networks, percentile, lines[0]["known_spread"])


def take(options: argparse.Namespace, path: Path) -> None:
    """Calibrates, and takes sessions of networks over the range of the device."""
    target = Target(options.device, options.bundle)
    model, space = calibrate_target(target, 30).calibration.model, target.bundle.space
    bounds = Completions.of(space, model.table)
    limits = np.linspace(1.05 * bounds.least, bounds.most, options.networks + 1)[:-1, None]
    architectures = space.decode(Nag().propose(question(target, [model.table], limits, 0))[:, 0])
    protocol = target.protocol.for_percentile(min(PERCENTILES))
    with temporary_folder() as folder, path.open("x") as file:
        paths = {a.text: timing_artifact(target, a, folder / str(number)) for number, a in enumerate(architectures)}
        for _ in range(0, options.sessions, TURN):
            for name in [name for name in paths for _ in range(min(TURN, options.sessions))]:
                found = time_artifacts(target, {name: paths[name]}, folder, protocol)[name]
                line = {"network": name, "known_spread": model.jitter.sessions, "measurement": found.to_dict()}
                file.write(json.dumps(line) + "\n")
                file.flush()


def replay(networks: dict[str, list[Measurement]], percentile: float, known: float) -> None:
    """Draws verdicts and their checks, and prints how many were held and passed."""
    rng, rows = np.random.default_rng(5), []
    for sessions in networks.values():
        figure = AcrossSessions.of(sessions, percentile, known).figure_ms
        for _ in range(TIMES):
            limit = figure * float(np.exp(rng.uniform(*ROOM)))
            rule = Rule([Budget("latency", limit, percentile)], known, sessions[0].protocol)
            drawn = [sessions[i] for i in rng.integers(0, len(sessions), 20)]
            turn: Any = SimpleNamespace(confirming=drawn[: rule.least], shares=np.zeros(1))
            while not (held := rule.needed(turn.confirming)[0] <= 1) and rule.may_hold(turn):
                turn.confirming = drawn[: len(turn.confirming) + 1]
            count = len(turn.confirming)
            rows.append((held, held and not rule.missed(drawn[-count:]), count))
    held, passed, count = np.array(rows).T
    print(
        f"p{percentile:g}: {held.mean():.0%} of {len(rows)} held, {passed.sum() / held.sum():.1%} of these passed, "
        f"{count[held > 0].mean():.1f} sessions"
    )


def likelihoods(networks: dict[str, list[Measurement]], percentile: float, known: float) -> None:
    """Prints the likelihood of the scatter if what is known counts as so many sessions (a scaled F distribution)."""
    from scipy.stats import f

    total = dict.fromkeys(WEIGHTS, 0.0)
    for sessions in networks.values():
        for turn in (sessions[i : i + TURN] for i in range(0, len(sessions), TURN)):
            if len(turn) < 2:
                continue
            found = AcrossSessions.of(turn, percentile, known)
            share = np.var(np.log(found.values_ms), ddof=1) / found.known_spread**2
            for weight in WEIGHTS:
                total[weight] += float(f.logpdf(share, len(turn) - 1, weight))
    best = max(total.values())
    shown = ", ".join(f"{weight}: {value - best:.1f}" for weight, value in total.items())
    print(f"p{percentile:g}: log-likelihood by the sessions that what is known counts as: {shown}")


if __name__ == "__main__":
    main()
