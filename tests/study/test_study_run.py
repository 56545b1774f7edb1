"""Tiny studies, whole: every number computed anew from the proposals and the truth they store."""

import json
import os
import shutil
import signal
import subprocess
import sys

import psutil
import pytest
from filelock import FileLock
from PIL import Image
from scipy import stats

from boxloop.campaign import artifacts
from boxloop.errors import DatasetError, ParamsError, StudyError
from boxloop.files import file_digest
from boxloop.models.average_precision import average_precision, voc_average_precision
from boxloop.study.run import run
from boxloop.study.spec import load_spec
from builders_datasets import coco
from builders_jobs import spawned, wait_for
from builders_study import TINY, bytes_of, changed, finish, start, study_file, table

COCO = {"format": "coco", "annotations": "instances.json", "images": "images"}
TEST_SET = {"demo": {"images": 4, "seed": 7}}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished study with a test set: its file and its folder."""
    folder = tmp_path_factory.mktemp("study")
    path = study_file(folder, test=TEST_SET)
    code, output = finish(start(path, folder / "out"))
    assert code == 0, output
    return path, folder / "out", output


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / area


def right(shown, truth, threshold):
    """How many proposals are right: pairs of one class, highest IoU first, one to one."""
    pairs = [
        (iou(box["xyxy"], other["xyxy"]), i, j)
        for i, box in enumerate(shown)
        for j, other in enumerate(truth)
        if box["label"] == other["label"]
    ]
    used_i, used_j, count = set(), set(), 0
    for value, i, j in sorted(pairs, key=lambda p: -p[0]):
        if value >= threshold and i not in used_i and j not in used_j:
            used_i.add(i)
            used_j.add(j)
            count += 1
    return count


def by_hand(cell, threshold, score):
    """(W_T, W_B) saved, by the paper's formulas, from the files of a cell."""
    truth = json.loads((cell / "data" / "truth.json").read_text())["boxes"]
    objects = first = added = removed = 0
    for number, key in enumerate(["b00", "b01"]):
        found = json.loads((cell / "data" / "proposals" / f"{key}.json").read_text())["boxes"]
        for image_id, proposed in found.items():
            n = len(truth[image_id])
            objects += n
            if number == 0:
                first += n
                continue
            shown = [box for box in proposed if box["score"] >= score]
            kept = right(shown, truth[image_id], threshold)
            added += n - kept
            removed += len(shown) - kept
    wt, wb = first + added + removed / 2, first + added + removed
    return 1 - wt / objects, 1 - wb / objects


def test_every_row_is_what_its_proposals_and_the_truth_say(done):
    _, out, _ = done
    rows = table(out / "results.csv")
    assert len(rows) == 4 * 2 * 2
    for row in rows:
        cell = out / "cells" / row["cell"]
        wt, wb = by_hand(cell, float(row["iou"]), float(row["score_threshold"]))
        assert float(row["wt_reduction"]) == pytest.approx(wt)
        assert float(row["wb_reduction"]) == pytest.approx(wb)
        assert row["shown"] == str(int(float(row["score_threshold"]) == 0.1))
    assert any(float(row["removed"]) > 0 for row in rows)


def test_every_number_of_the_tables_is_what_its_rows_say(done):
    _, out, _ = done
    rows = [r for r in table(out / "results.csv") if r["shown"] == "1"]
    entries = table(out / "tables.csv")
    assert len(entries) == 2 * 2 * 2
    for entry in entries:
        column = f"{entry['measure']}_reduction"

        def values(approach, column=column, entry=entry):
            mine = [r for r in rows if r["approach"] == approach and r["iou"] == entry["iou"]]
            return [100 * float(r[column]) for r in sorted(mine, key=lambda r: int(r["seed"]))]

        ours, base = values(entry["approach"]), values("random")
        assert entry["n"] == "2"
        assert float(entry["mean"]) == pytest.approx(sum(ours) / 2)
        if ours[0] != ours[1]:
            spread = abs(ours[0] - ours[1]) / 2**0.5
            half = stats.t.ppf(0.975, 1) * spread / 2**0.5
            assert float(entry["high"]) - float(entry["mean"]) == pytest.approx(half)
        if entry["approach"] == "random":
            assert entry["paired_mean"] == ""
        else:
            difference = (ours[0] - base[0] + ours[1] - base[1]) / 2
            assert float(entry["paired_mean"]) == pytest.approx(difference)


