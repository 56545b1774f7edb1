"""Times a review session: from `boxloop review` to an App that answers, and what it does then.

    python benchmarks/review_session.py --images 40 1000 --boxes 5 --out docs/review_session.json

Each size is a campaign of its own in a scratch folder, on a database of its own. Times are wall
clock in seconds:

- ready, ready again: until the App answers, at the first start of a batch and at a later one;
- panel: one request of the panel, over HTTP, while nothing changes;
- read-back: reading every box in the App's process;
- overview, after an edit: what boxloop needs to answer the panel, then and anew;
- submit: without the wait of up to 3.5 s for edits that the App has still to save.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import Boxes, ImageRef, ImageSet, Proposals
from boxloop.review.fiftyone.app_process import app_environment
from boxloop.review.fiftyone.mongodb import open_database

SIZE = (640, 480)
CLASSES = ("cat", "dog")
REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[40, 1000])
    parser.add_argument("--boxes", type=int, default=5, help="proposals on each image")
    parser.add_argument("--out", type=Path, help="also write the numbers there, as JSON")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        print(json.dumps(inside(arguments.inside)))
        return
    rows = {}
    for count in arguments.images:
        with tempfile.TemporaryDirectory() as scratch:
            rows[f"{count} images x {arguments.boxes} boxes"] = measure(
                Path(scratch) / "campaign", count, arguments.boxes
            )
    names = list(next(iter(rows.values())))
    print(f"{'seconds':28}" + "".join(f"{name:>14}" for name in names))
    for title, row in rows.items():
        print(f"{title:28}" + "".join(f"{row[name]:14.2f}" for name in names))
    if arguments.out:
        machine = {"cores": os.cpu_count(), "python": platform.python_version()}
        arguments.out.write_text(json.dumps({"machine": machine, "seconds": rows}, indent=1) + "\n")


def measure(folder: Path, images: int, boxes: int) -> dict[str, float]:
    build(folder, images, boxes)
    result = {}
    for name in ("ready", "ready again"):
        with open(os.devnull, "r+") as nothing:
            started = time.perf_counter()
            command = subprocess.Popen(
                [Path(sys.executable).parent / "boxloop", "review", "--no-browser"],
                cwd=folder,
                stdin=nothing,
                stdout=subprocess.PIPE,
                stderr=nothing,
                text=True,
            )
        assert command.stdout is not None
        address = next(a for line in command.stdout if (a := re.search(r"http://\S+", line)))
        result[name] = time.perf_counter() - started
        base = address[0].partition("/datasets")[0]
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        browser.open(address[0]).close()  # its token becomes a cookie
        result["panel"] = timed(lambda base=base, b=browser: call(b, base, "overview"))
        command.send_signal(signal.SIGINT)
        command.wait()
    done = subprocess.run(
        [sys.executable, __file__, "--inside", folder],
        check=True,
        capture_output=True,
        text=True,
    )
    return {**result, **json.loads(done.stdout.splitlines()[-1])}


def build(folder: Path, images: int, boxes: int) -> None:
    """A campaign as it is when its only batch waits for review."""
    paths = CampaignPaths(folder)
    path = folder / "data" / "images" / "image.jpg"
    path.parent.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    refs, offered = [], {}
    for i in range(images):
        file = path.with_name(f"{i:05d}.jpg")
        os.link(path, file)
        refs.append(ImageRef(f"image {i:05d}", f"data/images/{file.name}", *SIZE, f"{i:064x}"))
        corners = [(100 * k % 600, 40 * k % 440) for k in range(boxes)]
        xyxy = [(x, y, x + 30, y + 30) for x, y in corners]
        labels = [CLASSES[k % 2] for k in range(boxes)]
        offered[refs[-1].id] = Boxes.build(xyxy, labels, [0.9] * boxes, prefix="p")
    artifacts.write_images(paths.images, ImageSet(tuple(refs), CLASSES))
    proposals = Proposals("b00", "ssd", "0" * 64, 0.05, offered)
    artifacts.write_proposals(paths.proposals("b00"), proposals)
    params = {"train": {"steps": 1}, "review": {"annotator": "fiftyone"}}
    (folder / "params.yaml").write_text(json.dumps(params))


def inside(folder: Path) -> dict[str, float]:
    """What the App's process does, in this process."""
    os.chdir(folder)
    with open_database(Path(".boxloop")) as uri:
        name = Path(".boxloop/id").read_text().strip()
        os.environ.update(app_environment(os.environ, uri=uri, database=name))
        from boxloop.params import load_params
        from boxloop.review.fiftyone import session_inputs
        from boxloop.review.fiftyone.controller import ReviewController
        from boxloop.review.fiftyone.sync import open_dataset

        paths, params = CampaignPaths(), load_params(Path("params.yaml"))
        request = session_inputs.ReviewRequest("b00", "ann")
        assignment = session_inputs.read_assignment(paths, params, request)
        dataset = open_dataset(assignment, session_inputs.display_files(paths, assignment))
        known = session_inputs.SubmissionCache(paths, params)
        controller = ReviewController(
            dataset,
            paths.reviews,
            others=session_inputs.other_batches(paths, params, "b00", known(), redo=False),
            account=params.account,
            versions=session_inputs.versions(),
            known=known,
            idle_seconds=60.0,
            on_submit=lambda text: None,
        )
        ids = [image.sample_id for image in controller.images()]
        controller.set_reviewed(ids)
        controller.overview()

        def after_an_edit() -> None:
            controller.add_seconds({ids[0]: 0.01})
            controller.overview()

        result = {
            "read-back": timed(dataset.read),
            "overview": timed(controller.overview),
            "after an edit": timed(after_an_edit),
        }
        controller._wait_for_autosave = lambda: None  # type: ignore[method-assign]
        started = time.perf_counter()
        assert "summary" in controller.submit()
        return {**result, "submit": time.perf_counter() - started}


def timed(work: Callable[[], object]) -> float:
    """The best of a few."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def call(browser: urllib.request.OpenerDirector, base: str, operator: str) -> None:
    payload = {"operator_uri": f"@boxloop/review/{operator}", "dataset_name": "b00", "params": {}}
    request = urllib.request.Request(
        f"{base}/operators/execute",
        json.dumps(payload).encode(),
        {"Content-Type": "application/json"},
    )
    with browser.open(request) as answer:
        assert json.loads(answer.read())["error"] is None


if __name__ == "__main__":
    main()
