"""Runs commands of nagsdk in forks of one process that has imported everything, with faults (tests/chaos/faults.py).

It reads one request per line (JSON), answers with the number of the forked process, and then with how it ended.
"""

import json
import os
import sys
import threading
import time
import traceback

from tests.chaos.faults import Faults


def prepare() -> None:
    """Imports what commands import, and registers a device whose latencies are known."""
    import torch
    import torch._dynamo  # which optimizers import

    import nagsdk.bundle.pull
    import nagsdk.cli
    import nagsdk.pipeline.build
    import nagsdk.pipeline.loop
    import nagsdk.pipeline.publish
    import nagsdk.predictor.fit
    import nagsdk.project.build
    import nagsdk.project.restore
    import nagsdk.reports.page
    import nagsdk.training.run
    import nagsdk.training.subnets
    import nagsdk.training.train  # noqa: F401
    from nagsdk.plugin import host as plugin
    from nagsdk_onnxruntime.backend import OnnxRuntimeBackend
    from tests import quick_train
    from tests.simulated import SimulatedBackend, host_of

    class InAWorker(SimulatedBackend):
        """Computes in a worker process, as other backends do, which no fault may leave behind."""

        computing = OnnxRuntimeBackend.open

    torch.set_num_threads(1)
    plugin._CHOSEN.set(host_of(InAWorker(), setattr))
    quick_train.fit_quickly()
    quick_train.measure_little(setattr)


def serve() -> None:
    """Answers requests until standard input ends."""
    prepare()
    answers = os.fdopen(os.dup(1), "w")
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        began = time.monotonic()
        child = os.fork()
        if not child:
            _run(request)
        print(json.dumps({"pid": child}), file=answers, flush=True)
        _, status = os.waitpid(child, 0)
        told = {"code": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - began}
        print(json.dumps(told), file=answers, flush=True)


def _run(request: dict) -> None:
    code = 99
    try:
        os.setsid()
        for number, name in ((0, os.devnull), (1, request["stdout"]), (2, request["stderr"])):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", 1, closefd=False)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        sys.argv = ["nagsdk", *request["arguments"]]
        faults = Faults(**request["faults"])
        faults.arm()
        from nagsdk.cli import main

        try:
            main()
        except SystemExit as exit:
            code = int(exit.code or 0)
        threading._shutdown()  # as the end of the interpreter, which waits for threads
        sys.stdout.flush()
        faults.tell(request["told"])
    except KeyboardInterrupt:
        code = 130  # before the command handled signals
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve()
