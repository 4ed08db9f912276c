"""Trainings that are quick where the quality of what they measure is not tested; a command line for subprocesses."""

from collections.abc import Callable
from importlib import import_module

from nagsdk.predictor.train import EnsembleRecipe
from nagsdk.training.schedule import Beside, Pace

RECIPE = EnsembleRecipe(members=2, hidden=8, steps=12)
FEW = Beside(footing=(4, 2), losses=4)
# So slow that a minute is enough for a few dozen steps.
PACE = Pace(
    alone=0.03, smallest=0.01, together=0.06, update=0.02, forward=0.0005, subnet=0.00005, cut=0.001,
    fit={50: 2.0, 100: 4.0}, generator=10.0,
)  # fmt: skip


def fit_quickly(replace: Callable[[object, str, object], None] = setattr) -> None:
    """Fits predictors in few steps."""
    for module in ("nagsdk.predictor.fit", "nagsdk.training.subnets"):
        replace(import_module(module), "EnsembleRecipe", lambda: RECIPE)


def measure_little(replace: Callable[[object, str, object], None]) -> None:
    """Makes up the speed of this machine, and measures few subnets beside those for the predictor."""
    planning, schedule = (import_module(f"nagsdk.training.{name}") for name in ("planning", "schedule"))
    replace(planning, "pace_of", lambda *given, **more: PACE)
    for module, name in ((planning, "BESIDE"), (schedule, "BESIDE"), (schedule, "BESIDE_FEW")):
        replace(module, name, FEW)


if __name__ == "__main__":
    from nagsdk.cli import main

    fit_quickly()
    main()
