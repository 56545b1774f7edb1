"""The gate by raw requests: what browsers, scripts and rebound names send."""

import pytest

from boxloop.review.fiftyone.guard.access import Access, Keys
from boxloop.review.fiftyone.guard.gate import Gate
from boxloop.review.fiftyone.guard.hosts import Hosts
from builders_asgi import Inner, ask

HOST = {"Host": "127.0.0.1:5151"}
ORIGIN = "http://127.0.0.1:5151"
START = "/datasets/b00?workspace=review"
VISIT = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


class Door:
    """A gate, with what stands behind it."""

    def __init__(self, password=None, inner=None):
        self.keys = Keys.make(password)
        self.inner = inner or Inner()
        self.gate = Gate(self.inner, Access(self.keys), Hosts(5151), start=START)

    def ask(self, *request, headers=None, **options):
        return ask(self.gate, *request, headers={**HOST, **(headers or {})}, **options)

    def cookie(self, token=None):
        answer = self.ask(f"/?token={token or self.keys.secret}")
        return answer.header("set-cookie").partition(";")[0]

    def reached(self):
        return len(self.inner.asked)


def test_the_address_gives_a_cookie_and_loses_its_token():
    door = Door()
    answer = door.ask(f"/datasets/b00?workspace=review&token={door.keys.secret}&view=a%26b")
    assert answer.status == 303
    assert answer.header("location") == "/datasets/b00?workspace=review&view=a%26b"
    cookie, *attributes = answer.header("set-cookie").split("; ")
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Strict"]
    assert cookie.startswith("boxloop-5151=")
    assert door.keys.secret not in cookie
    assert answer.header("cache-control") == "no-store"
    assert door.reached() == 0
    assert door.ask(headers={"Cookie": f"other=1; {cookie}"}).body == b"inner"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_of_another_site_opens_the_review_by_a_page_that_goes_on(site):
    """Browsers keep the cookie back where a redirect follows upon such a link."""
    door = Door()
    visit = {**VISIT, "Sec-Fetch-Site": site}
    answer = door.ask(f"/datasets/b00?token={door.keys.secret}", headers=visit)
    assert answer.status == 200
    assert 'content="0; url=/datasets/b00"' in answer.body.decode()
    assert door.keys.secret not in answer.body.decode()
    assert answer.header("set-cookie")


@pytest.mark.parametrize(
    ("path", "place"),
    [("//evil.example/x", "/evil.example/x"), ("/\\evil.example", "/%5Cevil.example")],
)
def test_the_way_on_stays_on_this_server(path, place):
    door = Door()
    assert door.ask(f"{path}?token={door.keys.secret}").header("location") == place


def test_an_old_token_is_stripped_where_the_cookie_is_right():
    door = Door()
    answer = door.ask("/x?token=old", headers={"Cookie": door.cookie()})
    assert (answer.status, answer.header("location")) == (303, "/x")
    assert answer.header("set-cookie") is None


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=a&token=b", "?Token=x"])
def test_without_the_secret_there_is_a_page_that_says_what_to_do(query):
    door = Door()
    answer = door.ask(f"/datasets/b00{query}")
    assert answer.status == 403
    assert "Open the address that <code>boxloop review</code> printed" in answer.body.decode()
    assert door.reached() == 0


def test_the_secret_twice_is_no_secret():
    door = Door()
    assert door.ask(f"/?token={door.keys.secret}&token={door.keys.secret}").status == 403


def test_the_secret_lets_in_nothing_but_a_page():
    door = Door()
    token = f"?token={door.keys.secret}"
    assert door.ask(f"/tag{token}", "POST", body=b"{}").status == 403
    embedded = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    framed = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    for headers in (embedded, framed):
        assert door.ask(f"/{token}", headers=headers).status == 403
    assert door.reached() == 0


@pytest.mark.parametrize("cookie", ["", "boxloop-5151=", "boxloop-5151=x", "boxloop-5152={}", "{}"])
def test_other_cookies_open_nothing(cookie):
    door = Door()
    value = door.cookie().partition("=")[2]
    assert door.ask(headers={"Cookie": cookie.format(value)}).status == 403
    assert door.reached() == 0


