"""The stages of dvc.yaml as plain functions, which the command line and the studies call.

``learn(Campaign(paths, params), "b01")`` does what ``boxloop learn b01`` does in a campaign's
folder. A stage of a turn is made of steps, which are functions and commands of their own: ``learn``
of ``train`` and ``propose``, ``finish`` of ``review``, ``merge``, ``account`` and ``track``.

All read and write the campaign's files; those that run once and the steps also take others, which
``Campaign.files`` names. All raise a :class:`~boxloop.errors.BoxloopError` with one clear sentence,
and then leave every file as it was. A result of None means that other processes did the work. Heavy
libraries are imported by the stages that need them.
"""

from boxloop.pipeline.deliver import deliver, model_text
from boxloop.pipeline.preparation import batch, dataset, features, order, simnet, start
from boxloop.pipeline.results import ledger_text, report, results_text
from boxloop.pipeline.turn import (
    account,
    finish,
    learn,
    merge,
    propose,
    review,
    track,
    train,
)

__all__ = [
    "account",
    "batch",
    "dataset",
    "deliver",
    "features",
    "finish",
    "learn",
    "ledger_text",
    "merge",
    "model_text",
    "order",
    "propose",
    "report",
    "results_text",
    "review",
    "simnet",
    "start",
    "track",
    "train",
]
