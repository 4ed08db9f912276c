import csv
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))

import tables

CELLS = {"|none~0|+|skip_connect~0|avg_pool_3x3~1|+|nor_conv_3x3~0|nor_conv_1x1~1|none~2|": 1}
CELLS["|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"] = 0
SUBNET = {"ks": [7, 5], "e": [6, 4], "d": [2, 3], "r": np.int64(204)}
FILES = {
    "data/fbnet/arch.pt": [[7, 8, 1], [0, 2, 8]],
    "data/fbnet/latency/phone_b.pt": [28, 31],
    "data/fbnet/latency/gpu_1.pt": [10.6153497, 0.00123456],
    "data/nasbench201/str_arch2idx.pt": CELLS,
    "data/nasbench201/latency/gpu_1.pt": [1.0, 123456.0],
    "data/ofa/ofa_archs.pt": {"dataset": "imagenet", "arch": [SUBNET]},
    "data/ofa/latency/v100_32.pt": [7.5],
}


@pytest.fixture
def repository(tmp_path):
    """A small repository like the published one, and the hashes of its files."""
    for name, content in FILES.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, path)
    folder = tmp_path / "source"
    return folder, {name: sha256((folder / name).read_bytes()).hexdigest() for name in FILES}


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_every_table_has_a_row_for_each_architecture_and_a_column_for_each_device(repository, tmp_path):
    tables.make(repository[0], tmp_path / "made", repository[1])
    assert rows(tmp_path / "made" / "help_fbnet.csv") == [
        ["idx", "ops", "gpu_1", "phone_b"],
        ["0", "781", "10.62", "28"],
        ["1", "028", "0.001235", "31"],
    ]
    assert rows(tmp_path / "made" / "help_nb201.csv") == [
        ["idx", "ops", "gpu_1"],
        ["0", "300000", "1"],
        ["1", "014320", "1.235e+05"],
    ]
    assert rows(tmp_path / "made" / "help_ofa_mbv3.csv") == [
        ["idx", "ks", "e", "d", "r", "v100_32"],
        ["0", "75", "64", "23", "204", "7.5"],
    ]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"another one")])
@pytest.mark.parametrize("name", ["data/ofa/latency/v100_32.pt", "data/fbnet/arch.pt"])
def test_a_missing_or_changed_file_is_named_and_nothing_is_written(repository, tmp_path, name, damage):
    damage(repository[0] / name)
    with pytest.raises(SystemExit, match=Path(name).name):
        tables.make(repository[0], tmp_path / "made", repository[1])
    assert not (tmp_path / "made").exists()


def test_latencies_that_do_not_fit_the_architectures_are_refused(repository, tmp_path):
    folder, sums = repository
    path = folder / "data/ofa/latency/v100_32.pt"
    torch.save([7.5, 8.0], path)
    sums["data/ofa/latency/v100_32.pt"] = sha256(path.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match="longer"):
        tables.make(folder, tmp_path / "made", sums)


def test_files_are_fetched_at_the_pinned_commit(repository, tmp_path, monkeypatch):
    folder, sums = repository
    asked = []

    def answer(address, path, most_bytes, *, hash_known):
        start = f"https://raw.githubusercontent.com/HayeonLee/HELP/{tables.COMMIT}/"
        assert address.startswith(start) and hash_known
        asked.append(address.removeprefix(start))
        content = (folder / asked[-1]).read_bytes()
        assert len(content) <= most_bytes
        path.write_bytes(content)

    monkeypatch.setattr(tables, "download", answer)
    tables.fetch(list(sums), tmp_path / "fetched")
    assert asked == list(FILES)
    tables.make(tmp_path / "fetched", tmp_path / "made", sums)


def test_the_list_of_hashes_names_all_devices_of_the_benchmark():
    sums = tables.read_sums()
    assert all(len(digest) == 64 for digest in sums.values())
    for table in tables.TABLES.values():
        assert f"{table.folder}/{table.architectures}" in sums
    counts = [sum(name.startswith(f"{table.folder}/latency/") for name in sums) for table in tables.TABLES.values()]
    assert counts == [27, 27, 12] and len(sums) == sum(counts) + len(tables.TABLES)
