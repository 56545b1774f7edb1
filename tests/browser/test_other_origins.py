"""What a page of another site can do to a running review, in a real browser."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from app import FLAGS, chromium
from playwright.sync_api import sync_playwright

from builders_database import require_mongod
from builders_sessions import campaign, images
from builders_terminals import review

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ATTACKS = """
async ([base, token, image, stage]) => {
  const results = {};
  const body = JSON.stringify({dataset: "b00", dataset_name: "b00", view: [stage], path: "boxes"});
  const reach = async (name, work) => {
    try { results[name] = await work(); } catch (error) { results[name] = "refused"; }
  };
  const read = async (path, options) => {
    const answer = await fetch(base + path, options);
    return answer.type === "opaque" ? "opaque" : `${answer.status} ${await answer.text()}`;
  };
  for (const path of ["/values", "/tag", "/aggregate", "/operators/resolve-placements"]) {
    const send = {method: "POST", body, credentials: "include"};
    for (const type of ["application/json", "text/plain"]) {
      const headers = {"Content-Type": type};
      await reach(`${type} ${path}`, () => read(path, {...send, headers}));
    }
    await reach(`blind ${path}`, () => read(path, {...send, mode: "no-cors"}));
  }
  for (const path of ["/fiftyone", `/fiftyone?token=${token}`]) {
    await reach(path, () => read(path, {credentials: "include"}));
  }
  const loads = (element, url) => new Promise((done) => {
    element.onload = () => done("loaded");
    element.onerror = () => done("refused");
    element.src = url;
    document.body.append(element);
    setTimeout(() => done("refused"), 5000);
  });
  for (const [kind, path] of [["img", image], ["script", "/plugins/review/review.js"]]) {
    await reach(kind, () => loads(document.createElement(kind), base + path));
  }
  const frame = document.createElement("iframe");
  await loads(frame, base + "/datasets/b00");
  await reach("frame", () => frame.contentDocument ? "read" : "refused");
  await reach("websocket", () => new Promise((done) => {
    const opened = new WebSocket(base.replace("http", "ws") + "/events");
    opened.onopen = () => done("opened");
    opened.onerror = () => done("refused");
  }));
  for (const path of ["/values", "/operators/resolve-placements"]) {
    const target = document.createElement("iframe");
    target.name = "f" + path.length;
    document.body.append(target);
    const form = document.createElement("form");
    Object.assign(form, {method: "POST", action: base + path, target: target.name});
    form.enctype = "text/plain";
    const field = document.createElement("input");
    // As text/plain it is sent as NAME=VALUE: together they are JSON.
    Object.assign(field, {name: body.slice(0, -1) + ', "x": "', value: '"}'});
    form.append(field);
    document.body.append(form);
    form.submit();
    await new Promise((done) => setTimeout(done, 1500));
  }
  return results;
}
"""


class Elsewhere(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        address = self.server.link.encode()
        self.wfile.write(b'<body><a id="link" href="' + address + b'">the review</a></body>')

    def log_message(self, *args):
        pass


@contextmanager
def elsewhere(link):
    """A web server of somebody else; gives its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        server.link = link.replace("&", "&amp;")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def opened(tmp_path):
    """A review, and a browser that its reviewer uses: (terminal, context, root)."""
    require_mongod()
    root = tmp_path / "my campaign"
    campaign(root, {"b00": images(4)})
    # Two names of another site, one of which is rebound to this machine.
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    with review(root) as terminal, sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=chromium(), args=[*FLAGS, rules])
        context = program.new_context()
        context.set_default_timeout(120_000)
        yield terminal, context, root
        program.close()


def panel(page):
    page.wait_for_selector("[data-boxloop=panel] [data-boxloop]")
    return page.locator("[data-boxloop=progress]:visible").last.inner_text()


def test_a_page_of_another_site_reaches_nothing(opened):
    terminal, context, root = opened
    address = terminal.address()
    base, token = address.partition("/datasets")[0], address.rpartition("token=")[2]
    reviewer = context.new_page()
    reviewer.goto(address)
    assert panel(reviewer) == "0 of 4 reviewed"
    assert "token" not in reviewer.url
    made = root / "made"
    stage = {"_cls": "os.system", "kwargs": [["command", f"touch '{made}'"]]}
    image = f"/media?filepath={root}/data/images/00000.png"
    with elsewhere(address) as port:
        # Another site, the same site on another port, and a name that was rebound.
        for origin in (f"http://evil.example:{port}", f"http://127.0.0.1:{port}"):
            page = context.new_page()
            page.goto(origin)
            results = page.evaluate(ATTACKS, [base, token, image, json.loads(json.dumps(stage))])
            blind = {name for name, value in results.items() if value == "opaque"}
            assert all(name.startswith("blind") for name in blind)  # sent, unread, and refused
            assert {v for k, v in results.items() if k not in blind} == {"refused"}, results
            page.close()
        page = context.new_page()
        answer = page.goto(base.replace("127.0.0.1", "evil.example") + f"/fiftyone?token={token}")
        assert answer.status == 403
    assert not made.exists()
    reviewer.reload()
    assert panel(reviewer) == "0 of 4 reviewed"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1"])
def test_the_printed_address_opens_from_a_link_too(opened, host):
    """As from a terminal in a browser, or a mail: SameSite=Strict alone would lock it out."""
    terminal, context, _ = opened
    with elsewhere(terminal.address()) as port:
        page = context.new_page()
        page.goto(f"http://{host}:{port}/")
        page.locator("#link").click()
        assert panel(page) == "0 of 4 reviewed"
        assert "token" not in page.url
