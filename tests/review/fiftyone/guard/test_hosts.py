import socket

import pytest

from boxloop.review.fiftyone.guard.hosts import Hosts, is_everywhere, is_loopback


@pytest.mark.parametrize("header", ["127.0.0.1:5151", "localhost:5151", "LocalHost:5151"])
def test_own_names(header):
    assert Hosts(5151).include(header)


@pytest.mark.parametrize(
    "header",
    [
        *("", ":5151", "127.0.0.1", "127.0.0.1:", "127.0.0.1:5152", "127.0.0.1:05151x"),
        *("evil.example:5151", "127.0.0.1.evil.example:5151", "localhost.evil.example:5151"),
        *("evil.example", "127.0.0.1:5151:5151", "user@127.0.0.1:5151", "127.0.0.1:5151/x"),
        *("127.1:5151", "[::1]:5151", "192.168.1.7:5151", "127.0.0.1:5151 ", "localhost.:5151"),
        "127.0.0.1:\u0665151",
    ],
)
def test_other_names(header):
    assert not Hosts(5151).include(header)


def test_on_the_port_of_http_browsers_leave_it_out():
    assert Hosts(80).include("localhost")
    assert not Hosts(5151).include("localhost")


def test_a_named_host_is_a_name_and_no_other_is():
    hosts = Hosts.of("Lab.example", 5151)
    assert hosts.include("lab.example:5151")
    assert hosts.include("127.0.0.1:5151")
    assert not hosts.include("192.0.2.7:5151")


def test_all_addresses_are_names_but_other_names_are_not():
    hosts = Hosts.of("0.0.0.0", 5151)
    for header in ("192.0.2.7:5151", "[2001:db8::7]:5151", f"{socket.gethostname()}:5151"):
        assert hosts.include(header)
    assert not hosts.include("evil.example:5151")
    assert not hosts.include("192.0.2.7:5152")


def test_what_stays_on_this_machine():
    assert [is_loopback(h) for h in ("localhost", "127.0.0.1", "127.0.0.9", "::1")] == [True] * 4
    assert not any(is_loopback(h) for h in ("0.0.0.0", "::", "192.0.2.7", "lab.example", ""))
    assert [is_everywhere(h) for h in ("0.0.0.0", "::")] == [True] * 2
    assert not any(is_everywhere(h) for h in ("127.0.0.1", "lab.example", ""))
