import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nagsdk.errors import NagsdkError, UnsupportedLayerError, UsageError
from nagsdk.graph.interpret import tensors
from nagsdk.graph.program_file import ProgramFile
from tests.graph.foreign import foreign_network, save_program


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return save_program(foreign_network(), tmp_path_factory.mktemp("programs") / "net.pt2")


def rewritten(program, path, change):
    """A copy of the file with other members."""
    with zipfile.ZipFile(program) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    change(members)
    with zipfile.ZipFile(path, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)
    return path


def member(members, ending):
    return next(name for name in members if name.endswith(ending))


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"])
def test_a_program_computes_what_torch_does(tmp_path, order):
    network = foreign_network().to(memory_format=order)
    found = ProgramFile.read(save_program(network, tmp_path / "net.pt2"))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(images)
    assert torch.allclose(dict(tensors(found.graph, images))[found.graph.output], expected, atol=1e-6)
    assert found.parameters == sum(p.numel() for p in network.parameters())


def test_nothing_is_unpickled(program, tmp_path):
    class Harmful:
        def __reduce__(self):
            return (print, ("ran",))

    def harm(members):
        for name in [n for n in members if "sample_inputs" in n]:
            members[name] = pickle.dumps(Harmful())
        config = member(members, "model_constants_config.json")
        members[config] = json.dumps({"config": {"c": {"path_name": "custom_obj_0", "use_pickle": True}}})
        members[config.replace("model_constants_config.json", "custom_obj_0")] = pickle.dumps(Harmful())

    assert ProgramFile.read(rewritten(program, tmp_path / "harm.pt2", harm)).graph.nodes


def test_pickled_weights_are_not_read(program, tmp_path):
    def pickled(members):
        name = member(members, "model_weights_config.json")
        config = json.loads(members[name])
        next(iter(config["config"].values()))["use_pickle"] = True
        members[name] = json.dumps(config)

    with pytest.raises(UnsupportedLayerError, match="weights that are computed, or no float32"):
        ProgramFile.read(rewritten(program, tmp_path / "p.pt2", pickled))


def test_what_is_no_program_is_refused(program, tmp_path):
    (tmp_path / "text.pt2").write_text("no zip")
    with pytest.raises(UsageError, match="not a program of torch.export"):
        ProgramFile.read(tmp_path / "text.pt2")
    with pytest.raises(UsageError, match="cannot be read"):
        ProgramFile.read(tmp_path / "none.pt2")
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, buffer)
    (tmp_path / "weights.pt2").write_bytes(buffer.getvalue())
    with pytest.raises(UsageError, match="not a program of torch.export"):
        ProgramFile.read(tmp_path / "weights.pt2")

    def newer(members):
        name = member(members, "models/model.json")
        members[name] = json.dumps(json.loads(members[name]) | {"schema_version": {"major": 9, "minor": 0}})

    with pytest.raises(UsageError, match="schema has the version 9"):
        ProgramFile.read(rewritten(program, tmp_path / "newer.pt2", newer))


def test_another_operation_and_open_sizes_are_named(tmp_path):
    class Sine(torch.nn.Module):
        def forward(self, x):
            return torch.sin(x).mean((2, 3))

    with pytest.raises(UnsupportedLayerError, match="sin"):
        ProgramFile.read(save_program(Sine(), tmp_path / "sine.pt2"))
    sizes = {0: torch.export.Dim("n", max=8)}
    opened = torch.export.export(foreign_network(), (torch.zeros(2, 3, 32, 32),), dynamic_shapes=(sizes,))
    torch.export.save(opened, tmp_path / "open.pt2")
    with pytest.raises(UsageError, match="fixed sizes"):
        ProgramFile.read(tmp_path / "open.pt2")


def spoiled(value, number, other):
    """A JSON value in which one leaf is replaced."""
    found = []

    def walk(parent, key):
        inner = parent[key]
        if isinstance(inner, (dict, list)) and inner:
            for name in list(inner) if isinstance(inner, dict) else range(len(inner)):
                walk(inner, name)
        else:
            found.append((parent, key))

    holder = [value]
    walk(holder, 0)
    parent, key = found[number % len(found)]
    parent[key] = other
    return holder[0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["models/model.json", "model_weights_config.json"]),
    st.integers(0, 10**6),
    st.one_of(st.none(), st.integers(-5, 10**12), st.text(max_size=5), st.lists(st.integers(), max_size=2)),
)
def test_a_damaged_program_is_an_error_or_still_a_network(program, tmp_path, ending, number, other):
    def damage(members):
        name = member(members, ending)
        members[name] = json.dumps(spoiled(json.loads(members[name]), number, other))

    try:
        graph = ProgramFile.read(rewritten(program, tmp_path / "damaged.pt2", damage)).graph
    except NagsdkError:
        return
    assert np.isfinite(np.prod(graph.shapes[graph.output]))
