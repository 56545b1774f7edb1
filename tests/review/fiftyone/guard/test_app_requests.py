"""What a review asks for gets through, byte for byte; what it has no use for does not."""

import json
import os
from urllib.parse import parse_qs, urlencode

import pytest

from boxloop.review.fiftyone.guard.app_requests import AppRequests, ReviewScope
from builders_asgi import Inner, ask

ID, SAMPLE = "6b08c3e97dbd07f692a8b6af", "6b08c3ec7dbd07f692a8b6b0"
JSON = {"Content-Type": "application/json"}
PATCH = {"Content-Type": "application/json-patch+json"}
PLACE = f"/dataset/{ID}/sample/{SAMPLE}"
STAGE = {"_cls": "fiftyone.core.stages.Limit", "kwargs": [["limit", 3]]}


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "my images" / "0.png"
    path.parent.mkdir()
    path.write_bytes(b"png")
    return path


@pytest.fixture
def behind():
    return Inner()


@pytest.fixture
def app(image, behind):
    operators = {"@boxloop/review/overview"}
    return AppRequests(behind, ReviewScope.of("b00", ID, [SAMPLE], "boxes", [image], operators))


def post(app, path, content, **headers):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return ask(app, path, "POST", headers={**JSON, **headers}, body=body, parts=2)


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/index.html", "/datasets/b00?workspace=review", "/fiftyone", "/features"),
        *("/plugins", "/plugins/review/review.js", "/assets/a-B_c1.js"),
        *(f"/plugins/review/{name}.js" for name in ("boxes", "clock", "counts", "keys", "leaving")),
        *("/datasets/assets/index-CpOt-w2i.js", "/datasets/favicon.ico"),
    ],
)
def test_pages_and_their_files(app, path):
    assert ask(app, path).status == 200
    assert ask(app, path, "HEAD").status == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/datasets/b01", "/datasets/", "/datasets/b00/x", "/graphql?query={uid}", "/events"),
        *("/screenshot/a.html?proxy=x", "/runtime-assets/models/sam2/x", "/ontologies"),
        *("/plugins/../x", "/plugins/review/fiftyone.yml", "/assets/a/b.js", "/assets/a%2Fb"),
        *(PLACE, f"{PLACE}/tags", f"/dataset/{ID}/groups/x", "//evil.example", "/camera", ""),
    ],
)
def test_other_paths(app, behind, path):
    assert ask(app, path).status == 403
    assert not behind.asked


# --- images ---------------------------------------------------------------------------------------


def media(app, *paths):
    return ask(app, "/media?" + urlencode([("filepath", str(path)) for path in paths]))


def test_an_image_of_the_batch_is_shown_by_its_real_path(app, behind, image, tmp_path):
    link = tmp_path / "link.png"
    link.symlink_to(image)
    odd = image.parent / ".." / image.parent.name / image.name
    for path in (image, link, odd):
        assert media(app, path).status == 200
        query = parse_qs(behind.asked[-1][0]["query_string"].decode())
        assert query == {"filepath": [os.path.realpath(image)]}


def test_no_other_file_is_shown(app, behind, image, tmp_path):
    other = tmp_path / "my images" / "secret.png"
    other.write_bytes(b"png")
    out = image.parent / "out.png"
    out.symlink_to(other)
    for path in ("/etc/passwd", other, out, image.parent, f"{image}\x00", "", "~", "0.png"):
        assert media(app, path).status == 403
    assert media(app, image, "/etc/passwd").status == 403
    assert media(app).status == 403
    assert ask(app, "/media", "POST", headers=JSON, body=b"{}").status == 403
    assert not behind.asked


def test_an_image_that_became_a_link_out_is_not_shown(app, image):
    image.unlink()
    image.symlink_to("/etc/passwd")
    assert media(app, image).status == 403


def test_an_image_that_is_a_link_itself_is_shown(tmp_path, image, behind):
    """As DVC puts images in place with cache.type: symlink."""
    link = tmp_path / "link.png"
    link.symlink_to(image)
    app = AppRequests(behind, ReviewScope.of("b00", ID, [], "boxes", [link], []))
    assert media(app, link).status == 200


