"""Campaigns with proposals to review, made without the pipeline, and sessions that review them."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest
from bson import ObjectId
from PIL import Image

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import Batch, Boxes, ImageRef, ImageSet, Proposals
from boxloop.files import file_digest
from boxloop.params import load_params
from boxloop.review.fiftyone.shown_proposals import object_id

SIZE = (100, 80)
CLASSES = ("cat", "dog")
A, B, C, D = (10, 10, 30, 30), (40, 10, 60, 30), (70, 10, 90, 30), (10, 45, 30, 65)
"""Boxes that do not touch each other."""

OFFERED = (("cat", A, 0.9), ("dog", B, 0.8), ("cat", C, 0.7), ("dog", D, 0.2))
"""The last one scores less than the review threshold of 0.5."""


def scored(rows, prefix="p"):
    """Proposals of one image from rows of (label, xyxy, score)."""
    if not rows:
        return Boxes.empty(scored=True)
    labels, xyxy, scores = zip(*rows, strict=True)
    return Boxes.build(xyxy, labels, scores, prefix=prefix)


def offer(paths, key, table, *, detector="ssd", floor=0.05, thresholds=()):
    """Writes the proposals of a batch: rows by image id."""
    boxes = {image_id: scored(rows) for image_id, rows in table.items()}
    path = paths.proposals(key)
    artifacts.write_proposals(path, Proposals(key, detector, "0" * 64, floor, boxes, thresholds))


def campaign(root, batches, *, classes=CLASSES, size=SIZE, suffix=".png", params=None, pixels=None):
    """A folder with images and proposals; what the stages before `review` would leave.

    Args:
        root: an empty folder, or none yet.
        batches: by key, rows of proposals by image id (see ``scored``).
        classes: names of the classes.
        size: (width, height) of every image.
        suffix: kind of image file.
        params: sections of params.yaml beside those that it needs.
        pixels: (height, width, 3) of every image; grey unless given.
    """
    paths = CampaignPaths(root)
    width, height = size
    array = np.full((height, width, 3), 128, np.uint8) if pixels is None else pixels
    refs = []
    for number, image_id in enumerate(i for table in batches.values() for i in table):
        path = root / "data" / "images" / f"{number:05d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
        relative = path.relative_to(root).as_posix()
        refs.append(ImageRef(image_id, relative, width, height, file_digest(path)))
    artifacts.write_images(paths.images, ImageSet(tuple(refs), tuple(classes)))
    artifacts.write_truth(paths.truth, None)
    for key, table in batches.items():
        offer(paths, key, table, detector="empty" if key == "b00" else "ssd")
    iterations, previous = {}, "empty"
    for key in batches:
        iterations[key], previous = {"previous": previous}, key
    content = {
        "train": {"steps": 1, "weights": "none"},
        "review": {"annotator": "fiftyone", "score_threshold": 0.5},
        "track": {"enabled": False},
        "iterations": iterations,
        **(params or {}),
    }
    (root / "params.yaml").write_text(json.dumps(content))
    return paths


def cut(root, batches, **options):
    """The same, with the files of its batches."""
    paths = campaign(root, batches, **options)
    for key, table in batches.items():
        artifacts.write_batch(paths.batch(key), Batch(key, tuple(table)))
    return paths


def images(count, rows=OFFERED, first=0):
    """Rows of proposals for so many images."""
    return {f"img{i:02d}": rows for i in range(first, first + count)}


# --- a session without a terminal -----------------------------------------------------------------


class Session:
    """One session at work in this process; the App is at the address of the fixture ``server``.

    Attributes:
        app: what the person does.
        dataset: the FiftyOne dataset that the App edits.
        controller: what boxloop makes of it.
    """

    def __init__(
        self,
        server,
        paths,
        key="b00",
        *,
        reviewer="ann",
        part=None,
        redo=False,
        wanted=None,
        planted=False,
        look=None,
        qa=None,
    ):
        from boxloop.campaign.later import session_name

        # Not above: FiftyOne takes seconds, and reads its settings when it is imported.
        from boxloop.review.fiftyone import operators, session_inputs
        from boxloop.review.fiftyone.controller import ReviewController
        from boxloop.review.fiftyone.qa import SESSION
        from boxloop.review.fiftyone.sync import open_dataset

        self.paths = paths
        key = key if wanted is None else session_name(wanted)
        key = key if qa is None else SESSION
        self.params = load_params(paths.root / "params.yaml")
        request = session_inputs.ReviewRequest(key, reviewer, part, redo, wanted, planted, look, qa)
        self.assignment = session_inputs.read_assignment(paths, self.params, request)
        key = self.assignment.batch
        files = session_inputs.display_files(paths, self.assignment)
        self.told = []
        self.dataset = open_dataset(self.assignment, files, self.told.append)
        known = session_inputs.known_submissions(paths, self.params, self.assignment)
        self.said = []
        self.controller = ReviewController(
            self.dataset,
            paths.reviews,
            others=session_inputs.other_batches(paths, self.params, key, known(), redo=redo),
            account=self.params.account,
            versions=session_inputs.versions(),
            known=known,
            idle_seconds=self.params.review.idle_seconds,
            on_submit=self.said.append,
        )
        operators.serve(self.controller)
        self.app = AppClient(f"{server}/datasets/{key}?workspace=review")

    def submit(self):
        """Submits what is marked, without the wait for what the App may still have to save."""
        self.controller._wait_for_autosave = lambda: None
        return self.app.submit()

    def finish(self):
        """Marks every image and submits; gives the summary."""
        self.app.mark()
        result = self.submit()
        assert "summary" in result, result
        return result["summary"]


# --- the App's server, as the App itself talks to it ----------------------------------------------


class AppClient:
    """Does over HTTP what a person does in the App and its panel.

    A box is named by its id in boxloop, as that of the proposal that it was made from ("p0"), or by
    the App's own.
    """

    def __init__(self, url):
        self.base, self.dataset = re.match(r"(http://[^/]+)/datasets/([^?]+)", url).groups()
        self._url = url
        self._opener = None
        self._dataset_id = None
        self._samples = {}

    def _send(self, method, path, payload=None, headers=None):
        body = None if payload is None else json.dumps(payload).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.base + path, body, headers, method=method)
        with self.open(request) as answer:
            return json.loads(answer.read())

    def open(self, request):
        """Sends a request with the cookie that the address gave, as a browser would."""
        if self._opener is None:
            self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            self._opener.open(self._url, timeout=60).close()
        return self._opener.open(request, timeout=60)

    def media(self, path):
        """The bytes of an image, as the App fetches them."""
        query = urllib.parse.urlencode({"filepath": path})
        with self.open(f"{self.base}/media?{query}") as answer:
            return answer.read()

    # --- the panel --------------------------------------------------------------------------------

    def call(self, operator, **params):
        """Presses a button of the panel: gives what the panel is told."""
        answer = self._send(
            "POST",
            "/operators/execute",
            {
                "operator_uri": f"@boxloop/review/{operator}",
                "dataset_name": self.dataset,
                "params": params,
            },
        )
        assert not answer.get("error"), answer["error"]
        return answer["result"]

    def overview(self):
        result = self.call("overview")
        assert "error" not in result, result
        return result

    def samples(self):
        """Sample ids by image id, which stay the same in a session."""
        if not self._samples:
            listed = self.overview()["samples"]
            self._samples = {image_id: sample for sample, image_id, _ in listed}
        return self._samples

    def reviewed(self):
        """The images that are marked."""
        return {image_id for _, image_id, reviewed in self.overview()["samples"] if reviewed}

    def mark(self, *image_ids, reviewed=True):
        """Marks images as reviewed; all, unless some are named."""
        samples = self.samples()
        ids = [samples[i] for i in image_ids or samples]
        return self.call("set_reviewed", samples=ids, reviewed=reviewed)

    def add_seconds(self, **seconds):
        samples = self.samples()
        return self.call("add_seconds", seconds={samples[i]: s for i, s in seconds.items()})

    def submit(self):
        return self.call("submit")

    # --- the Annotate tab -------------------------------------------------------------------------

    def record(self, image_id):
        """(an image's record, its version) as the server has it now."""
        with pytest.raises(urllib.error.HTTPError) as refused:
            self._patch(image_id, [], '"0"')
        answer = refused.value  # an edit of an old version: the answer holds the newest
        assert answer.code == 412
        return json.loads(answer.read()), answer.headers["ETag"]

    def edit(self, image_id, make):
        """Saves an edit as the App does: as a JSON patch of the newest version.

        Args:
            image_id: the image.
            make: from the list of its boxes, the operations.
        """
        record, version = self.record(image_id)
        return self._patch(image_id, make(record["boxes"]["detections"]), version)

    def _patch(self, image_id, operations, version):
        if self._dataset_id is None:
            query = "query($name: String!) { dataset(name: $name) { datasetId } }"
            payload = {"query": query, "variables": {"name": self.dataset}}
            answer = self._send("POST", "/graphql", payload)
            self._dataset_id = answer["data"]["dataset"]["datasetId"]
        path = f"/dataset/{self._dataset_id}/sample/{self.samples()[image_id]}"
        headers = {"Content-Type": "application/json-patch+json", "If-Match": version}
        return self._send("PATCH", path, operations, headers)

    def relabel(self, image_id, box, label):
        self._set(image_id, box, "label", label)

    def move(self, image_id, box, xyxy, size=SIZE):
        self._set(image_id, box, "bounding_box", fractions(xyxy, size))

    def _set(self, image_id, box, name, value):
        def make(detections):
            place = f"/boxes/detections/{index(detections, image_id, box)}/{name}"
            return [{"op": "replace", "path": place, "value": value}]

        self.edit(image_id, make)

    def delete(self, image_id, box):
        """Deletes a box; gives what was there."""
        deleted = []

        def make(detections):
            position = index(detections, image_id, box)
            deleted.append(detections[position])
            return [{"op": "remove", "path": f"/boxes/detections/{position}"}]

        self.edit(image_id, make)
        return deleted[0]

    def restore(self, image_id, deleted):
        """Takes a deletion back: the App adds the box again, as the last one."""
        operation = {"op": "add", "path": "/boxes/detections/-", "value": deleted}
        self.edit(image_id, lambda detections: [operation])

    def draw(self, image_id, xyxy, label, size=SIZE):
        """Draws a box; gives its id."""
        box = {
            "_cls": "Detection",
            "_id": str(ObjectId()),
            "label": label,
            "bounding_box": fractions(xyxy, size),
        }
        self.restore(image_id, box)
        return box["_id"]


def fractions(xyxy, size):
    (x1, y1, x2, y2), (width, height) = xyxy, size
    return [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]


def index(detections, image_id, box):
    """Where in its image a box is."""
    ids = [detection["_id"]["$oid"] for detection in detections]
    return ids.index(box if box in ids else object_id(image_id, box))
