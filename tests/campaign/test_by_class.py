"""The ledger by class, read from a campaign's files."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from boxloop import pipeline
from boxloop.campaign import artifacts, class_changes, submissions
from boxloop.campaign.by_class import read_by_class
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import read_results
from boxloop.core.edits import EDITS, Ledger
from boxloop.core.types import ImageSet
from boxloop.files import read_json
from boxloop.params import Params
from builders_campaign import build_campaign, small_params
from builders_reviews import submit


def check_sums(paths: CampaignPaths, params: Params) -> None:
    results = read_results(paths, params)
    found = read_by_class(paths, params, results)
    for iou in results.iou_thresholds:
        whole = results.totals(iou)
        parts = [found.totals(label, iou) for label in found.classes]
        for name in ("objects", "first_batch_objects", "added", "removed", "wb", "wt"):
            assert sum(getattr(part, name) for part in parts) == getattr(whole, name), name
        edits = [found.edits(label, iou) for label in found.classes]
        assert sum(edits, Ledger()) == results.edits(iou)
        for i, workload in enumerate(results.workloads):
            own = found.batches[i].ledgers[iou].edits.values()
            assert sum(own, Ledger()) == workload.ledger(iou)
    map_50 = results.workloads[-1].average_precision["map_50"]
    assert sum(found.precision.values()) / len(found.precision) == pytest.approx(map_50)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.75, 1.0, "fitted"])
def test_the_classes_of_a_simulation_sum_up_to_the_campaign(
    tmp_path: Path, threshold: object
) -> None:
    params = small_params(3, review={"score_threshold": threshold})
    check_sums(build_campaign(tmp_path, params), params)


def test_the_classes_of_people_sum_up_to_the_campaign(tmp_path: Path) -> None:
    params = small_params(3)
    check_sums(build_campaign(tmp_path, params, annotator="fiftyone"), params)


def test_the_campaign_that_was_counted_by_hand(tmp_path: Path) -> None:
    params = small_params(3)
    paths = build_campaign(tmp_path, params)
    found = read_by_class(paths, params, read_results(paths, params))
    # Of b01 the relabeled box (C, proposed as a cat) is a dog; FREE, a dog, is removed.
    assert found.edits("cat", 0.5) == Ledger(kept=5, added=4)
    assert found.edits("dog", 0.5) == Ledger(kept=3, relabeled=1, removed=1, added=2)
    assert found.edits("cat", 0.7) == Ledger(kept=4, moved=1, added=4)
    cat, dog = (found.totals(name, 0.5) for name in ("cat", "dog"))
    assert (cat.images, cat.objects, cat.wb, cat.wt) == (6, 9, 4, 4)
    assert (dog.images, dog.objects, dog.wb, dog.wt) == (6, 6, 5, 4.0)
    assert found.mistaken(0.5) == [("cat", "dog", 1)]


def test_a_script_recounts_it_from_the_files_alone(tmp_path: Path) -> None:
    """What people did, from the JSON of data/: ids tell, and only moves need geometry."""
    params = small_params(3)
    paths = build_campaign(tmp_path, params, annotator="fiftyone")
    counts: Counter[tuple[str, str]] = Counter()
    for path in sorted((tmp_path / "data" / "corrections").glob("*.json")):
        content = read_json(path)
        threshold = content["score_threshold"]
        for image_id, final in content["boxes"].items():
            after = {box["id"]: box for box in final}
            for box in content["proposals"]["boxes"][image_id]:
                if box["score"] < threshold:
                    continue
                end = after.pop(box["id"], None)
                if end is None:
                    counts["removed", box["label"]] += 1
                elif end["label"] != box["label"]:
                    counts["relabeled", end["label"]] += 1
                else:
                    a, b = box["xyxy"], end["xyxy"]
                    w = max(0, min(a[2], b[2]) - max(a[0], b[0]))
                    h = max(0, min(a[3], b[3]) - max(a[1], b[1]))
                    both = sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - w * h
                    counts["kept" if w * h / both >= 0.5 else "moved", end["label"]] += 1
            counts.update(("added", box["label"]) for box in after.values())
    found = read_by_class(paths, params, read_results(paths, params))
    for label in found.classes:
        expected = Ledger(**{kind: counts[kind, label] for kind in EDITS})
        assert found.edits(label, 0.5) == expected
    assert counts["relabeled", "dog"] == 1


def test_renamed_and_merged_classes_have_the_names_of_today(tmp_path: Path) -> None:
    params = small_params(2, review={"annotator": "fiftyone"})
    paths = build_campaign(tmp_path, params, annotator="fiftyone")
    campaign = Campaign(paths, params)
    for key in params.iterations:
        submit(tmp_path, key)
    when = submissions.parse_time(submissions.timestamp())
    for kind, old, new in (("merge", "dog", "cat"), ("rename", "cat", "animal")):
        change = class_changes.ClassChange(kind, old, new, when)  # type: ignore[arg-type]
        class_changes.append(paths.reviews, change, ["animal"])
    images = artifacts.read_images(paths.images)
    artifacts.write_images(paths.images, ImageSet(images.images, ("animal",)))
    for key in params.iterations:  # the turn's detector is trained anew, with the new classes
        offered = artifacts.read_proposals(paths.proposals(key))
        renamed = class_changes.rename(offered.boxes, class_changes.read(paths.reviews))
        artifacts.write_proposals(paths.proposals(key), replace(offered, boxes=renamed))
        corrections = pipeline.review(campaign, key)
        assert {name for b in corrections.boxes.values() for name in b.labels} == {"animal"}
        pipeline.account(campaign, key)
    found = read_by_class(paths, params, read_results(paths, params))
    assert found.classes == ("animal",)
    assert found.mistaken(0.5) == []
    check_sums(paths, params)
