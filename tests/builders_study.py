"""Tiny studies: a dozen drawn images, a detector that takes two steps."""

import json

from boxloop.study.spec import load_spec

TINY = {
    "title": "tiny",
    "set": {
        "dataset": {"demo": {"images": 12, "video_fraction": 0.5, "size": [64, 64]}},
        "features": {"network": "resnet18", "weights": "none", "input_size": 32},
        "train": {"weights": "none", "steps": 2, "batch_size": 4, "input_size": [64, 64]},
        "review": {"score_threshold": 0.1},
        "account": {"score_thresholds": [0.1, 0.2]},
        "track": {"enabled": False},
    },
    "orderings": ["random", "dissimilar"],
    "features": {"plain": {}},
    "detectors": {"ssd": {}},
    "seeds": [0, 1],
    "turns": 2,
}


def study_file(folder, name="study.yaml", **changes):
    """A study.yaml of TINY with some keys replaced; JSON is YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps({**TINY, **changes}))
    return path


def changed(section, **values):
    """The ``set`` of TINY with one section changed."""
    sections = TINY["set"]
    return {**sections, section: {**sections.get(section, {}), **values}}


def spec(folder, **changes):
    return load_spec(study_file(folder, **changes))