# --- bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/events", {"initializer": {"dataset": "b00", "view": None}, "events": []}),
        ("/operators", {"dataset_name": "b00"}),
        ("/operators/execute", {"operator_uri": "@boxloop/review/overview", "params": {}}),
        ("/operators/resolve-placements", {"dataset_name": "b00", "view": [STAGE]}),
        ("/operators/resolve-placements", {"spaces": {"_cls": "Space", "children": []}}),
        ("/values", {"dataset": "b00", "view": [STAGE], "path": "boxes"}),
        ("/aggregate", {"dataset": ID, "extended": {"fiftyone.core.stages.Take": {}}}),
        ("/graphql", {"query": "query A($d: String) { dataset(name: $d) { name } }"}),
    ],
)
def test_requests_of_the_app(app, behind, path, content):
    assert post(app, path, content).status == 200
    assert json.loads(behind.asked[-1][1]) == content


def test_events_come_under_their_own_type(app):
    assert post(app, "/events", {}, **{"Content-Type": "text/event-stream"}).status == 200


@pytest.mark.parametrize(
    "kind",
    [
        *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"),
        *("", "text/plain; application/json", "application/jsonx", "application/json-patch+json"),
    ],
)
@pytest.mark.parametrize(
    "path", ["/values", "/operators/resolve-placements", "/graphql", "/events"]
)
def test_what_a_form_can_send_is_refused(app, behind, path, kind):
    assert post(app, path, {"dataset": "b00"}, **{"Content-Type": kind}).status == 415
    assert not behind.asked


def test_no_type_and_two_types_are_refused(app):
    assert ask(app, "/values", "POST", body=b"{}").status == 415
    two = [("Content-Type", "application/json"), ("Content-Type", "text/plain")]
    assert ask(app, "/values", "POST", headers=two, body=b"{}").status == 415


@pytest.mark.parametrize(
    "content",
    [
        {"view": [{"_cls": "os.system", "kwargs": [["command", "touch x"]]}]},
        {"view": [{"_cls": "fiftyone.core.stages.Mongo", "kwargs": [["pipeline", []]]}]},
        {"view": [{"_cls": "fiftyone.core.stages.ToFrames", "kwargs": []}]},
        {"view": [{"_cls": "fiftyone.core.stages.os.system", "kwargs": []}]},
        {"view": [{"_cls": ["os.system"], "kwargs": []}]},
        {"extended": {"fiftyone.core.stages.Concat": {}}},
        {"extended": {"eta.core.utils.call": {}}},
        {"aggregations": [{"_cls": "subprocess.Popen", "kwargs": []}]},
        {"a": [[[{"b": {"_cls": "builtins.exec"}}]]]},
        {"filters": {"x": {"$function": {"body": "x"}}}},
        {"view": [{"_cls": "fiftyone.core.stages.Match", "kwargs": [["f", {"$where": "1"}]]}]},
        {"pipeline": [{"$out": "datasets"}]},
        {"dataset": "b01"},
        {"initializer": {"dataset": "b01"}},
        {"variables": {"datasetName": "b01"}},
    ],
)
@pytest.mark.parametrize("path", ["/values", "/aggregate", "/operators/resolve-placements"])
def test_classes_code_and_other_datasets_are_refused(app, behind, path, content):
    assert post(app, path, content).status == 403
    assert post(app, "/graphql", {"query": "{ uid }", "variables": content}).status == 403
    assert not behind.asked


HIDING = (
    *("ExcludeFields", "ExcludeLabels", "FilterField", "FilterLabels", "LimitLabels"),
    *("MapLabels", "SelectFields", "SelectLabels"),
)


@pytest.mark.parametrize("name", HIDING)
def test_a_view_that_hides_boxes_is_refused_where_they_are_edited(app, behind, name):
    stage = f"fiftyone.core.stages.{name}"
    for content in ({"view": [{"_cls": stage, "kwargs": []}]}, {"extended": {stage: {}}}):
        refused = post(app, "/graphql", {"query": "{ uid }", "variables": content})
        assert refused.status == 403
        assert f"would delete the boxes that a view with {name} hides" in refused.body.decode()
        assert not behind.asked
        stages = frozenset({"Limit", *HIDING})
        scope = ReviewScope.of("b00", ID, [], "", [], [], stages=stages)
        looking = AppRequests(behind, scope)
        assert post(looking, "/values", content).status == 200
        behind.asked.clear()


