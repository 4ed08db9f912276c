"""All searches of the plugin."""

from __future__ import annotations

from nagsdk.generator.strategies import STRATEGIES
from nagsdk.generator.strategy import Strategy
from nagsdk_searches.agents import Ants, Genetic, Walker
from nagsdk_searches.bayes import Bayes
from nagsdk_searches.diffusion import Diffusion
from nagsdk_searches.dpp import Dpp
from nagsdk_searches.early_exit import EarlyExit
from nagsdk_searches.flat import Flat
from nagsdk_searches.gbdt import Gbdt
from nagsdk_searches.gradient import Gradient
from nagsdk_searches.linas import Linas
from nagsdk_searches.monas import Monas
from nagsdk_searches.pareto_classifier import ParetoClassifier
from nagsdk_searches.transform import Transform
from nagsdk_searches.zero_cost import ZeroCost


def searches() -> tuple[Strategy, ...]:
    """An instance of every search; `flat` is last, since it asks any of the others or of nagsdk's own."""
    own: tuple[Strategy, ...] = (
        *(Linas(), ParetoClassifier(), Monas(), Dpp(), Gradient(), EarlyExit(), Transform()),
        *(Gbdt(), Diffusion(), ZeroCost(), Bayes(), Ants(), Genetic(), Walker()),
    )
    return (*own, Flat((*STRATEGIES, *own)))
