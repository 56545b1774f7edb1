"""Attacks on a running review, by what another page, user or machine can send to it."""

import http.client
import json
import stat
import subprocess
import urllib.parse

import pytest

from builders_sessions import campaign, images
from builders_terminals import environment, processes, review


class Attacker:
    """Sends requests to a review as nobody's browser would: header by header.

    Attributes:
        terminal: of the session.
        folder: of the campaign.
        cookie: that of the reviewer, for attacks by one who has it.
    """

    def __init__(self, terminal, folder):
        self.terminal = terminal
        self.folder = folder
        self.app = terminal.app()
        self.port = int(self.app.base.rpartition(":")[2])
        self.token = terminal.address().rpartition("token=")[2]
        answer = self.send(f"/datasets/b00?token={self.token}", known=False)
        assert answer.status == 303
        self.cookie = answer.headers["Set-Cookie"].partition(";")[0]

    def send(self, path, content=None, *, known=True, method=None, **headers):
        """Sends one request; gives the answer, whose body is read (``text``).

        Args:
            path: and query.
            content: the body, as JSON unless it is bytes.
            known: whether the reviewer's cookie is sent along.
            method: by default GET, or POST with a body.
            headers: with underscores for hyphens.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = content
        if content is not None and not isinstance(content, bytes):
            body = json.dumps(content).encode()
        if body is not None:
            named.setdefault("Content-Type", "application/json")
        if known:
            named["Cookie"] = self.cookie
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method or ("GET" if body is None else "POST"), path, body, named)
        answer = connection.getresponse()
        answer.text = answer.read().decode(errors="replace")
        connection.close()
        return answer


@pytest.fixture(scope="module")
def attacker(tmp_path_factory, mongod):
    """Two batches, of which the first is open."""
    root = tmp_path_factory.mktemp("attacks") / "my campaign"
    campaign(root, {"b00": images(4), "b01": images(2, first=4)})
    with review(root, "--reviewer", "ann") as terminal:
        yield Attacker(terminal, root)


def call(made):
    return {"_cls": "os.system", "kwargs": [["command", f"touch '{made}'"]]}


def bodies(made):
    """The requests that ran any command, by path."""
    stage = call(made)
    graphql = 'query($v: BSONArray!) { dataset(name: "b00", view: $v) { name } }'
    return {
        "/values": {"dataset": "b00", "view": [stage], "path": "boxes"},
        "/aggregate": {"dataset": "b00", "view": [], "aggregations": [stage]},
        "/tag": {"dataset": "b00", "view": [stage], "changes": {}},
        "/tagging": {"dataset": "b00", "view": [stage]},
        "/sort": {"dataset": "b00", "view": [stage], "extended": {}},
        "/frames": {"dataset": "b00", "view": [stage], "numFrames": 1},
        "/operators/resolve-placements": {"dataset_name": "b00", "view": [stage]},
        "/operators/execute": {
            "operator_uri": "@boxloop/review/overview", "dataset_name": "b00", "view": [stage]
        },
        "/events": {"initializer": {"dataset": "b00", "view": [stage]}, "events": []},
        "/event": {"event": "state_update", "data": {"state": {"dataset": "b00", "view": [stage]}}},
        "/graphql": {"query": graphql, "variables": {"v": [stage]}},
    }  # fmt: skip


@pytest.mark.parametrize("path", bodies(""))
def test_no_request_runs_a_command(attacker, tmp_path, path):
    made = tmp_path / "made"
    content = bodies(made)[path]
    text = json.dumps(content).encode()
    # A form of another page, one of the own page, and one who has the reviewer's cookie.
    form = {"Content_Type": "text/plain", "Origin": "http://evil.example"}
    assert attacker.send(path, text, known=False, **form).status == 403
    assert attacker.send(path, text, known=False).status == 403
    assert attacker.send(path, text, Content_Type="text/plain").status in (403, 415)
    assert attacker.send(path, content).status == 403
    assert not made.exists()
    assert attacker.app.overview()["samples"]  # the session goes on


def test_no_file_is_handed_out_but_the_batch_s_images(attacker):
    folder = attacker.folder
    inside = folder / "data" / "images" / "out.png"
    inside.symlink_to("/etc/passwd")
    image = folder / "data" / "images" / "00000.png"

    def media(path, **options):
        query = urllib.parse.urlencode({"filepath": path})
        return attacker.send(f"/media?{query}", **options)

    others = ["/etc/passwd", inside, folder / "params.yaml", f"{image}/../../../params.yaml"]
    for path in (
        *others,
        folder / ".boxloop" / "id",
        f"{folder}/data/images",
        "/proc/self/environ",
    ):
        answer = media(path)
        assert (answer.status, "root:" in answer.text) == (403, False)
    assert media(image).status == 200
    assert media(image, known=False).status == 403
    # Nor after the record of an image was made to name another file.
    assert attacker.app.media(str(image))
    answer = attacker.send(
        f"/dataset/b00/sample/{attacker.app.samples()['img00']}",
        [{"op": "replace", "path": "/filepath", "value": "/etc/passwd"}],
        method="PATCH",
        Content_Type="application/json-patch+json",
    )
    assert answer.status == 403


@pytest.mark.parametrize(
    "path", ["/", "/datasets/b00", "/fiftyone", "/plugins", "/media?filepath=/x"]
)
def test_without_the_cookie_there_is_no_answer(attacker, path):
    for headers in (
        {},
        {"Cookie": f"boxloop-{attacker.port}=x"},
        {"Cookie": f"x={attacker.token}"},
    ):
        answer = attacker.send(path, known=False, **headers)
        assert answer.status == 403
        assert "boxloop review" in answer.text
        assert "FiftyOne" not in answer.text


def test_another_origin_gets_no_answer_even_with_the_cookie(attacker):
    own = f"http://127.0.0.1:{attacker.port}"
    question = {"query": "{ uid }"}
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{attacker.port + 1}"):
        answer = attacker.send("/graphql", question, Origin=origin)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (403, None)
        asked = {"Access_Control_Request_Method": "POST", "Origin": origin}
        assert attacker.send("/graphql", method="OPTIONS", **asked).status == 403
    assert attacker.send("/graphql", question, Sec_Fetch_Site="cross-site").status == 403
    assert attacker.send("/graphql", question, Origin=own).status == 200


def test_a_rebound_name_gets_no_answer(attacker):
    for host in ("evil.example", f"evil.example:{attacker.port}", "127.0.0.1", "127.0.0.1:1"):
        for path in ("/fiftyone", f"/datasets/b00?token={attacker.token}"):
            assert attacker.send(path, Host=host).status == 403
    assert attacker.send("/fiftyone", Host=f"localhost:{attacker.port}").status == 200


def test_a_websocket_is_refused(attacker):
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    for known in (True, False):
        assert attacker.send("/events", known=known, **upgrade).status == 403


def test_other_operators_do_not_run(attacker):
    operators = ("@voxel51/operators/delete_samples", "@voxel51/operators/clear_sample_field")
    for operator in operators:
        content = {"operator_uri": operator, "dataset_name": "b00", "params": {"target": "DATASET"}}
        assert attacker.send("/operators/execute", content).status == 403
    assert len(attacker.app.overview()["samples"]) == 4


def test_other_users_find_no_key(attacker):
    """Neither among the arguments of processes nor in a file that they can read."""
    keys = [attacker.token, attacker.cookie.partition("=")[2]]
    listed = processes(attacker.folder)
    assert all(listed[kind] for kind in ("session", "server", "keeper", "mongod"))
    for process in (p for kind in listed.values() for p in kind):
        assert not any(key in " ".join(process.cmdline()) for key in keys)
    for path in (attacker.folder / ".boxloop").rglob("*"):
        try:
            text = path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else b""
        except FileNotFoundError:  # mongod renames and removes files of its own
            continue
        assert not any(key.encode() in text for key in keys), path


def datasets(attacker, name):
    """The name of a dataset as a session gives it, and the names of all that it lists."""
    query = (
        "query($n: String!) { dataset(name: $n) { name }"
        ' datasets(search: "") { edges { node { name } } } }'
    )
    answer = json.loads(attacker.send("/graphql", {"query": query, "variables": {"n": name}}).text)
    found = answer["data"]["dataset"]
    listed = [edge["node"]["name"] for edge in answer["data"]["datasets"]["edges"]]
    return found and found["name"], listed


@pytest.mark.slow
def test_sessions_side_by_side_have_a_key_and_a_batch_each(attacker):
    with review(attacker.folder, "b01", "--reviewer", "bob") as terminal:
        other = Attacker(terminal, attacker.folder)
        assert other.token != attacker.token
        assert other.send(f"/fiftyone?token={attacker.token}", known=False).status == 403
        stolen = f"boxloop-{other.port}={attacker.cookie.partition('=')[2]}"
        assert other.send("/fiftyone", known=False, Cookie=stolen).status == 403
        # Both are in the same database, and neither session shows the other's.
        assert datasets(attacker, "b00") == ("b00", ["b00"])
        assert datasets(attacker, "b01") == (None, ["b00"])
        assert datasets(other, "b01") == ("b01", ["b01"])
        # Who comes to the same images is told where they are open, but not the key.
        asked = ["boxloop", "review", "b01", "--reviewer", "eve", "--no-browser"]
        refused = subprocess.run(
            asked, cwd=attacker.folder, env=environment(), capture_output=True, text=True
        )
        assert f":{other.port}/datasets/b01" in refused.stderr
        assert other.token not in refused.stderr + refused.stdout
