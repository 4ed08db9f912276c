"""Kinds of accuracy predictors: the product's own, and others that judge it or compete with it.

The others are made with scikit-learn (`pip install 'nagsdk[bench]'`), which is imported when one is fitted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from nagsdk.predictor.additive import fit_asymptote, inverse, link, ridge
from nagsdk.predictor.features import Floats, feature_map
from nagsdk.predictor.fitter import Compared, share_of_sum
from nagsdk.predictor.groups import folds
from nagsdk.predictor.train import EnsembleRecipe, train_ensemble
from nagsdk.space.space import Codes, SearchSpace

# Maps features of architectures, shape (n, f), to their top-1 in per cent.
Fitted = Callable[[Floats], Floats]
# Fits features, shape (n, f), to top-1 in per cent, shape (n,), with a seed.
Kind = Callable[[Floats, Floats, int], Fitted]
# A Gaussian process finds its few parameters on this many rows, and is then fitted to all.
_SOME = 500
_MEMBERS = 3
OWN = "own kind"
_BOUNDS = (1e-6, 1e5)


def features(space: SearchSpace, measured: Codes) -> Callable[[Codes], Floats]:
    """What the product's predictor reads of architectures, given those that were measured."""
    matrix = feature_map(space, np.isin(np.arange(len(space.resolutions)), measured[:, 0]))
    return lambda codes: np.asarray(space.one_hot(codes) @ matrix, np.float64)


def asymptote_of(x: Floats, top1: Floats, seed: int) -> float:
    """The asymptote of the link, with all measurements of one architecture in one fold."""
    return fit_asymptote(x, top1, folds(np.unique(x, axis=0, return_inverse=True)[1].ravel(), seed))


def own(x: Floats, top1: Floats, seed: int) -> Fitted:
    """The ensemble of the product, with its link; alone, without the sum that it leans on."""
    asymptote = asymptote_of(x, top1, seed)
    ensemble = train_ensemble(x, link(top1, asymptote), EnsembleRecipe(), seed)
    return lambda z: inverse(ensemble(z.astype(np.float32)).mean(1), asymptote)


def product(x: Floats, top1: Floats, seed: int) -> Fitted:
    """The fit of the product: the ensemble, which leans on the sum over choices by a share."""
    fold, parts = folds(np.unique(x, axis=0, return_inverse=True)[1].ravel(), seed), []
    for f in np.unique(fold):
        rows, left_out = fold != f, fold == f
        asymptote = asymptote_of(x[rows], top1[rows], seed)
        alone, summed = (link(kind(x[rows], top1[rows], seed)(x[left_out]), asymptote) for kind in (own, additive))
        parts.append(Compared(alone, summed, asymptote, top1[left_out]))
    share, asymptote = share_of_sum(parts), asymptote_of(x, top1, seed)
    ensemble, sums = own(x, top1, seed), additive(x, top1, seed)

    def mixed(z: Floats) -> Floats:
        return inverse((1 - share) * link(ensemble(z), asymptote) + share * link(sums(z), asymptote), asymptote)

    return mixed


def additive(x: Floats, top1: Floats, seed: int) -> Fitted:
    """A sum over choices, with the product's link."""
    asymptote = asymptote_of(x, top1, seed)
    coefficients, level = ridge(x, top1, asymptote)
    return lambda z: inverse(z @ coefficients + level, asymptote)


def mlp(x: Floats, top1: Floats, seed: int) -> Fitted:
    """Plain networks of tanh units, fitted to the top-1 itself by L-BFGS."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    level, scale = top1.mean(), top1.std()
    members = [
        MLPRegressor(
            hidden_layer_sizes=(32, 32),
            activation="tanh",
            solver="lbfgs",
            alpha=0.2,
            max_iter=150,
            random_state=seed + n,
        )
        for n in range(_MEMBERS)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it stops early by intent
        for member in members:
            member.fit(x, (top1 - level) / scale)
    return lambda z: np.mean([member.predict(z) for member in members], axis=0) * scale + level


def _process(interaction: Any, x: Floats, top1: Floats, seed: int) -> Fitted:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, WhiteKernel

    asymptote = asymptote_of(x, top1, seed)
    score, some = link(top1, asymptote), np.random.default_rng(seed).permutation(len(top1))[:_SOME]
    kernel = ConstantKernel(0.01, _BOUNDS) * DotProduct(1.0, "fixed") + interaction + WhiteKernel(0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a part of the kernel may vanish
        found = GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed).fit(x[some], score[some])
        process = GaussianProcessRegressor(found.kernel_, normalize_y=True, optimizer=None).fit(x, score)
    return lambda z: inverse(process.predict(z), asymptote)


def gaussian_process(x: Floats, top1: Floats, seed: int) -> Fitted:
    """A Gaussian process on the linked top-1: an additive kernel, and one of all interactions."""
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel

    return _process(ConstantKernel(1.0, _BOUNDS) * RBF(8.0, (1.0, 100.0)), x, top1, seed)


def pairwise_process(x: Floats, top1: Floats, seed: int) -> Fitted:
    """A Gaussian process on the linked top-1: an additive kernel, and one of interactions of two choices."""
    from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct

    return _process(ConstantKernel(1e-4, _BOUNDS) * DotProduct(1.0, "fixed") ** 2, x, top1, seed)


def boosted(x: Floats, top1: Floats, seed: int) -> Fitted:
    """Gradient-boosted trees of the top-1 itself."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    members = [
        HistGradientBoostingRegressor(
            max_iter=400, learning_rate=0.05, max_leaf_nodes=8, min_samples_leaf=min(10, len(top1) // 8),
            l2_regularization=1.0, max_features=0.3, random_state=seed + n,
        ).fit(x, top1)
        for n in range(_MEMBERS)
    ]  # fmt: skip
    return lambda z: np.mean([member.predict(z) for member in members], axis=0)


def trees(x: Floats, top1: Floats, seed: int) -> Fitted:
    """Gradient-boosted trees of what the sum over choices leaves."""
    sums = additive(x, top1, seed)
    rest = boosted(x, top1 - sums(x), seed)
    return lambda z: sums(z) + rest(z)


def pruned(x: Floats, top1: Floats, seed: int) -> Fitted:
    """Trees fitted to the better half of the architectures by trees of all: GBDT-NAS with one pruning of the space."""
    expected = trees(x, top1, seed)(x)
    better = expected >= np.median(expected)
    return trees(x[better], top1[better], seed)


# Judges of four kinds; the first is the product's own.
JUDGES: dict[str, Kind] = {OWN: own, "MLP": mlp, "Gaussian process": gaussian_process, "trees": trees}


def judging() -> dict[str, Kind]:
    """The kinds of judges that can be fitted in this environment: without scikit-learn, the product's own alone."""
    return JUDGES if find_spec("sklearn") else {OWN: own}
