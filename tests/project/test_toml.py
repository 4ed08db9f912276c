import tomllib

import pytest

from nagsdk.errors import UsageError
from nagsdk.project.toml import project_of


def declared(tmp_path, outputs):
    tables = [f'[deployments.d{n}]\ndevice = "cpu"\nbudget = "1ms"\noutput = "{o}"' for n, o in enumerate(outputs)]
    return project_of(tomllib.loads("\n".join(tables)), tmp_path / "nagsdk.toml")


@pytest.mark.parametrize(
    ("outputs", "named"),
    [
        (["a", "b", "a"], ("d0", "d2")),
        (["Models/x", "z", "models/X"], ("d0", "d2")),
        (["a/b", "a"], ("d0", "d1")),
        (["a", "a-b", "a/b/c", "b"], ("d0", "d2")),
    ],
)
def test_two_deployments_may_not_share_a_folder(tmp_path, outputs, named):
    with pytest.raises(UsageError, match=f"{named[0]} and {named[1]} write to the same folder"):
        declared(tmp_path, outputs)


def test_folders_beside_each_other_are_fine(tmp_path):
    outputs = ["a", "a-b", "ab", "a.b", "b/a", "b/b"]
    assert [d.output.relative_to(tmp_path).as_posix() for d in declared(tmp_path, outputs).deployments] == outputs


def test_the_number_of_deployments_is_bounded(tmp_path):
    assert len(declared(tmp_path, map(str, range(1000))).deployments) == 1000
    with pytest.raises(UsageError, match="1000"):
        declared(tmp_path, map(str, range(1001)))
