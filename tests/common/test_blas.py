import os
import subprocess
import sys

import numpy as np
import pytest

from nagsdk.common.blas import load_numpy

FAKE = "import os\nprint('told', os.environ.get('OPENBLAS_THREAD_TIMEOUT'))\n"
ASK = """import os
from nagsdk.common.blas import load_numpy
try: load_numpy()
except ImportError: pass
print('left', os.environ.get('OPENBLAS_THREAD_TIMEOUT'))
"""


@pytest.mark.parametrize(
    ("numpy", "environment", "says"),
    [
        (FAKE, {}, ["told 4", "left None"]),
        (FAKE, {"OPENBLAS_THREAD_TIMEOUT": "20"}, ["left 20"]),
        (FAKE + "raise ImportError\n", {}, ["told 4", "left None"]),
    ],
)
def test_numpy_is_told_to_let_its_threads_sleep_and_other_processes_are_not(tmp_path, numpy, environment, says):
    (tmp_path / "numpy.py").write_text(numpy)
    path = os.pathsep.join([str(tmp_path), *(p for p in sys.path if p)])
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        capture_output=True,
        text=True,
        check=True,
        env={
            **{k: v for k, v in os.environ.items() if k != "OPENBLAS_THREAD_TIMEOUT"},
            **environment,
            "PYTHONPATH": path,
        },
    )
    assert done.stdout.splitlines() == says


def test_numpy_that_is_there_already_is_left_alone():
    before = dict(os.environ)
    assert np.__name__ in sys.modules
    load_numpy()
    assert dict(os.environ) == before
