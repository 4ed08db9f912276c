"""Makes a bundle of small vision transformers from the pictures of `glyphs`, by `nagsdk train --space vit`.

    python recipes/glyphs/transformer.py --output glyphs-vit --work build/glyphs-vit

Needs the Debian packages in fonts.txt, as build.py does. It renders the pictures into a folder with one subfolder for
each class, as a user's own images would be, and trains on them. With its defaults this takes hours on one core; with
`--pictures 6000 --epochs 3 --subnets 50 --no-generator` minutes, and the networks then have learnt little. A finished
step is not repeated.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fonts import CHARACTERS, catalogue, split
from PIL import Image
from render import Look, render_many
from setting import BATCH, SIDE

from nagsdk.common.files import write_atomically
from nagsdk.events import Advanced, Event
from nagsdk.families import preset
from nagsdk.training.train import train

# Of each part as many as in build.py, for 100,000 training pictures.
SHARES = {"train": 1.0, "val": 0.08, "test": 0.026}
LEAST = 2 * len(CHARACTERS)


def class_name(character: str) -> str:
    """Name of the folder of a character; a and A must differ on every file system."""
    return f"{'small' if character.islower() else 'capital' if character.isupper() else 'digit'}-{character}"


def render_folder(folder: Path, fonts: list[Path], pictures: int, seed: int) -> None:
    """Renders the pictures of every part as PNG files; those of a finished part are not rendered again."""
    parts = split(catalogue(fonts), seed)
    for number, ((part, share), faces) in enumerate(zip(SHARES.items(), parts, strict=True)):
        done, count = folder / f"{part}.json", max(LEAST, round(share * pictures))
        if done.exists():
            continue
        for character in CHARACTERS:
            (folder / "images" / part / class_name(character)).mkdir(parents=True, exist_ok=True)
        drawn = render_many(faces, count, SIDE, Look(), seed + number)
        for index, (image, label) in enumerate(zip(drawn.images, drawn.labels.tolist(), strict=True)):
            Image.fromarray(image).save(
                folder / "images" / part / class_name(CHARACTERS[label]) / f"{index:06d}.png", compress_level=1
            )
        write_atomically(done, json.dumps({"pictures": count, "fonts": len(faces)}).encode())


def space_file(folder: Path) -> Path:
    """Writes the definition of the space, at the resolutions that the pictures have."""
    definition: dict[str, Any] = preset("vit").to_dict()
    definition["pixels"] = [pixels for pixels in definition["pixels"] if pixels <= SIDE]
    path = folder / "space.json"
    write_atomically(path, json.dumps(definition).encode())
    return path


def show(event: Event) -> None:
    """Prints every hundredth step of progress."""
    if isinstance(event, Advanced) and event.done % 100 == 0:
        print(event.text, flush=True)


def main() -> int:
    """Renders and trains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of the new bundle")
    parser.add_argument("--work", type=Path, default=Path("build/glyphs-vit"), help="folder of the pictures")
    parser.add_argument(
        "--fonts", type=Path, action="append", help="folder with fonts (repeatable; default: /usr/share/fonts)"
    )
    parser.add_argument("--pictures", type=int, default=100_000, help="training pictures (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=4, help="passes over them (default: %(default)s)")
    parser.add_argument("--subnets", type=int, default=300, help="subnets to measure (default: %(default)s)")
    parser.add_argument("--no-generator", action="store_true", help="leave the generator to the first deployment")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    render_folder(options.work, options.fonts or [Path("/usr/share/fonts")], options.pictures, options.seed)
    report = train(
        data=options.work / "images",
        output=options.output,
        space=str(space_file(options.work)),
        epochs=options.epochs,
        batch=BATCH,
        subnets=options.subnets,
        flip=False,
        generator=not options.no_generator,
        seed=options.seed,
        on_event=show,
    )
    print(json.dumps(report.to_dict(), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
