import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nagsdk.common.files import write_atomically, writing
from nagsdk.common.os_errors import meaning, named, naming_os_errors, out_of_memory
from nagsdk.common.outputs import check_replaceable
from nagsdk.errors import NagsdkError, OutputError
from nagsdk.manifest.manifest import DEPLOYMENT

LOSES_DATA = ("delete", "move", "remove", "throw", "discard")
NUMBERS = sorted(errno.errorcode)


@given(st.sampled_from(NUMBERS), st.sampled_from([None, "a/b", b"a/\xff", "", Path("a")]))
def test_every_error_of_the_system_has_a_next_step_that_loses_no_data(number, path):
    error = named(OSError(number, os.strerror(number), path))
    assert error.exit_code == 2 and error.message.endswith(".") and error.next_step.endswith(".")
    assert not any(word in error.next_step.lower() for word in LOSES_DATA)
    if path:
        assert error.message.startswith(os.fsdecode(path).replace("\udcff", "\\xff"))


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EFBIG, errno.EROFS, errno.EIO, errno.EBUSY, errno.EMFILE, errno.ELOOP, errno.EDQUOT]
)
def test_errors_while_an_output_is_written_name_the_output(number, tmp_path):
    for file in (None, str(tmp_path / "out" / "x"), str(tmp_path / ".nagsdk-partial-1")):
        with pytest.raises(OutputError, match="out cannot be written"), writing(tmp_path / "out"):
            raise OSError(number, os.strerror(number), file)
    with pytest.raises(OSError, match="other"), writing(tmp_path / "out"):
        raise OSError(number, os.strerror(number), str(tmp_path / "other"))


@pytest.mark.parametrize("name", ["x" * 256, "/".join(["d" * 200] * 25)])
def test_a_long_name_is_refused(tmp_path, name):
    if sys.platform == "win32":
        pytest.skip("the limits of Windows are others")
    with pytest.raises(OutputError, match="the name is too long"):
        write_atomically(tmp_path / name, b"")
    with pytest.raises(NagsdkError, match="the name is too long"):
        naming_os_errors(check_replaceable)(tmp_path / name, DEPLOYMENT)


def test_a_circle_of_links_is_refused(tmp_path):
    (tmp_path / "self").symlink_to(tmp_path / "self")
    with pytest.raises(NagsdkError, match="symbolic links lead in a circle"):
        naming_os_errors(Path.read_bytes)(tmp_path / "self" / "x")
    with pytest.raises(OutputError, match="link exists where a folder is needed"):
        write_atomically(tmp_path / "self" / "x", b"")


def test_a_removed_current_folder_and_a_missing_temporary_folder_are_told(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(NagsdkError, match="The current folder"):
        naming_os_errors(Path.cwd)()
    monkeypatch.chdir(tmp_path)
    error = FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")
    assert "TMPDIR" in named(error).next_step


def test_a_full_disk_names_the_copy_and_a_missing_file_its_original():
    for number, says in ((errno.ENOSPC, "copy cannot be written"), (errno.ENOENT, "original cannot be used")):
        assert named(OSError(number, os.strerror(number), "original", None, "copy")).message.startswith(says)


def test_what_is_not_from_the_system_passes():
    """Libraries raise OSError for damaged content, and a pipe without a reader is no fault."""
    for error in (OSError("image file is truncated"), BrokenPipeError(errno.EPIPE, "Broken pipe")):

        def fail(error=error):
            raise error

        with pytest.raises(type(error)) as caught:
            naming_os_errors(fail)()
        assert caught.value is error


def test_the_meaning_of_an_unknown_number_is_what_the_system_says():
    assert meaning(OSError(99999, "strange")) == ("strange", meaning(OSError(99998, "x"))[1])


@pytest.mark.parametrize("allocate", [lambda: np.empty(10**15), lambda: torch.empty(10**15)])
def test_memory_that_does_not_suffice_is_told(allocate):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        allocate()
    assert "memory" in out_of_memory(caught.value).message


def test_other_errors_are_not_about_memory():
    assert out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
