"""Measures how fast files reach a phone, compared with the protocol library alone.

    python benchmarks/android.py --serial HOST:PORT [--megabytes 20] [--times 15] [--json]

HOST:PORT is the address at which a phone listens (``adb tcpip 5555``). Both sides send the same random file with the
same library, in turns. nagsdk also makes the phone confirm size and hash, and gives the file its name only then.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from nagsdk_android import tool
from nagsdk_android.keys import signer
from nagsdk_android.phone import FOLDER, Phone
from nagsdk_android.transport import tcp

TARGET = 1.5


def run(serial: str, megabytes: float, times: int) -> dict[str, float]:
    """Sends a file `times` times both ways, in turns, and compares the shortest times, because other work only adds."""
    from adb_shell.adb_device import AdbDeviceTcp

    host, _, port = serial.rpartition(":")
    key = tool.folder() / "adbkey"
    ours, plain = [], []
    with tempfile.TemporaryDirectory() as folder, Phone(tcp(host, int(port), key)) as phone:
        path = Path(folder) / "file"
        path.write_bytes(np.random.default_rng(0).bytes(int(megabytes * 1e6)))
        library = AdbDeviceTcp(host, int(port), default_transport_timeout_s=30)
        library.connect([signer(key)], 10, 10)
        for _ in range(times):
            start = time.perf_counter()
            phone.put(path, "file")
            ours.append(time.perf_counter() - start)
            start = time.perf_counter()
            library.push(str(path), f"{FOLDER}/nagsdk-alone")
            plain.append(time.perf_counter() - start)
        library.shell(f"rm -f {FOLDER}/nagsdk-alone")
        library.close()
    return {"megabytes": megabytes, "ours_s": min(ours), "library_s": min(plain), "ratio": min(ours) / min(plain)}


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serial", required=True)
    parser.add_argument("--megabytes", type=float, default=20.0)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = run(arguments.serial, arguments.megabytes, arguments.times)
    if arguments.json:
        print(json.dumps(result))
        return
    print(
        f"{result['megabytes']:.0f} MB: {result['ours_s']:.2f} s, confirmed by the phone; "
        f"adb-shell alone {result['library_s']:.2f} s"
    )
    print(f"  {result['ratio']:.2f} times as long as the library alone   (target {TARGET})")


if __name__ == "__main__":
    main()