def test_the_tables_for_people_hold_these_numbers(done):
    _, out, output = done
    text, page = (out / "tables.md").read_text(), (out / "study.html").read_text()
    for entry in table(out / "tables.csv"):
        number = f"{float(entry['mean']):.2f}"
        assert number in text
        assert number in page
        assert number in output
    for said in (text, page, output):
        assert "Fewer than 3 seeds" in said
    assert "http" not in page.replace("http-equiv", "")


def test_the_precision_on_the_test_set_is_what_its_proposals_say(done):
    _, out, _ = done
    rows = table(out / "precision.csv")
    assert [r["labeled_images"] for r in rows] == ["6", "12"] * 4
    truth = artifacts.read_truth(out / "shared" / "test" / "data" / "truth.json")
    assert len(truth) == 4
    for row in rows:
        key = "_last" if row["turn"] == "after the last" else row["turn"]
        folder = next((out / "cells" / row["cell"] / "data").glob("test-*"))
        found = artifacts.read_proposals(folder / f"{key}.proposals.json")
        checkpoint = out / "cells" / row["cell"] / "data" / "detectors" / f"{key}.pt"
        assert found.checkpoint == file_digest(checkpoint)
        expected = {
            **average_precision(found.boxes, truth),
            **voc_average_precision(found.boxes, truth),
        }
        for name, value in expected.items():
            assert float(row[name]) == pytest.approx(value)