def test_a_class_in_the_query_itself_is_refused(app):
    query = 'query { samples(dataset: "b00", view: [{_cls: "os.system"}]) { id } }'
    assert post(app, "/graphql", {"query": query}).status == 403
    assert (
        post(app, "/graphql", {"query": "mutation { deleteSavedView(viewName: 1) }"}).status == 403
    )


@pytest.mark.parametrize("uri", ["@voxel51/operators/delete_samples", None, 1, ["a"], {"a": 1}])
@pytest.mark.parametrize("route", ["execute", "execute/generator", "resolve-type"])
def test_other_operators_are_refused(app, behind, uri, route):
    assert post(app, f"/operators/{route}", {"operator_uri": uri}).status in (400, 403)
    assert not behind.asked


@pytest.mark.parametrize(
    "path", ["/tag", "/tagging", "/sort", "/event", "/frames", "/values/", "/"]
)
def test_other_posts_are_refused(app, behind, path):
    assert post(app, path, {"dataset": "b00"}).status == 403
    assert not behind.asked


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"x",
            b"[]",
            b"1",
            b"null",
            b'"a"',
            b"{",
            b"\xff",
            b"\xef\xbb\xbf{}",
            b"[" * 200_000,
        ),
        *('{"a": 1}'.encode("utf-16"), b'{"a": ' + b"1" * 5000 + b"}"),
    ],
)
def test_what_is_no_json_object_is_refused(app, behind, body):
    for path in ("/values", "/graphql", "/operators/execute"):
        assert post(app, path, body).status in (400, 403)
    assert ask(app, PLACE, "PATCH", headers=PATCH, body=body).status == (
        200 if body == b"[]" else 400
    )
    assert all(asked == b"[]" for _, asked in behind.asked)


def test_a_body_without_end_is_refused(app, behind):
    assert post(app, "/values", b" " * (33 << 20)).status == 413
    assert not behind.asked


# --- edits ----------------------------------------------------------------------------------------


def patch(app, operations, path=PLACE):
    return ask(app, path, "PATCH", headers=PATCH, body=json.dumps(operations).encode())


def test_edits_of_boxes(app, behind):
    box = {"_cls": "Detection", "_id": {"$oid": ID}, "label": "cat"}
    operations = [
        {"op": "add", "path": "/boxes/detections/-", "value": box},
        {"op": "replace", "path": "/boxes/detections/0/label", "value": "dog"},
        {"op": "move", "path": "/boxes/detections/0", "from": "/boxes/detections/1"},
    ]
    assert patch(app, operations).status == 200
    assert json.loads(behind.asked[-1][1]) == operations


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/filepath", "value": "/etc/passwd"},
        {"op": "copy", "path": "/boxes/detections/0/label", "from": "/filepath"},
        {"op": "replace", "path": "boxes/x", "value": 1},
        {"op": "replace", "path": "/boxes_shown", "value": 1},
        {"op": "replace", "path": "", "value": {}},
        {"op": "replace", "path": ["boxes"], "value": {}},
        {"op": "add", "path": "/boxes/detections/-", "value": {"_cls": "os.system"}},
    ],
)
def test_other_edits_are_refused(app, behind, operation):
    assert patch(app, [operation]).status == 403
    assert not behind.asked


@pytest.mark.parametrize(
    "path",
    [
        f"/dataset/{SAMPLE}/sample/{SAMPLE}",
        f"/dataset/b01/sample/{SAMPLE}",
        f"/dataset/{ID}/sample/{ID}",
        f"{PLACE}/commit-mask",
        f"{PLACE}/boxes/{ID}",
        "/values",
    ],
)
def test_edits_elsewhere_are_refused(app, behind, path):
    assert patch(app, [], path).status == 403
    assert not behind.asked


def test_other_methods_and_websockets_are_refused(app, behind):
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        assert ask(app, PLACE, method, headers=JSON, body=b"{}").status == 403
    assert ask(app, kind="websocket").status == "websocket.close"
    assert not behind.asked
