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
from boxloop.review.fiftyone.guard.fiftyone_limits import limit

mine, other = fo.Dataset("b00"), fo.Dataset("b01")
mine.add_samples([fo.Sample(filepath=f"/{i}.png") for i in range(4)], progress=False)
mine.save_view("two", mine.limit(2))
other_id = str(other._doc.id)
limit("b00", {"@boxloop/review/overview"})
made = Path(sys.argv[1])
call = {"_cls": "os.system", "kwargs": [["command", f"touch '{made}'"]]}

def outcome(work):
    try:
        return repr(work())
    except Exception as error:
        return type(error).__name__

results = {
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


def test_no_other_dataset_can_be_opened_made_or_listed(results):
    for what in ("other dataset", "other dataset by id", "new dataset"):
        assert results[what] == "DatasetNotFoundError"
    assert results["listed"] == ["b00"]


def test_what_a_review_needs_goes_on(results):
    assert results["own"] == results["count"] == 4
    assert (results["saved view"], results["limit"], results["field"]) == (2, 3, "StringField")
    assert (results["operator"], results["other operator"]) == (True, False)