def test_a_cell_is_a_campaigns_folder(done):
    _, out, _ = done
    cell = next((out / "cells").iterdir())
    code = "from boxloop.cli import main; main()"
    for command, said in (("status", "12 of 12 images"), ("report", "WT saved")):
        result = subprocess.run(
            [sys.executable, "-c", code, command], cwd=cell, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
        assert said in result.stdout
    (cell / "metrics.json").unlink()
    for path in (cell / "data" / "report").iterdir():
        path.unlink()
    (cell / "data" / "report").rmdir()


def test_detectors_and_seeds_share_what_they_can(done):
    _, out, _ = done
    assert len(list((out / "shared").glob("features-*"))) == 1
    assert len(list((out / "shared" / "orders").iterdir())) == 4


def test_figures(done):
    _, out, _ = done
    names = {path.name for path in (out / "figures").iterdir()}
    assert {"figure2_random.jpg", "figure2_dissimilar-plain.jpg", "saving_wt.svg"} <= names
    assert {"figure3_ssd_voc_map.svg", "figure3_ssd_map.svg"} <= names
    with Image.open(out / "figures" / "figure2_random.jpg") as strip:
        assert strip.width == 8 * 164 - 4


def modified(out):
    return {p: p.stat().st_mtime_ns for p in (out / "cells").rglob("*") if p.is_file()}


def test_again_computes_nothing_and_a_change_only_what_is_new(done, capsys):
    path, out, _ = done
    before, files = modified(out), bytes_of(out)
    run(load_spec(path), out, jobs=1)
    assert modified(out) == before
    assert bytes_of(out) == files

    # Another threshold: counted again, and no detector trained or asked again.
    stricter = study_file(
        path.parent, "stricter.yaml", test=TEST_SET, set=changed("review", score_threshold=0.2)
    )
    run(load_spec(stricter), out, jobs=2)
    after = modified(out)
    assert set(after) == set(before)
    touched = {p.parent.name for p in after if after[p] != before[p]}
    assert "workload" in touched
    assert not touched & {"detectors", "training", "proposals", "labeled"}
    shown = [r for r in table(out / "results.csv") if r["shown"] == "1"]
    assert {r["score_threshold"] for r in shown} == {"0.2"}
    for row in shown:
        wt, _ = by_hand(out / "cells" / row["cell"], float(row["iou"]), 0.2)
        assert float(row["wt_reduction"]) == pytest.approx(wt)

    # And back.
    run(load_spec(path), out, jobs=2)
    assert bytes_of(out) == files
    assert "4 done before, 0 to run" in capsys.readouterr().out


def test_a_threshold_is_fitted_anew_without_asking_a_detector(done):
    path, out, _ = done
    before, files = modified(out), bytes_of(out)
    fitted = study_file(
        path.parent, "fit.yaml", test=TEST_SET, set=changed("review", score_threshold="fitted")
    )
    run(load_spec(fitted), out, jobs=2)
    after = modified(out)
    touched = {p.parent.name for p in after if after[p] != before.get(p)}
    assert "proposals" in touched  # they hold the thresholds
    assert not touched & {"detectors", "training", "labeled"}
    shown = [r for r in table(out / "results.csv") if r["shown"] == "1"]
    assert len(shown) == 4 * 2
    for row in shown:
        assert row["score_threshold"] == "fitted"
        cell, threshold = out / "cells" / row["cell"], float(row["iou"])
        offered = artifacts.read_proposals(cell / "data" / "proposals" / "b01.json")
        chosen = offered.fitted(threshold)
        assert chosen.found == "held-out part of b00"
        wt, _ = by_hand(cell, threshold, chosen.score)
        assert float(row["wt_reduction"]) == pytest.approx(wt)

    # And back.
    run(load_spec(path), out, jobs=2)
    assert bytes_of(out) == files


def test_turns_that_come_later_end_as_if_they_had_been_there_at_once(tmp_path):
    """Whatever was trained after the last turn, or counted otherwise, when the turns were fewer."""

    def ended(out, turns, threshold):
        sections = changed("review", score_threshold=threshold) | {"batch": {"size": 4}}
        given = {"orderings": ["random"], "seeds": [0], "test": TEST_SET, "turns": turns}
        path = study_file(tmp_path, f"{turns}-{threshold}.yaml", set=sections, **given)
        run(load_spec(path), out, jobs=1)
        return [r["labeled_images"] for r in table(out / "precision.csv")]

    out, fresh = tmp_path / "out", tmp_path / "fresh"
    assert ended(out, 3, 0.2) == ["4", "8", "12"]
    assert ended(out, 2, 0.1) == ["4", "8"]
    assert ended(out, 3, 0.1) == ended(fresh, 3, 0.1) == ["4", "8", "12"]
    both = [
        {name: content for name, content in bytes_of(place).items() if "/tracked/" not in name}
        for place in (out, fresh)
    ]
    assert both[0] == both[1]


def test_turns_of_other_names_are_never_taken_for_one_another(tmp_path):
    """Neither those that params.yaml calls so, nor those in a cell that an older boxloop named."""

    def ended(out, *names):
        chain, previous = {}, "empty"
        for name in names:
            chain[name], previous = {"previous": previous}, name
        sections = TINY["set"] | {"batch": {"size": 4}, "iterations": chain}
        given = {"orderings": ["random"], "seeds": [0], "turns": None}
        path = study_file(tmp_path, set=sections, **given)
        run(load_spec(path), out, jobs=1)
        return {k: v for k, v in bytes_of(out).items() if k.startswith(("cells/", "results"))}

    out, usual = tmp_path / "out", tmp_path / "usual"
    wanted = ended(usual, "b00", "b01", "b02")
    again = ended(out, "b01", "b02", "b00")
    assert set(again) == set(wanted)
    assert again == wanted

    (cell,) = (out / "cells").iterdir()
    for moved in ({"b00": "b01", "b01": "b00"}, {"b00": "b01", "b01": "b02", "b02": "b03"}):
        renamed = {p: moved.get(p.name[:3]) for p in (cell / "data").rglob("b0*")}
        for path, name in renamed.items():
            path.rename(path.with_name(f"moved-{name or path.name[:3]}{path.name[3:]}"))
        for path in (cell / "data").rglob("moved-*"):
            path.rename(path.with_name(path.name.removeprefix("moved-")))
        (cell / "cell.json").unlink()
        again = ended(out, "b00", "b01", "b02")
        assert {name: again[name] for name in wanted} == wanted


def test_a_failing_cell_does_not_stop_the_others(tmp_path, capsys):
    path = study_file(
        tmp_path,
        orderings=["random"],
        detectors={"ssd": {}, "bad": {"weights": "NOTHING_LIKE_IT"}},
        seeds=[0],
    )
    with pytest.raises(StudyError, match="1 of 2 cells failed") as caught:
        run(load_spec(path), tmp_path / "out", jobs=1)
    assert caught.value.exit_code != 0
    assert "failed: random.bad.seed0: " in (said := capsys.readouterr().out)
    assert "NOTHING_LIKE_IT" in said
    assert {r["detector"] for r in table(tmp_path / "out" / "results.csv")} == {"ssd"}
    assert "preliminary" in (tmp_path / "out" / "tables.md").read_text()
    assert "random.bad.seed0" in (tmp_path / "out" / "study.html").read_text()


def test_faults_are_told_before_anything_is_computed(tmp_path):
    for changes, words in (
        ({"set": changed("batch", size=8), "turns": 3}, "12 images make 2"),
        ({"classes": ["unicorn"]}, "classes names 'unicorn'"),
    ):
        with pytest.raises(ParamsError, match=words):
            run(load_spec(study_file(tmp_path, **changes)), tmp_path / "out", jobs=1)
    assert not (tmp_path / "out").exists()


REFUSED = (
    {"classes": ["unicorn"]},
    {"set": changed("batch", size=8), "turns": 3},
    {"set": changed("dataset", format="voc", path="nowhere")},
    {"test": {"format": "voc", "path": "nowhere"}},
)


@pytest.mark.parametrize("changes", REFUSED)
def test_a_study_that_is_refused_leaves_nothing_behind(tmp_path, changes):
    path = study_file(tmp_path / "study", **changes)
    with pytest.raises((ParamsError, DatasetError)):
        run(load_spec(path), tmp_path / "new" / "below" / "out", jobs=1)
    assert not (tmp_path / "new").exists()
    there = tmp_path / "there"
    (there / "shared").mkdir(parents=True)
    for mine in (there / "mine.txt", there / "shared" / "mine.txt"):
        mine.write_text("mine")
    with pytest.raises((ParamsError, DatasetError)):
        run(load_spec(path), there, jobs=1)
    assert {mine.read_text() for mine in there.rglob("mine.txt")} == {"mine"}
    assert len(list(there.rglob("mine.txt"))) == 2
    shutil.rmtree(there / "shared")
    with pytest.raises((ParamsError, DatasetError)):
        run(load_spec(path), there, jobs=1)
    assert [path.name for path in there.iterdir()] == ["mine.txt"]


def test_a_study_that_is_refused_while_another_is_at_work_touches_nothing_of_it(tmp_path):
    out, path = tmp_path / "out", study_file(tmp_path, **REFUSED[0])
    out.mkdir()
    with FileLock(out / ".lock"), pytest.raises(StudyError, match="another boxloop is at work"):
        run(load_spec(path), out, jobs=1)
    assert (out / ".lock").exists()


def test_a_study_that_fails_before_it_has_begun_leaves_no_empty_folder(tmp_path):
    def closed(said):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run(load_spec(study_file(tmp_path)), tmp_path / "out", jobs=1, say=closed)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ({"format": "voc", "path": "nowhere"}, "nowhere"),
        ({"split": "val"}, "split means nothing to format 'demo'"),
        ({"exif": "raw"}, "exif"),
    ],
)
def test_a_fault_of_the_test_set_names_the_file_and_its_key(tmp_path, test, words):
    path = study_file(tmp_path, test=test)
    with pytest.raises(DatasetError) as caught:
        run(load_spec(path), tmp_path / "out", jobs=1)
    message = str(caught.value)
    assert message.startswith(f"{path}, test: ")
    assert message.count("test: ") == 1
    assert words in message


