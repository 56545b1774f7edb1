"""`boxloop run` with the real DVC: train, review, train, ... in one sitting; and a batch redone."""

import contextlib
import signal

import psutil
import pytest
from campaigns import TINY, init, repro

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import read_results
from boxloop.campaign.run import alternate
from boxloop.errors import UserError
from boxloop.params import load_params
from builders_database import require_mongod, wait_until
from builders_terminals import nothing_runs, processes, review

pytestmark = pytest.mark.timeout(3600)

SIZE = (64, 64)
SETTINGS = (
    *(o for o in TINY if not o.startswith(("dataset.demo", "batch=", "train.steps"))),
    "dataset.demo={images: 5, video_fraction: 0.0, size: [64, 64], seed: 0}",
    "batch={sizes: [2, 3]}",
    "train.steps=1",
    # After one step a network proposes at random: nothing that a test could count on.
    "review.score_threshold=1.0",
    "review.annotator=fiftyone",
    "track.enabled=false",
)


def label(app, classes):
    """A reviewer who draws one box on each image, and goes on."""
    for image_id in app.samples():
        app.draw(image_id, (8, 8, 24, 24), classes[0], SIZE)
        app.mark(image_id)
    return app.submit()["summary"]


@pytest.mark.slow
def test_the_whole_alternation_and_a_redo(tmp_path):
    require_mongod()
    folder = init(tmp_path / "my campaign", *SETTINGS, batches=2)
    paths = CampaignPaths(folder)
    with review(folder, "--reviewer", "ann", command="run") as terminal:
        first = terminal.app(0)
        classes = artifacts.read_images(paths.images).classes
        summaries = [label(first, classes)]
        assert "Batch b00: 2 images with 2 boxes are submitted by ann." in summaries[0]
        second = terminal.app(1)
        assert second.dataset == "b01"
        summaries.append(label(second, classes))
        assert terminal.ends(300) == 0
        said = terminal.said()
        assert all(summary in said for summary in summaries)
        assert said.rstrip().endswith("Every batch is done. Results: data/report/report.html")
    wait_until(lambda: nothing_runs(folder))
    labeled = artifacts.read_labeled(paths.labeled("b01"))
    assert [len(boxes) for boxes in labeled.boxes.values()] == [1] * 5
    # The last summary is what the campaign's metrics say.
    totals = read_results(paths, load_params(folder / "params.yaml")).totals(0.5)
    assert (totals.objects, totals.wb) == (5, 5)
    assert "so far, 5 objects, at IoU 0.5: WB 5 boxes (0.0 % saved)" in summaries[1]
    assert "up to date" in repro(folder).stdout

    with review(folder, "b00", "--redo", "--reviewer", "bob") as terminal:
        app = terminal.app()
        (image_id, *_) = app.samples()
        app.draw(image_id, (30, 30, 50, 50), classes[-1], SIZE)
        app.mark()
        assert "2 images with 3 boxes are submitted again by bob" in app.submit()["summary"]
        assert terminal.ends(300) == 0
        assert "Handing the new labels to DVC" in terminal.said()
    assert len(artifacts.read_corrections(paths.corrections("b00")).boxes[image_id]) == 2
    repro(folder)
    assert len(artifacts.read_labeled(paths.labeled("b01")).boxes[image_id]) == 2
    assert artifacts.read_corrections(paths.corrections("b00")).revision == 2


@pytest.mark.slow
def test_a_signal_ends_dvc_as_well(tmp_path):
    folder = init(tmp_path / "campaign", *SETTINGS, batches=2)
    with review(folder, command="run") as terminal:
        wait_until(lambda: "Running stage" in terminal.said(), 240)
        terminal.process.terminate()
        assert terminal.ends() == 128 + signal.SIGTERM
    assert not dvc_of(folder)


def dvc_of(folder):
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if "dvc" in process.cmdline() and process.cwd() == str(folder):
                found.append(process)
    return found


def test_what_is_wrong_with_the_pipeline_is_not_taken_for_a_batch_that_waits(tmp_path):
    """A folder without a pipeline: DVC fails, and nobody is asked to review anything."""
    paths = CampaignPaths(tmp_path)
    paths.state.mkdir()
    paths.pending.write_text("b03\n")  # of another day
    asked = []
    with pytest.raises(UserError, match="'dvc repro' failed, see above: put that right"):
        alternate(paths, asked.append, lambda text: None)
    assert asked == []
    assert not any(processes(tmp_path).values())
