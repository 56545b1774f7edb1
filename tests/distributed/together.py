"""Trains detectors for two turns each, in as many processes as it is started in."""

import sys
from pathlib import Path

from boxloop import distributed
from boxloop.campaign import artifacts
from boxloop.core.types import Boxes
from boxloop.models import detectors
from builders_detectors import drawn, labeled, train_params


def main(folder, weights):
    with distributed.join() as world:
        refs, truth = drawn(folder / f"scenes{world.rank}", 8)
        nothing = Boxes.build([], [])
        # Now and then a process has images without a box alone.
        some = labeled({ref.id: truth[ref.id] if i < 2 else nothing for i, ref in enumerate(refs)})
        for name, source in weights.items():
            previous = None
            for turn in ("first", "second"):
                params = train_params(name, weights=source, steps=3, batch_size=4, warm_start=True)
                detector, log = detectors.train(params, some, refs, previous=previous)
                previous = folder / f"{name}.{turn}.pt"
                if world.is_main:
                    detector.save(previous, labeled_digest="")
                    artifacts.write_training(folder / f"{name}.{turn}.json", log)
                distributed.wait_for_main()


if __name__ == "__main__":
    main(Path(sys.argv[1]), dict(pair.split("=", 1) for pair in sys.argv[2:]))
