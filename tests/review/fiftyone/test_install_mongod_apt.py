"""The machine's own sources of packages, read in both forms and turned to an older release."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.errors import DatabaseError
from boxloop.review.fiftyone import install_mongod as install
from boxloop.review.fiftyone.install_mongod import fetch, older, read_sources

STANZAS = """\
# as Debian's images have it
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
# a comment inside
URIs: http://mirror.example/debian-security
  http://second.example/debian-security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEY865UxYJKwYBBAHaRw8BAQdAd7Z0srwuhlB6JKFkcf4HU4SSS/xcRfwEQWzr
 -----END PGP PUBLIC KEY BLOCK-----


Types: deb
URIs: http://elsewhere.example/debian
Suites: nodistro
Components: main

Enabled: no
Types: deb
URIs: http://switched-off.example/debian
Suites: bookworm
Components: main
"""
LINES = """\
deb http://mirror.example/debian bookworm main contrib # the mirror
deb [arch=amd64 signed-by=/usr/share/a.gpg trusted=yes] http://s.example/ bookworm-security main
#deb http://commented.example/debian bookworm main
deb-src http://mirror.example/debian bookworm main
deb cdrom:[Debian]/ bookworm main
deb http://third.example/ ./
deb http://vendor.example/apt bookworm-vendor main
deb http://tools.example/apt bookworm stable

nonsense
"""


@pytest.fixture
def etc(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def aged(etc, security, codename="bookworm", release="bullseye"):
    return list(older(list(read_sources(etc)), codename, release, security=security))


def test_stanzas(etc):
    (etc / "sources.list.d" / "debian.sources").write_text(STANZAS)
    assert aged(etc, security=False) == [
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bullseye\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    ]
    (text,) = aged(etc, security=True)
    assert "http://mirror.example/debian-security http://second.example/debian-security" in text
    assert "Suites: bullseye-security\n" in text
    assert " .\n mDMEY865" in text
    assert " -----END PGP PUBLIC KEY BLOCK-----\n" in text


def test_one_line_each(etc):
    (etc / "sources.list").write_text(LINES)
    assert aged(etc, security=False) == [
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bullseye\nComponents: main\n"
    ]
    assert aged(etc, security=True) == [
        "Types: deb\nURIs: http://s.example/\nSuites: bullseye-security\nComponents: main\n"
        "Signed-By: /usr/share/a.gpg\nTrusted: yes\n"
    ]


def test_other_ways_to_name_a_release(etc):
    (etc / "sources.list").write_text("deb http://a.example/debian stable main\n")
    (etc / "sources.list.d" / "b.list").write_text(
        "deb http://b.example/debian-security stable-security main\n"
        "deb http://c.example/debian-security bookworm/updates main\n"
    )
    assert len(aged(etc, security=False)) == 1
    assert len(aged(etc, security=True)) == 2


def test_ubuntu(etc):
    (etc / "sources.list").write_text(
        "deb http://u.example/ubuntu noble main universe\n"
        "deb http://u.example/ubuntu noble-updates main\n"
        "deb http://s.example/ubuntu noble-security main\n"
    )
    assert "Suites: focal\n" in aged(etc, False, "noble", "focal")[0]
    assert "Suites: focal-security\n" in aged(etc, True, "noble", "focal")[0]


def test_the_same_source_twice_is_taken_once(etc):
    for name in ("a.list", "b.list"):
        (etc / "sources.list.d" / name).write_text("deb http://a.example/ bookworm main\n")
    assert len(aged(etc, security=False)) == 1


def test_no_sources_at_all(tmp_path):
    assert list(read_sources(tmp_path / "missing")) == []


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet="deb[]=#: \n\tUSTypesCom-main", max_size=120),
    st.sampled_from([".list", ".sources"]),
)
def test_no_file_of_sources_is_too_odd_to_read(tmp_path_factory, text, suffix):
    etc = tmp_path_factory.mktemp("etc")
    (etc / "sources.list.d").mkdir()
    (etc / "sources.list.d" / f"odd{suffix}").write_text(text)
    for stanza in read_sources(etc):
        assert all(isinstance(value, str) for value in stanza.values())
    for text in aged(etc, security=False):
        assert "Suites: bullseye\n" in text


def test_no_apt(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatabaseError, match="apt-get, which this machine lacks"):
        fetch("libssl1.1:amd64", {"debian": "bullseye"}, tmp_path)


def test_a_system_that_is_not_known(tmp_path, monkeypatch):
    monkeypatch.setattr(install.shutil, "which", lambda tool: f"/usr/bin/{tool}")
    with pytest.raises(DatabaseError, match="no known release with libssl1.1:amd64"):
        fetch("libssl1.1:amd64", {}, tmp_path)


def test_sources_that_lead_nowhere(tmp_path, etc):
    if not (install.shutil.which("apt-get") and install.shutil.which("dpkg")):
        pytest.skip("apt is not installed")
    system = install.platform.freedesktop_os_release()
    codename = system.get("VERSION_CODENAME", "")
    (etc / "sources.list").write_text(f"deb file:{tmp_path}/nowhere {codename} main\n")
    releases = {system["ID"]: "bullseye"}
    with pytest.raises(DatabaseError, match="apt cannot fetch libssl1.1:amd64 of bullseye: E: "):
        fetch("libssl1.1:amd64", releases, tmp_path / "work", etc)
    (etc / "sources.list").write_text("")
    with pytest.raises(DatabaseError, match="its sources name none"):
        fetch("libssl1.1:amd64", releases, tmp_path / "work2", etc)