def test_a_test_set_of_other_classes_names_the_file(tmp_path):
    coco(tmp_path / "other", categories=[{"id": 18, "name": "unicorn"}])
    path = study_file(tmp_path, test={**COCO, "path": "other"})
    with pytest.raises(DatasetError, match=r"study\.yaml, test: .* none of .*, but unicorn$"):
        run(load_spec(path), tmp_path / "out", jobs=1)


@pytest.mark.parametrize("known", [["unicorn"], ["dog", "cup"]])
def test_a_test_set_without_a_box_says_so(tmp_path, known):
    categories = [{"id": i, "name": name} for i, name in enumerate(known, 1)]
    coco(tmp_path / "other", categories=categories, annotations=[])
    path = study_file(tmp_path, test={**COCO, "path": "other"})
    with pytest.raises(DatasetError) as caught:
        run(load_spec(path), tmp_path / "out", jobs=1)
    assert str(caught.value) == (
        f"{path}, test: {tmp_path / 'other'} holds no box to evaluate by: name a set whose images"
        " are labeled, or take out test"
    )


@pytest.mark.parametrize("classes", [["dog", "car"], "each"])
def test_a_class_that_does_not_occur_is_told_with_those_that_do(tmp_path, classes):
    coco(tmp_path / "photos")
    mine = {**TINY["set"], "dataset": {**COCO, "path": "photos"}}
    path = study_file(tmp_path, set=mine, classes=classes)
    with pytest.raises(ParamsError) as caught:
        run(load_spec(path), tmp_path / "out", jobs=1)
    told = f"{path}: classes: no image contains a car: list classes that occur, of dog"
    assert str(caught.value) == told


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_papers_numbers_stand_beside_and_no_detector_is_kept(tmp_path, capsys):
    path = study_file(
        tmp_path,
        orderings=["random"],
        seeds=[0],
        paper="voc2007",
        checkpoints=False,
        detectors={"ssd": {"detector": "ssd300_mobilenet_v2"}},
    )
    run(load_spec(path), tmp_path / "out", jobs=1)
    assert not list(tmp_path.glob("out/cells/*/data/detectors"))
    entries = table(tmp_path / "out" / "tables.csv")
    papers = {(e["measure"], e["iou"]): e["paper"] for e in entries}
    assert papers[("wt", "0.5")] == "31.61"
    assert papers[("wb", "0.7")] == ""
    said = capsys.readouterr().out
    assert "the paper's voc2007 has 30,638 objects in 9,963 images, of 20 classes" in said
    assert "One seed, so nothing is known" in (tmp_path / "out" / "tables.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_one_class_at_a_time_with_its_average(tmp_path):
    out = tmp_path / "out"
    path = study_file(tmp_path, orderings=["random"], seeds=[0], classes=["cup", "ball"])
    run(load_spec(path), out, jobs=2)
    rows = [r for r in table(out / "results.csv") if r["shown"] == "1" and r["iou"] == "0.5"]
    assert len(rows) == 2
    for row in rows:
        wt, wb = by_hand(out / "cells" / row["cell"], 0.5, 0.1)
        assert (float(row["wt_reduction"]), float(row["wb_reduction"])) == pytest.approx((wt, wb))
        truth = json.loads((out / "cells" / row["cell"] / "data" / "truth.json").read_text())
        labels = [box["label"] for boxes in truth["boxes"].values() for box in boxes]
        assert set(labels) == {row["class"]}
    entries = table(out / "tables.csv")
    average = next(
        e for e in entries if (e["class"], e["measure"], e["iou"]) == ("average", "wt", "0.5")
    )
    wanted = 100 * sum(float(r["wt_reduction"]) for r in rows) / len(rows)
    assert float(average["mean"]) == pytest.approx(wanted)
    assert {e["table"] for e in entries} == {"3"}


# --- stopped --------------------------------------------------------------------------------------


def family(process):
    return psutil.Process(process.pid).children(recursive=True)


SLOWER = {
    "set": {
        **TINY["set"],
        "train": {**TINY["set"]["train"], "steps": 12, "warm_start": True},
        "simnet": {"weights": "none", "epochs": 1, "batch_size": 4},
    },
    "orderings": ["dissimilar"],
    "features": {"plain": {}, "taught": {"weights": "simnet"}},
    "turns": 3,
}


@pytest.fixture(scope="module")
def slower(tmp_path_factory):
    """A study that takes long enough to be stopped, and what it ends with when nobody does."""
    folder = tmp_path_factory.mktemp("slower")
    path = study_file(folder, **SLOWER)
    code, output = finish(start(path, folder / "whole"))
    assert code == 0, output
    return path, bytes_of(folder / "whole")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_stopped_half_way_it_leaves_no_process_and_ends_the_same(slower, tmp_path):
    """In the first cells twice, and once in the last ones."""
    path, whole = slower
    broken = tmp_path / "broken"
    stops = [(1, "b01", signal.SIGINT), (1, "b02", signal.SIGKILL), (3, "b01", signal.SIGTERM)]
    for cells, turn, how in stops:
        process = start(path, broken)
        made = f"*/data/detectors/{turn}.pt"
        wait_for(lambda n=cells, made=made: len(list((broken / "cells").glob(made))) >= n)
        children = family(process)
        assert children
        os.kill(process.pid, how)
        code, output = finish(process)
        assert code == (-9 if how == signal.SIGKILL else 130)
        assert "Traceback" not in output
        _, alive = psutil.wait_procs(children, timeout=120)
        assert not alive
        if how == signal.SIGINT:
            assert not list((broken / "cells").glob("*/cell.json"))
    code, output = finish(start(path, broken))
    assert code == 0, output
    assert bytes_of(broken) == whole


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_worker_that_dies_changes_nothing(slower, tmp_path):
    path, whole = slower
    out = tmp_path / "out"
    process = start(path, out)
    wait_for(lambda: any((out / "cells").glob("*/data/detectors/b01.pt")))
    workers = spawned(process)
    assert len(workers) == 2
    workers[0].kill()
    code, output = finish(process)
    assert code == 0, output
    assert "its worker was ended from outside; begun again" in output
    assert "Traceback" not in output
    assert bytes_of(out) == whole


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_mlflow_has_the_study_the_cells_and_the_turns_once(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    from boxloop.tracking.mlflow_store import PARENT, open_store

    small = {"orderings": ["random", "temporal"], "seeds": [0]}
    out = tmp_path / "out"

    def runs():
        with open_store(out, "boxloop", print) as store:
            top = store.runs({"boxloop.study": next(iter(studies(store)))})
            cells = store.runs({PARENT: top[0].info.run_id})
            turns = [store.runs({PARENT: c.info.run_id}) for c in cells]
            return top, cells, turns

    def studies(store):
        return {
            r.data.tags["boxloop.study"] for r in store.runs({}) if "boxloop.study" in r.data.tags
        }

    path = study_file(tmp_path, **small, set={k: v for k, v in TINY["set"].items() if k != "track"})
    run(load_spec(path), out, jobs=2)
    top, cells, turns = runs()
    assert (len(top), len(cells), [len(t) for t in turns]) == (1, 2, [2, 2])
    metrics = top[0].data.metrics
    for entry in table(out / "tables.csv"):
        name = f"{entry['measure']}_reduction/iou_{entry['iou']}/{entry['approach']}/ssd"
        assert metrics[name] == pytest.approx(float(entry["mean"]) / 100)
    assert {c.data.tags["boxloop.approach"] for c in cells} == {"random", "temporal"}
    note = top[0].data.tags["mlflow.note.content"]
    assert note.startswith("**tiny**: a study of 2 simulated campaigns, the runs below it.")
    assert "`wt_reduction/iou_0.5/random/ssd`" in note
    run(load_spec(path), out, jobs=2)
    again = runs()
    ids = lambda found: [r.info.run_id for r in found]  # noqa: E731
    assert ids(again[0]) == ids(top)
    assert set(ids(again[1])) == set(ids(cells))
    path = study_file(
        tmp_path,
        **{**small, "orderings": ["random"]},
        set={k: v for k, v in TINY["set"].items() if k != "track"},
    )
    run(load_spec(path), out, jobs=2)
    top, cells, turns = runs()
    assert (len(top), len(cells), [len(t) for t in turns]) == (1, 1, [2])
