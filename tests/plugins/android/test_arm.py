"""The kernels for 64-bit ARM compute what those of this computer do; they run under qemu."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from nagsdk.device.description import Device
from nagsdk.graph.trace import trace
from nagsdk.testing import random_subnet, small_space
from nagsdk_android.backend import AndroidBackend
from nagsdk_litert.backend import HOST, LiteRtBackend

FOLDER = Path(os.environ.get("NAGSDK_ARM", "none"))
RUN = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
network = Interpreter(model_path=sys.argv[1], num_threads=1)
network.allocate_tensors()
source, target = network.get_input_details()[0], network.get_output_details()[0]
logits = []
for image in np.load(sys.argv[2]).transpose(0, 2, 3, 1):
    network.set_tensor(source["index"], np.ascontiguousarray(image[None]))
    network.invoke()
    logits.append(network.get_tensor(target["index"])[0])
np.save(sys.argv[3], np.array(logits))
"""


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 1e-5), ("int8", 0), ("int8-dynamic", 1e-3)]
)
def test_the_kernels_for_arm_compute_what_those_of_this_computer_do(tmp_path, precision, tolerance):
    qemu = FOLDER / "host/usr/bin/qemu-aarch64-static"
    if not qemu.is_file():
        pytest.skip(
            "no qemu and ARM Python: tests/plugins/android/fetch_arm.sh gets them, NAGSDK_ARM names their folder"
        )
    pytest.importorskip("ai_edge_litert")
    space = small_space()
    architecture = space.architecture(resolution=32, depths=(2, 2), kernels=(3, 5, 7, 3), expansions=(2, 3, 2, 3))
    images = np.random.default_rng(0).standard_normal((8, 3, 32, 32), dtype=np.float32)
    model, inputs, outputs = tmp_path / "model.tflite", tmp_path / "images.npy", tmp_path / "logits.npy"
    device = Device("d", "d", "android", precision=precision)
    AndroidBackend().export(trace(random_subnet(space, architecture), 32), model, device, images)
    np.save(inputs, images)
    command = [qemu, "-L", FOLDER / "root", "-cpu", "cortex-a76", "-E", f"PYTHONPATH={FOLDER / 'site'}"]
    program = [FOLDER / "root/usr/bin/python3.11", "-c", RUN, model, inputs, outputs]
    done = subprocess.run([*command, *program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with LiteRtBackend().open(HOST) as session:
        expected = session.infer(session.load(model), images)
    found = np.load(outputs)
    error = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    assert error <= tolerance
    assert (found.argmax(1) == expected.argmax(1)).all()
