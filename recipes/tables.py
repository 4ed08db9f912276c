"""Makes the latency tables that the benchmarks read, from the public repository in which they were published.

    python recipes/tables.py --output DIR [--from FOLDER]

It downloads 69 files (4 MB) of HELP (Lee et al., NeurIPS 2021; github.com/HayeonLee/HELP, MIT licence) at one commit.
Each must have the hash that recipes/tables.sha256 lists. They become DIR/help_fbnet.csv, DIR/help_nb201.csv and
DIR/help_ofa_mbv3.csv, one row for each architecture and one column for each device, in milliseconds. With --from, the
files are read from FOLDER, a clone or an unpacked archive of that repository, and nothing is downloaded. What is made
is the same in every case, byte for byte. The tables belong to their authors, and are not part of this project.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from nagsdk.common.download import download
from nagsdk.common.files import write_atomically
from nagsdk.errors import NagsdkError

REPOSITORY, COMMIT, LICENCE = "HayeonLee/HELP", "45f70eb92d0d735970a33b608d1544ad3c52f285", "MIT"
SUMS = Path(__file__).with_suffix(".sha256")
_MOST_BYTES = 4 * 10**6
_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")

Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Table:
    """One table of the repository.

    Attributes:
        folder: Folder of the repository that holds the latencies.
        architectures: File of the architectures.
        rows: Turns the content of that file into the first columns of every row, in the order of the latencies.
    """

    folder: str
    architectures: str
    rows: Callable[[Any], Rows]


def digits(values: Any) -> str:
    """The digits of small whole numbers, one after the other."""
    return "".join(str(int(value)) for value in values)


def of_blocks(content: Any) -> Rows:
    """Architectures of FBNet: the number of the block at each of 22 places."""
    return [{"ops": digits(blocks)} for blocks in content]


def of_cells(content: Any) -> Rows:
    """Architectures of NAS-Bench-201: the number of the operation on each of six edges."""
    cells = sorted(content, key=content.__getitem__)
    if [content[cell] for cell in cells] != list(range(len(cells))):
        raise ValueError("the cells are not numbered from 0 on")
    return [{"ops": digits(map(_OPERATIONS.index, re.findall(r"(\w+)~\d", cell)))} for cell in cells]


def of_subnets(content: Any) -> Rows:
    """Subnets of Once-for-All: kernels, expansions, depths and resolution."""
    return [
        {**{key: digits(subnet[key]) for key in ("ks", "e", "d")}, "r": str(int(subnet["r"]))}
        for subnet in content["arch"]
    ]


TABLES = {
    "help_fbnet.csv": Table("data/fbnet", "arch.pt", of_blocks),
    "help_nb201.csv": Table("data/nasbench201", "str_arch2idx.pt", of_cells),
    "help_ofa_mbv3.csv": Table("data/ofa", "ofa_archs.pt", of_subnets),
}


def read_sums(path: Path = SUMS) -> dict[str, str]:
    """The SHA-256 of every file of the repository that is used, by its path."""
    lines = (line.split(maxsplit=1) for line in path.read_text("utf-8").splitlines())
    return {name: digest for digest, name in lines}


def fetch(names: list[str], folder: Path) -> None:
    """Downloads files of the repository into a folder."""
    for number, name in enumerate(names, 1):
        print(f"\r{number} of {len(names)}: {name:<60}", end="", file=sys.stderr, flush=True)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        download(f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/{name}", path, _MOST_BYTES, hash_known=True)
    print(file=sys.stderr)


def make(folder: Path, output: Path, sums: Mapping[str, str]) -> None:
    """Makes the tables.

    Args:
        folder: Files of the repository, as they lie in it.
        output: Folder for the tables.
        sums: The SHA-256 of every file, by its path.

    Raises:
        SystemExit: A file is missing or is not the published one; nothing is written then.
    """
    contents = {name: read(folder / name, digest) for name, digest in sums.items()}
    tables = {name: text_of(table, contents) for name, table in TABLES.items()}
    output.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        write_atomically(output / name, text.encode())


def read(path: Path, digest: str) -> bytes:
    """The bytes of a file whose hash must be the given one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        sys.exit(f"{path} cannot be read: {error.strerror}. --from needs a clone of {REPOSITORY} at {COMMIT}.")
    if sha256(content).hexdigest() != digest:
        sys.exit(f"{path} is not the file of {REPOSITORY} at {COMMIT}: its SHA-256 is another one.")
    return content


def text_of(table: Table, contents: Mapping[str, bytes]) -> str:
    """The CSV of a table: architectures, and latencies on every device with four significant digits."""
    rows = table.rows(unpacked(contents[f"{table.folder}/{table.architectures}"]))
    start = f"{table.folder}/latency/"
    devices = sorted(Path(name).stem for name in contents if name.startswith(start))
    latencies = [unpacked(contents[f"{start}{device}.pt"]) for device in devices]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["idx", *rows[0], *devices])
    for number, (row, values) in enumerate(zip(rows, zip(*latencies, strict=True), strict=True)):
        writer.writerow([number, *row.values(), *(f"{float(value):.4g}" for value in values)])
    return text.getvalue()


def unpacked(content: bytes) -> Any:
    """The lists and numbers of a file of PyTorch; no code in it runs."""
    import numpy as np
    import torch

    scalar = np.int64(0).__reduce__()[0]
    # numpy 1 and 2 call it by different names.
    names: list[Any] = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    with torch.serialization.safe_globals([*names, np.dtype, np.dtypes.Int64DType]):
        return torch.load(io.BytesIO(content), weights_only=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for the tables")
    parser.add_argument("--from", dest="source", type=Path, help="folder that holds the repository's files already")
    options = parser.parse_args()
    sums = read_sums()
    print(f"{REPOSITORY} at {COMMIT}, licence {LICENCE}: https://github.com/{REPOSITORY}/blob/{COMMIT}/LICENSE")
    try:
        if options.source is not None:
            make(options.source, options.output, sums)
        else:
            with tempfile.TemporaryDirectory() as folder:
                fetch(list(sums), Path(folder))
                make(Path(folder), options.output, sums)
    except NagsdkError as error:
        sys.exit(f"{error.message} {error.next_step}")
    for name in TABLES:
        print(options.output / name)


if __name__ == "__main__":
    main()
