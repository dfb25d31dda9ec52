"""One message over real TLS: delivered or not, pinned to its address, and never for long."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from receiver import Receiver, receiving

from service.webhooks import sender as sending
from service.webhooks import signing
from service.webhooks.sender import Sender, Undelivered


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def test_a_message_arrives_with_its_headers(receiver: Receiver) -> None:
    receiver.sender().post(receiver.url(path="/in?a=1"), '{"a": "é"}', {"webhook-id": "msg_1"})
    ((path, headers, body),) = receiver.seen
    assert (path, headers["webhook-id"], json.loads(body)) == ("/in?a=1", "msg_1", {"a": "é"})


def test_a_receiver_can_check_the_signature_as_the_standard_says() -> None:
    secret, now = signing.new_secret(), datetime(2026, 1, 1, tzinfo=UTC)
    headers = signing.headers(secret, "msg_1", '{"a":1}', now=now)
    key = base64.b64decode(secret.split("_")[1])
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}." + '{"a":1}'
    expected = base64.b64encode(hmac.new(key, signed.encode(), sha256).digest()).decode()
    assert (headers["webhook-signature"], headers["webhook-timestamp"]) == (f"v1,{expected}", "1767225600")


def test_the_signature_is_the_one_the_standard_shows() -> None:
    now = datetime.fromtimestamp(1614265330, UTC)
    made = signing.headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}', now=now
    )
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(("status", "said"), [(302, "redirects are not followed"), (404, "answered 404"), (500, "500")])
def test_any_answer_but_a_2xx_is_no_delivery(receiver: Receiver, status: int, said: str) -> None:
    receiver.status, receiver.headers = status, {"Location": receiver.url(path="/elsewhere")}
    with pytest.raises(Undelivered, match=said):
        receiver.sender().post(receiver.url(), "{}", {})
    assert [path for path, _, _ in receiver.seen] == ["/in"]


def test_the_address_that_was_checked_is_the_one_that_is_called(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def rebound(host: str, *given: Any) -> Any:
        assert host == "127.0.0.1", f"looked up again: {host}"
        return real(host, *given)

    sender = receiver.sender()
    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    sender.post(receiver.url(), "{}", {})
    assert len(receiver.seen) == 1


def test_a_certificate_of_another_name_is_not_believed(receiver: Receiver) -> None:
    with pytest.raises(Undelivered, match="CERTIFICATE_VERIFY_FAILED"):
        receiver.sender().post(receiver.url("other.example"), "{}", {})
    assert receiver.seen == []


def test_a_certificate_nobody_vouches_for_is_not_believed(receiver: Receiver) -> None:
    with pytest.raises(Undelivered, match="CERTIFICATE_VERIFY_FAILED"):
        replace(receiver.sender(), context=ssl.create_default_context()).post(receiver.url(), "{}", {})


def test_an_answer_that_drips_is_cut_off(receiver: Receiver) -> None:
    receiver.body, receiver.headers, receiver.drip_s = b"x" * 1_000, {"Content-Length": "1000"}, 0.05
    begun = time.monotonic()
    with pytest.raises(Undelivered, match=r"no answer within 0\.5 s"):
        receiver.sender(timeout_s=0.5).post(receiver.url(), "{}", {})
    assert time.monotonic() - begun < 5


def test_an_answer_is_read_up_to_its_cap(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MOST_ANSWER", 10)
    receiver.body, receiver.headers, receiver.drip_s = b"x" * 1_000, {"Content-Length": "1000"}, 0.01
    begun = time.monotonic()
    receiver.sender().post(receiver.url(), "{}", {})
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "169.254.169.254"])
def test_a_message_to_the_inside_is_not_sent(receiver: Receiver, host: str) -> None:
    with pytest.raises(Undelivered, match=r"public addresses only|cannot be resolved"):
        Sender(context=receiver.sender().context).post(receiver.url(host), "{}", {})
    assert receiver.seen == []
