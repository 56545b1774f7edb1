"""A whole campaign labeled in other tools, through the real dvc: out, corrected, back, and on."""

import json

import pytest
from campaigns import TINY, init, repro, run

import builders_datasets
from boxloop.campaign import artifacts, submissions
from boxloop.core.edits import Ledger, diff

REPLACED = ("dataset.demo", "batch=", "train.steps", "train.input")
SETTINGS = (
    *(setting for setting in TINY if not setting.startswith(REPLACED)),
    "dataset.demo={images: 8, video_fraction: 0.5, size: [48, 48], seed: 0}",
    "batch={size: 4}",
    "train.steps=1",
    "train.input_size=[48, 48]",
    "review.annotator=fiftyone",
    "track.enabled=false",
)
FILE = "annotations/instances_default.json"


def geometry(table):
    return {
        name: sorted(zip(b.labels.tolist(), b.xyxy.tolist(), strict=True))
        for name, b in table.items()
    }


def proposals_out(folder, key):
    run(folder, "boxloop", "export", "out", "--format", "coco", "--proposals", key)
    return json.loads((folder / "out" / FILE).read_text())


def corrected(folder, content, *, only=None, names="{}"):
    """The truth, as a tool without attributes writes it: whole pixels, names of its own."""
    truth = artifacts.read_truth(folder / "data/truth.json")
    categories = {c["name"]: c["id"] for c in content["categories"]}
    images = [i for i in content["images"] if only is None or i["id"] in only]
    annotations = [
        {
            "image_id": image["id"],
            "category_id": categories[label],
            "bbox": [int(x1), int(y1), int(x2 - x1), int(y2 - y1)],
        }
        for image in images
        for label, (x1, y1, x2, y2) in zip(
            truth[image["file_name"].removesuffix(".png")].labels.tolist(),
            truth[image["file_name"].removesuffix(".png")].xyxy.tolist(),
            strict=True,
        )
    ]
    images = [{**image, "file_name": names.format(image["file_name"])} for image in images]
    payload = {**content, "images": images, "annotations": annotations}
    (folder / "back.json").write_text(json.dumps(payload))
    return "back.json"


@pytest.mark.slow
def test_a_campaign_labeled_in_other_tools(tmp_path):
    folder = init(tmp_path / "campaign", *SETTINGS, batches=2)
    assert run(folder, "dvc", "repro", check=False).returncode != 0

    # the first batch, from scratch, in two parts
    content = proposals_out(folder, "b00")
    assert (len(content["images"]), content["annotations"]) == (4, [])
    said = run(folder, "boxloop", "import-corrections", corrected(folder, content, only={1})).stdout
    assert "Still missing of b00: 3 images" in said
    rest = corrected(folder, content, only={2, 3, 4}, names="images/1/3ffd1ab2-{}")
    said = run(folder, "boxloop", "import-corrections", rest, "--reviewer", "Zoë").stdout
    assert "b00 is complete" in said

    # the second, from proposals
    assert run(folder, "dvc", "repro", check=False).returncode != 0
    content = proposals_out(folder, "b01")
    shown = len(content["annotations"])
    said = run(folder, "boxloop", "import-corrections", corrected(folder, content)).stdout
    assert "b01 is complete" in said
    repro(folder)

    truth = artifacts.read_truth(folder / "data/truth.json")
    labeled = artifacts.read_labeled(folder / "data/labeled/b01.parquet")
    assert geometry(labeled.boxes) == geometry(truth)
    workload = artifacts.read_workload(folder / "data/workload/b01.json")
    taken = artifacts.read_corrections(folder / "data/corrections/b01.json")
    assert (workload.annotator, taken.annotator) == ("import", "import")
    edits = [diff(taken.shown()[i], boxes) for i, boxes in taken.boxes.items()]
    assert workload.edits == sum(edits, Ledger())
    e = workload.edits
    assert e.kept + e.moved + e.relabeled + e.removed == shown
    assert e.kept + e.moved + e.relabeled + e.added == workload.objects

    # what leaves is what came in
    said = run(folder, "boxloop", "export", "voc", "--format", "voc", "--images", "copy").stdout
    assert said.startswith("voc: 8 images")
    assert "reviewed by Zoë" in said
    assert geometry(builders_datasets.load(folder / "voc", "voc").truth) == geometry(truth)

    # a batch that DVC takes for done, once more
    empty = corrected(folder, {**content, "images": content["images"][:1]})
    (folder / empty).write_text(
        json.dumps({**json.loads((folder / empty).read_text()), "annotations": []})
    )
    done = run(folder, "boxloop", "import-corrections", empty, check=False)
    assert done.returncode == 2
    assert "--redo" in done.stderr
    run(folder, "boxloop", "import-corrections", empty, "--redo")
    repro(folder)
    labeled = artifacts.read_labeled(folder / "data/labeled/b01.parquet")
    redone = content["images"][0]["file_name"].removesuffix(".png")
    assert len(labeled.boxes[redone]) == 0
    assert len(submissions.read(folder / "reviews")) == 4
