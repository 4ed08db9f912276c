"""nagsdk: a latency budget and a device in, a measured model file that holds the budget out.

Every verb takes a target first, which is a device with a bundle and settings::

    target = nagsdk.Target("cpu", bundle="imagenet", threads=4)
    deployment = nagsdk.deploy(target, "20ms", output="model")
    deployment.load()("cat.jpg")

The short form names the device: ``nagsdk.deploy("cpu", "20ms", threads=4)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nagsdk.common import moved
from nagsdk.common.lazy import lazy_names
from nagsdk.common.version import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    from nagsdk import errors as errors
    from nagsdk import events as events
    from nagsdk import inventory as inventory
    from nagsdk.api import calibrate as calibrate
    from nagsdk.api import deploy as deploy
    from nagsdk.api import export as export
    from nagsdk.api import frontier as frontier
    from nagsdk.api import generate as generate
    from nagsdk.api import predict as predict
    from nagsdk.api import profile as profile
    from nagsdk.budget import Budget as Budget
    from nagsdk.bundle.bundle import Bundle as Bundle
    from nagsdk.bundle.bundle import load_bundle as load_bundle
    from nagsdk.errors import NagsdkError as NagsdkError
    from nagsdk.manifest.fleet import Fleet as Fleet
    from nagsdk.manifest.result import Result as Result
    from nagsdk.pipeline.bench import bench_strategies as bench_strategies
    from nagsdk.pipeline.calibrate import CalibrationSummary as CalibrationSummary
    from nagsdk.pipeline.deployment import Deployment as Deployment
    from nagsdk.pipeline.fleet import fleet as fleet
    from nagsdk.pipeline.frontier import Frontier as Frontier
    from nagsdk.pipeline.paper import train_paper_generator as train_paper_generator
    from nagsdk.pipeline.readings import NetworkPrediction as NetworkPrediction
    from nagsdk.pipeline.readings import add_device as add_device
    from nagsdk.pipeline.readings import predict_networks as predict_networks
    from nagsdk.pipeline.target import Target as Target
    from nagsdk.pipeline.try_images import try_images as try_images
    from nagsdk.pipeline.verify import verify as verify
    from nagsdk.project.build import build as build
    from nagsdk.project.init import init as init
    from nagsdk.reports.report import report as report
    from nagsdk.space.architecture import Architecture as Architecture
    from nagsdk.training.evaluate import evaluate as evaluate
    from nagsdk.training.generator import train_generator as train_generator
    from nagsdk.training.predictor import fit_predictor as fit_predictor
    from nagsdk.training.report import TrainingReport as TrainingReport
    from nagsdk.training.train import train as train

# The modules are imported on first use: importing nagsdk must not import torch.
_PLACES = {
    "Architecture": "nagsdk.space.architecture",
    "Budget": "nagsdk.budget",
    "Bundle": "nagsdk.bundle.bundle",
    "CalibrationSummary": "nagsdk.pipeline.calibrate",
    "Deployment": "nagsdk.pipeline.deployment",
    "Fleet": "nagsdk.manifest.fleet",
    "Frontier": "nagsdk.pipeline.frontier",
    "NagsdkError": "nagsdk.errors",
    "NetworkPrediction": "nagsdk.pipeline.readings",
    "Result": "nagsdk.manifest.result",
    "Target": "nagsdk.pipeline.target",
    "TrainingReport": "nagsdk.training.report",
    "add_device": "nagsdk.pipeline.readings",
    "bench_strategies": "nagsdk.pipeline.bench",
    "build": "nagsdk.project.build",
    "calibrate": "nagsdk.api",
    "deploy": "nagsdk.api",
    "evaluate": "nagsdk.training.evaluate",
    "export": "nagsdk.api",
    "fit_predictor": "nagsdk.training.predictor",
    "fleet": "nagsdk.pipeline.fleet",
    "frontier": "nagsdk.api",
    "generate": "nagsdk.api",
    "init": "nagsdk.project.init",
    "load_bundle": "nagsdk.bundle.bundle",
    "predict": "nagsdk.api",
    "predict_networks": "nagsdk.pipeline.readings",
    "profile": "nagsdk.api",
    "report": "nagsdk.reports.report",
    "train": "nagsdk.training.train",
    "train_generator": "nagsdk.training.generator",
    "train_paper_generator": "nagsdk.pipeline.paper",
    "try_images": "nagsdk.pipeline.try_images",
    "verify": "nagsdk.pipeline.verify",
}

__all__ = [
    "Architecture",
    "Budget",
    "Bundle",
    "CalibrationSummary",
    "Deployment",
    "Fleet",
    "Frontier",
    "NagsdkError",
    "NetworkPrediction",
    "Result",
    "Target",
    "TrainingReport",
    "__version__",
    "add_device",
    "bench_strategies",
    "build",
    "calibrate",
    "deploy",
    "errors",
    "evaluate",
    "events",
    "export",
    "fit_predictor",
    "fleet",
    "frontier",
    "generate",
    "init",
    "inventory",
    "load_bundle",
    "predict",
    "predict_networks",
    "profile",
    "report",
    "train",
    "train_generator",
    "train_paper_generator",
    "try_images",
    "verify",
]

if not TYPE_CHECKING:  # for a type checker a module with `__getattr__` has every name
    __getattr__, _ = lazy_names(__name__, _PLACES, ("errors", "events", "inventory"))


def __dir__() -> list[str]:
    return list(__all__)


moved.install()
