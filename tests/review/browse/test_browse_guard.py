"""While somebody browses, no request changes anything, and no file but the images is shown."""

import json

import pytest

from boxloop.review.browse.server import OPERATORS, ROUTES
from boxloop.review.fiftyone.guard.app_requests import AppRequests, ReviewScope
from builders_asgi import Inner, ask

ID, SAMPLE = "6b08c3e97dbd07f692a8b6af", "6b08c3ec7dbd07f692a8b6b0"


@pytest.fixture
def app(tmp_path):
    image = tmp_path / "0.png"
    image.write_bytes(b"png")
    scope = ReviewScope.of("campaign", ID, (), "", [image], OPERATORS, ROUTES)
    return AppRequests(Inner(), scope)


def send(app, path, content, method="POST", kind="application/json"):
    body = json.dumps(content).encode()
    return ask(app, path, method, headers={"Content-Type": kind}, body=body).status


@pytest.mark.parametrize("field", ["labels", "proposals", "truth", "tags", ""])
def test_no_edit_gets_through(app, field):
    patch = [{"op": "replace", "path": f"/{field}/detections/0/label", "value": "x"}]
    place = f"/dataset/{ID}/sample/{SAMPLE}"
    assert send(app, place, patch, "PATCH", "application/json-patch+json") == 403
    assert send(app, place, [], "PATCH", "application/json-patch+json") == 403


@pytest.mark.parametrize("path", ["/tag", "/sample", "/embeddings/v2/delete", "/embeddings/plot"])
def test_no_other_route(app, path):
    assert send(app, path, {"datasetName": "campaign"}) == 403


@pytest.mark.parametrize(
    "name",
    [
        *("edit_field_values", "delete_samples", "delete_brain_run", "delete_saved_view"),
        *("update_label_schema", "clone_sample_field", "save_workspace"),
    ],
)
def test_no_operator_that_changes_something(app, name):
    operator = {"operator_uri": f"@voxel51/operators/{name}", "dataset_name": "campaign"}
    assert send(app, "/operators/execute", operator) == 403


@pytest.mark.parametrize("name", ["deleteSavedView", "createSavedView", "updateSavedView"])
def test_saved_views_stay(app, name):
    query = {"query": f'mutation {{ {name}(datasetName: "campaign") {{ id }} }}'}
    assert send(app, "/graphql", query) == 403


@pytest.mark.parametrize("path", sorted(ROUTES))
def test_the_scatter_is_of_the_campaign_alone(app, path):
    assert send(app, path, {"datasetName": "campaign", "datasetId": ID}) == 200
    assert send(app, path, {"datasetName": "b00"}) == 403
    assert send(app, path, {"datasetId": SAMPLE}) == 403
    assert send(app, path, {"datasetName": "campaign"}, kind="text/plain") == 415


def test_images_and_no_other_file(app, tmp_path):
    assert ask(app, f"/media?filepath={tmp_path}/0.png").status == 200
    (tmp_path / "1.png").write_bytes(b"png")
    assert ask(app, f"/media?filepath={tmp_path}/1.png").status == 403
    assert ask(app, "/plugins/browse/browse.js").status == 200
    assert ask(app, "/datasets/b00").status == 403
