"""The command line with a predictor that is fitted in few steps, for subprocesses of tests."""

import nagsdk.predictor.fit
import nagsdk.training.subnets
from nagsdk.cli import main
from nagsdk.predictor.train import EnsembleRecipe

RECIPE = EnsembleRecipe(members=2, hidden=8, steps=40)

if __name__ == "__main__":
    nagsdk.predictor.fit.EnsembleRecipe = nagsdk.training.subnets.EnsembleRecipe = lambda: RECIPE
    main()
