"""The limits inside FiftyOne, in a process of its own: they stay for good."""

import json
import subprocess
import sys

import pytest

from boxloop.review.fiftyone.app_process import app_environment
from boxloop.review.fiftyone.mongodb import open_database
from builders_terminals import environment

CODE = """
import json, sys
from pathlib import Path
import fiftyone as fo
import fiftyone.core.aggregations as foa
import fiftyone.core.odm as foo
import fiftyone.core.stages as fos
import eta.core.utils as etau
from fiftyone.operators.permissions import ManagedOperators
from fiftyone.server.view import extend_view, get_view
from fiftyone.server import query
from fiftyone.server.stage_definitions import stage_definitions
from boxloop.review.fiftyone.guard.fiftyone_limits import PARTIAL, WHOLE, limit
from fiftyone.server.mutation import StateForm
import fiftyone.server.mutation as mutation

mine, other = fo.Dataset("b00"), fo.Dataset("b01")
box = lambda label, score: fo.Detection(
    label=label, confidence=score, bounding_box=[0.1, 0.1, 0.2, 0.2])
mine.add_samples(
    [
        fo.Sample(
            filepath=f"/{i}.png",
            tags=["reviewed"],
            position=i,
            boxes=fo.Detections(detections=[box("cat", 0.9), box("dog", 0.8), box("cat", 0.6)]),
        )
        for i in range(4)
    ],
    progress=False,
)
mine.save_view("two", mine.limit(2))
mine.save_view("cats", mine.filter_labels("boxes", fo.ViewField("label") == "cat"))
stored = {d["_id"]: d["boxes"] for d in mine._sample_collection.find()}
ids = mine.values("id")
every = {"boxes.detections.label": {"values": ["cat"], "exclude": False, "isMatching": False}}
other_id = str(other._doc.id)
limit("b00", {"@boxloop/review/overview"})
made = Path(sys.argv[1])
call = {"_cls": "os.system", "kwargs": [["command", f"touch '{made}'"]]}

def outcome(work):
    try:
        return repr(work())
    except Exception as error:
        return type(error).__name__

def stage(name, *kwargs):
    return {"_cls": f"fiftyone.core.stages.{name}", "kwargs": [list(pair) for pair in kwargs]}

def sentence(work):
    try:
        return repr(work())
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def shown(description):
    # Whether the images of a view have the boxes that are stored.
    view = get_view(fo.load_dataset("b00"), stages=[description])
    found = list(view._aggregate())
    return bool(found) and all(d["boxes"] == stored[d["_id"]] for d in found)

cat = {"$eq": ["$$this.label", "cat"]}
STAGES = {
    "Exclude": [("sample_ids", ids[:1])],
    "ExcludeBy": [("field", "position"), ("values", [0])],
    "Exists": [("field", "boxes")],
    "Limit": [("limit", 2)],
    "Match": [("filter", {"position": 1})],
    "MatchLabels": [("filter", cat), ("fields", "boxes")],
    "MatchTags": [("tags", ["reviewed"])],
    "Select": [("sample_ids", ids[:2]), ("ordered", True)],
    "SelectBy": [("field", "position"), ("values", [2, 1]), ("ordered", True)],
    "Shuffle": [("seed", 1)],
    "Skip": [("skip", 1)],
    "SortBy": [("field_or_expr", {"$size": "$boxes.detections"}), ("reverse", True)],
    "Take": [("size", 2), ("seed", 1)],
}

results = {
    "whole": {name: shown(stage(name, *STAGES[name])) for name in sorted(WHOLE)},
    "partial": {
        name: sentence(lambda: get_view(fo.load_dataset("b00"), stages=[stage(name)]))
        for name in sorted(PARTIAL)
    },
    "view of a filter": sentence(
        lambda: mutation._build_result_view(get_view(mine, filters=every), StateForm())),
    "view of tags": sentence(
        lambda: mutation._build_result_view(mine.match_tags("reviewed"), StateForm()).count()),
    "saved view that hides": sentence(lambda: fo.load_dataset("b00").load_saved_view("cats")),
    "filter": get_view(mine, filters=every).count("boxes.detections"),
    "offered": [d.name for d in stage_definitions()],
    "stage": outcome(lambda: fos.ViewStage._from_dict(call)),
    "stage by a subclass": outcome(lambda: fos.Limit._from_dict(call)),
    "stages of a view": outcome(lambda: get_view(fo.load_dataset("b00"), stages=[call])),
    "extended": outcome(lambda: extend_view(mine, {"os.system": {"command": f"touch '{made}'"}})),
    "mongo": outcome(lambda: fos.ViewStage._from_dict(
        {"_cls": "fiftyone.core.stages.Mongo", "kwargs": [["pipeline", [{"$out": "datasets"}]]]})),
    "aggregation": outcome(lambda: foa.Aggregation._from_dict(call)),
    "class": outcome(lambda: etau.get_class("os.system")),
    "class by module": outcome(lambda: etau.get_class("system", "os")),
    "no class": outcome(lambda: etau.get_class("fiftyone.core.utils.load_requirements")),
    "class of another": outcome(lambda: etau.get_class("fiftyone.core.dataset.datetime")),
    "other dataset": outcome(lambda: fo.load_dataset("b01")),
    "other dataset by id": outcome(lambda: foo.load_dataset(id=other_id)),
    "new dataset": outcome(lambda: fo.Dataset("b02")),
    "other operator": ManagedOperators().has_operator("@voxel51/operators/delete_samples"),
    # What a review needs goes on:
    "own": fo.load_dataset("b00", reload=True).count(),
    "saved view": mine.load_saved_view("two").count(),
    "limit": fos.ViewStage._from_dict(
        {"_cls": "fiftyone.core.stages.Limit", "kwargs": [["limit", 3]]}).limit,
    "count": mine.aggregate(foa.Aggregation._from_dict(foa.Count()._serialize())),
    "field": etau.get_class("fiftyone.core.fields.StringField").__name__,
    "operator": ManagedOperators().has_operator("@boxloop/review/overview"),
    "listed": [d["name"] for d in foo.get_db_conn().datasets.aggregate(query.DATASET_FILTER_STAGE)],
    "file": made.exists(),
}
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def results(mongod, tmp_path_factory):
    folder = tmp_path_factory.mktemp("limits")
    with open_database(folder / ".boxloop") as uri:
        done = subprocess.run(
            [sys.executable, "-c", CODE, folder / "made"],
            env=app_environment(environment(), uri=uri, database="limits"),
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "what",
    [
        *("stage", "stage by a subclass", "stages of a view", "extended", "mongo", "aggregation"),
        *("class", "class by module", "no class", "class of another"),
    ],
)
def test_names_of_requests_become_classes_of_fiftyone_only(results, what):
    assert results[what] == "Refused"
    assert results["file"] is False


def test_a_view_of_a_review_has_whole_images(results):
    """The App would delete the boxes that a view hides."""
    assert set(results["whole"].values()) == {True}, results["whole"]
    assert results["offered"]
    assert set(results["offered"]) == set(results["whole"])
    for name, said in results["partial"].items():
        assert said.startswith("Refused: a review shows whole images"), said
        assert f"a view with {name} hides" in said
    for what in ("view of a filter", "saved view that hides"):
        assert "a view with FilterLabels hides" in results[what], results[what]
    assert (results["view of tags"], results["filter"]) == ("4", 8)


def test_no_other_dataset_can_be_opened_made_or_listed(results):
    for what in ("other dataset", "other dataset by id", "new dataset"):
        assert results[what] == "DatasetNotFoundError"
    assert results["listed"] == ["b00"]


def test_what_a_review_needs_goes_on(results):
    assert results["own"] == results["count"] == 4
    assert (results["saved view"], results["limit"], results["field"]) == (2, 3, "StringField")
    assert (results["operator"], results["other operator"]) == (True, False)
