import time
from types import SimpleNamespace

from nagsdk.events import Finished, Started
from nagsdk.supernet.train import TrainAdvanced
from nagsdk.training import trained_time
from nagsdk.training.trained_time import TrainingTime


def test_the_time_of_training_is_added_up_over_runs(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(trained_time, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    step = TrainAdvanced("step", 1, 1.0, 1.0, 50.0, 0.1)
    seen = []

    def run(gaps):
        watch = TrainingTime(tmp_path / "seconds.txt", seen.append)
        watch.listen(Started("training", 9))
        for gap in gaps:
            clock[0] += gap
            watch.listen(step)
        return watch

    assert run([50, 2, 3, 2]).seconds == 7  # the first step begins with loading
    watch = run([1, 4, 3600, 1])  # the machine slept
    assert watch.seconds == 12
    watch.listen(Finished("training"))
    assert run([1]).seconds == 12 and len(seen) == 13


def test_time_passes_in_the_real_clock(tmp_path):
    watch = TrainingTime(tmp_path / "seconds.txt", lambda event: None)
    for _ in range(2):
        watch.listen(TrainAdvanced("step", 1, 1.0, 1.0, 50.0, 0.1))
        time.sleep(0.01)
    assert watch.seconds > 0
