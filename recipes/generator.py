"""Trains the generator of a bundle on its accuracy predictor, and records it in bundle.json.

    python recipes/generator.py bundles/imagenet

Run it again whenever the predictor was fitted again. Takes about ten minutes on one core for the ImageNet space, two
minutes for `glyphs`; the same seed gives the same file.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from nagsdk.bundle.bundle import GENERATOR, Bundle
from nagsdk.bundle.names import DESCRIPTION
from nagsdk.common.files import sha256, write_atomically
from nagsdk.events import Advanced, Event, Finished
from nagsdk.generator.generator import Generator


def record(folder: Path) -> None:
    """Records the generator's hash and length in bundle.json."""
    description = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    file = folder / GENERATOR
    files = {**description["files"], GENERATOR: {"sha256": sha256(file), "bytes": file.stat().st_size}}
    description["files"] = dict(sorted(files.items()))
    description["provenance"]["generator"] = "recipes/generator.py; its card is inside the file"
    write_atomically(folder / DESCRIPTION, (json.dumps(description, indent=1, ensure_ascii=False) + "\n").encode())


def main() -> None:
    """Trains, saves and prints the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.process_time()

    def show(event: Event) -> None:
        if isinstance(event, Finished) or (isinstance(event, Advanced) and event.done % 100 == 0):
            print(f"{time.process_time() - start:6.0f} s  {event.text}", file=sys.stderr, flush=True)

    bundle = Bundle(options.bundle)
    generator = Generator.trained(bundle.space, bundle.predictor, seed=options.seed, on_event=show)
    generator.save(options.bundle / GENERATOR)
    record(options.bundle)
    print(json.dumps(asdict(generator.card), indent=1))


if __name__ == "__main__":
    main()