@pytest.mark.parametrize(
    "host",
    [
        [],
        [("Host", "evil.example:5151")],
        [("Host", "127.0.0.1:5152")],
        [("Host", "127.0.0.1:5151"), ("Host", "evil.example:5151")],
    ],
)
def test_a_rebound_name_reads_nothing(host):
    door = Door()
    headers = [*host, ("Cookie", door.cookie())]
    for path in ("/", f"/?token={door.keys.secret}"):
        answer = ask(door.gate, path, headers=headers)
        assert answer.status == 403
        assert answer.header("set-cookie") is None
    assert ask(door.gate, kind="websocket", headers=headers).status == "websocket.close"
    assert door.reached() == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:5152"},
        {"Origin": "https://127.0.0.1:5151"},
        {"Origin": "http://localhost:5151"},  # another origin than the Host, to browsers
        {"Origin": "http://127.0.0.1:5151.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "PUT"])
def test_another_origin_gets_nothing_even_with_the_cookie(headers, method):
    door = Door()
    headers = {**headers, "Cookie": door.cookie(), "Content-Type": "text/plain"}
    answer = door.ask("/values", method, headers=headers, body=b"{}")
    assert answer.status == 403
    assert answer.header("access-control-allow-origin") is None
    assert ask(door.gate, kind="websocket", headers={**HOST, **headers}).status == "websocket.close"
    assert door.reached() == 0


def test_the_own_pages_get_through():
    door = Door()
    own = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin", "Cookie": door.cookie()}
    assert door.ask("/events", "POST", headers=own, body=b"{}").status == 200
    typed = {"Sec-Fetch-Site": "none", "Cookie": door.cookie(), **VISIT}
    assert door.ask(headers=typed).status == 200
    answer = ask(door.gate, kind="websocket", headers={**HOST, **own})
    assert answer.status == "websocket.accept"


def test_a_websocket_without_the_cookie_is_closed():
    door = Door()
    for headers in (HOST, {**HOST, "Origin": ORIGIN}):
        answer = ask(door.gate, f"/?token={door.keys.secret}", kind="websocket", headers=headers)
        assert answer.status == "websocket.close"
    assert door.reached() == 0


def test_the_server_s_start_and_end_pass():
    door = Door()
    assert ask(door.gate, kind="lifespan").status == "lifespan"
    assert door.reached() == 1


def test_answers_cannot_be_framed_or_embedded_elsewhere():
    inner = Inner([("Cross-Origin-Resource-Policy", "cross-origin"), ("X-Other", "1")])
    door = Door(inner=inner)
    answer = door.ask("/media", headers={"Cookie": door.cookie()})
    policies = [v for k, v in answer.headers if k == "cross-origin-resource-policy"]
    assert policies == ["same-origin"]
    assert answer.header("x-other") == "1"
    for one in (answer, door.ask("/")):
        assert one.header("x-frame-options") == "SAMEORIGIN"
        assert "frame-ancestors" in answer.header("content-security-policy")
        assert one.header("x-content-type-options") == "nosniff"
        # Not "no-referrer": browsers would send "Origin: null" with the login form.
        assert one.header("referrer-policy") == "same-origin"


# --- with a password ------------------------------------------------------------------------------

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN}


def test_a_visitor_is_asked_for_the_password():
    door = Door("correct horse")
    for site in ("none", "cross-site"):
        answer = door.ask(headers={**VISIT, "Sec-Fetch-Site": site})
        assert (answer.status, b'type="password"' in answer.body) == (200, True)
    assert door.ask("/fiftyone").status == 403  # of a script
    assert ask(door.gate, kind="websocket", headers=HOST).status == "websocket.close"
    answer = door.ask("/boxloop-login", "POST", headers=FORM, body=b"password=correct+horse")
    assert (answer.status, answer.header("location")) == (303, START)
    cookie = answer.header("set-cookie").partition(";")[0]
    assert door.ask(headers={"Cookie": cookie}).body == b"inner"


def test_a_wrong_password_opens_nothing_and_guessing_is_slow():
    door = Door("correct horse")
    for _ in range(5):
        answer = door.ask("/boxloop-login", "POST", headers=FORM, body=b"password=wrong")
        assert (answer.status, answer.header("set-cookie")) == (403, None)
    answer = door.ask("/boxloop-login", "POST", headers=FORM, body=b"password=correct+horse")
    assert (answer.status, answer.header("set-cookie")) == (429, None)
    assert door.reached() == 0


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_no_other_site_can_log_anybody_in(headers):
    door = Door("correct horse")
    headers = {**FORM, **headers}
    answer = door.ask("/boxloop-login", "POST", headers=headers, body=b"password=correct+horse")
    assert answer.status == 403
    assert answer.header("set-cookie") is None


@pytest.mark.parametrize(
    "body", [b"", b"password", b"password=%ff%fe", b"x" * 20_000, b"password=" + b"x" * 20_000]
)
def test_other_bodies_are_wrong_passwords(body):
    door = Door("correct horse")
    assert door.ask("/boxloop-login", "POST", headers=FORM, body=body, parts=3).status == 403


def test_without_a_password_there_is_no_login():
    door = Door()
    answer = door.ask("/boxloop-login", "POST", headers=FORM, body=b"password=")
    assert (answer.status, answer.header("set-cookie")) == (403, None)
