"""`boxloop run --overlap` with the real DVC: people submit a batch in two parts, and redo it."""

import pytest
from campaigns import TINY, init, repro

from boxloop.campaign import artifacts
from boxloop.campaign.ahead import AheadPaths, seen_by
from boxloop.campaign.dvc import bring_into_dvc
from boxloop.campaign.overlap import training_ahead
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.run import alternate
from boxloop.params import load_params
from builders_counting import FOREIGN
from builders_database import wait_until
from builders_reviews import submit

SETTINGS = (
    *(o for o in TINY if not o.startswith(("dataset.demo", "batch=", "train."))),
    "dataset.demo={images: 7, video_fraction: 0.0, size: [48, 48], seed: 0}",
    "order.strategy=temporal",
    "batch={sizes: [4, 3]}",
    "train.detector=counting_detector:FACTORY",
    "train.steps=1",
    "train.held_out=0",
    "review.annotator=fiftyone",
    "track.enabled=false",
)


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_proposals_are_there_when_a_batch_is_handed_in(tmp_path):
    folder = init(tmp_path / "campaign", *SETTINGS, batches=2)
    (folder / "counting_detector.py").write_text(FOREIGN)
    paths, params = CampaignPaths(folder), load_params(folder / "params.yaml")
    said = []

    def review(key):
        ids = artifacts.read_batch(paths.batch(key)).image_ids
        submit(folder, key, ids[:2])
        if key == "b00":
            wait_until(AheadPaths.of(paths, "b01").folder.exists, 100)
        submit(folder, key, ids[2:])

    def beside(key):
        return training_ahead(paths, params, key, said.append)

    alternate(paths, review, said.append, beside=beside)
    assert said == ["Every batch is done. Results: data/report/report.html"]
    ids = artifacts.read_batch(paths.batch("b00")).image_ids
    assert seen_by(paths, ["b00", "b01"])["b01"].images == ids[:2]
    # One training and one look at the batch, both ahead: DVC took them over.
    assert (folder / "done.txt").read_text().split() == ["trained", "proposed"]
    assert not [*(paths.state / "ahead").iterdir()]
    # A redo trains on everything, as ever.
    submit(folder, "b00", ids[:1], by=2.0)
    bring_into_dvc(folder, "b00")
    repro(folder)
    assert (folder / "done.txt").read_text().split() == ["trained", "proposed"] * 2
    assert seen_by(paths, ["b00", "b01"]) == {}
