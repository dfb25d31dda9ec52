"""A webhook goes over HTTPS to the internet, and not where the service alone can go."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from service.webhooks.destination import NotAllowed, is_public, parse, resolve

INSIDE = (
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.0.1",
    "198.18.0.1",
    "203.0.113.5",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd12::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001:0:53aa:64c::1",
)
OUTSIDE = ("93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8")


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/in",
        "file:///etc/passwd",
        "https:///in",
        "https://user:secret@hooks.example/",
        "https://user@hooks.example/",
        "https://hooks.example:port/",
        "https://hooks.example/a b",
        "https://hooks.example/\r\nX-Evil: 1",
        "https://[::1/in",
        "gopher://hooks.example/",
        "//hooks.example/",
    ],
)
def test_a_url_that_is_not_plain_https_is_refused(url: str) -> None:
    with pytest.raises(NotAllowed, match="url: must"):
        parse(url)


# Numbers in every spelling that the resolver itself understands, so that no filter of text is asked.
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "0177.0.0.1", "127.1", "[::1]"])
def test_a_host_that_leads_inside_is_refused_however_it_is_spelled(host: str) -> None:
    with pytest.raises(NotAllowed, match=r"public addresses only|cannot be resolved"):
        resolve(parse(f"https://{host}/in"))


def test_a_name_with_one_address_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(*args: Any, **given: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("8.8.8.8", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", answers)  # a name server of the attacker's
    with pytest.raises(NotAllowed, match=r"has 10\.0\.0\.1"):
        resolve(parse("https://hooks.example/"))
