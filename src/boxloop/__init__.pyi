from .core.edits import Ledger
from .core.training_log import TrainingLog
from .core.types import (
    Batch,
    Boxes,
    Corrections,
    FeatureTable,
    ImageRef,
    ImageSet,
    LabeledSet,
    Ordering,
    Proposals,
)
from .core.workload import BatchWorkload, CostModel, Totals
from .datasets import Dataset
from .errors import BoxloopError
from .models.detectors.base import Detector
from .models.detectors.delivered import Model, load_model
from .params import Params, load_params
from .study.api import (
    extract_features,
    load_dataset,
    order,
    plan_batches,
    propose,
    simulate,
    train_detector,
)
from .study.counting import account, compare, workload
from .study.simulate import Simulation
from .study.zero_shot import load_zero_shot

__version__: str
__all__ = [
    "Batch",
    "BatchWorkload",
    "Boxes",
    "BoxloopError",
    "Corrections",
    "CostModel",
    "Dataset",
    "Detector",
    "FeatureTable",
    "ImageRef",
    "ImageSet",
    "LabeledSet",
    "Ledger",
    "Model",
    "Ordering",
    "Params",
    "Proposals",
    "Simulation",
    "Totals",
    "TrainingLog",
    "account",
    "compare",
    "extract_features",
    "load_dataset",
    "load_model",
    "load_params",
    "load_zero_shot",
    "order",
    "plan_batches",
    "propose",
    "simulate",
    "train_detector",
    "workload",
]
