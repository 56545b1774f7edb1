"""Modules with a detector of one's own, which costs nothing."""

_MODULE = '''
"""{about}"""
import json
import os
from dataclasses import replace
from pathlib import Path

from boxloop.core.training_log import TrainingLog
from boxloop.core.types import Boxes
from boxloop.models.checkpoint import DetectorCheckpoint, write_detector

class Detector:
    name = "{name}"
    def __init__(self, classes):
        self.classes = classes
    def train(self, labeled, images, params, progress=None):
        with open({log}, "a") as file:
            print({line}, file=file)
        return replace(TrainingLog.of_nothing(), steps=1, images=len(labeled))
    def propose(self, images, *, score_floor, batch_size, progress=None):
{propose}
    def save(self, path, *, labeled_digest):
        content = (self.name, self.classes, (0, 0), labeled_digest, "none", 1)
        write_detector(path, DetectorCheckpoint(*content))

class Factory:
    name = "{name}"
    def create(self, params, classes):
        return Detector(classes)
    def restore(self, checkpoint, device, params=None):
        return Detector(checkpoint.classes)

FACTORY = Factory()
'''


def module(name, about, propose, *, log, line="len(labeled)"):
    """Returns its text.

    Args:
        name: of the detector.
        about: its docstring.
        propose: the body of `propose`, indented as in a class.
        log: the file that each training adds a line to, as Python has it.
        line: what it adds.
    """
    body = propose.strip("\n")
    return _MODULE.format(name=name, about=about, propose=body, log=log, line=line)
