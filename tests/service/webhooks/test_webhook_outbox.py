"""The outbox: what is told is what was committed, with one id however often it is sent, until it is given up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from desk import T0, Desk
from receiver import Receiver, receiving
from sqlalchemy import select

from service import studies
from service.webhooks import outbox, signing
from service.webhooks.courier import Courier
from service.webhooks.tables import Delivery, Webhook


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def hook(desk: Desk, url: str = "https://hooks.example/in", project: str = "default") -> None:
    with desk.database.write() as session:
        session.add(Webhook(project=project, url=url, secret=signing.new_secret(), created_at=T0))


def stop(desk: Desk, study: int, *, fails: bool = False) -> None:
    with desk.database.write() as session:
        studies.stop(session, study, now=T0, reason="enough")
        if fails:
            raise RuntimeError("the power went out before the commit")


def deliveries(desk: Desk) -> list[Delivery]:
    with desk.database.read() as session:
        return list(session.scalars(select(Delivery).order_by(Delivery.id)))


def test_the_end_of_a_study_is_told_to_the_webhooks_of_its_project(desk: Desk) -> None:
    hook(desk)
    hook(desk, project="theirs")
    stop(desk, desk.create())
    (delivery,) = deliveries(desk)
    told = json.loads(delivery.body)
    assert (told["type"], told["data"]["status"], told["data"]["reason"]) == ("study.ended", "stopped", "enough")


def test_a_study_that_did_not_end_after_all_is_not_told(desk: Desk) -> None:
    hook(desk)
    with pytest.raises(RuntimeError):
        stop(desk, desk.create(), fails=True)
    assert deliveries(desk) == []


def test_an_end_is_told_once(desk: Desk) -> None:
    hook(desk)
    study = desk.create()
    stop(desk, study)
    stop(desk, study)
    assert len(deliveries(desk)) == 1


def test_a_message_that_is_taken_is_not_taken_twice(desk: Desk) -> None:
    hook(desk)
    stop(desk, desk.create())
    taken = []
    for _ in range(2):
        with desk.database.write() as session:
            taken.append(len(outbox.take(session, now=T0, limit=10)))
    with desk.database.write() as session:  # whoever took it was killed
        taken.append(len(outbox.take(session, now=T0 + outbox.TAKEN_FOR, limit=10)))
    assert taken == [1, 0, 1]


def test_a_message_is_tried_again_later_and_later_and_then_given_up(desk: Desk) -> None:
    hook(desk)
    stop(desk, desk.create())
    now, waits = T0, []
    while (delivery := deliveries(desk)[0]).next_at is not None:
        waits.append(delivery.next_at - now)
        now = delivery.next_at
        with desk.database.write() as session:
            outbox.settle(session, delivery.id, "answered 500", now=now)
    assert waits == [timedelta(0), *outbox.RETRIES]
    assert (delivery.attempts, delivery.error, delivery.delivered_at) == (len(outbox.RETRIES) + 1, "answered 500", None)


def test_a_message_sent_again_has_the_same_id(desk: Desk, receiver: Receiver) -> None:
    hook(desk, receiver.url())
    study = desk.create()
    with desk.database.write() as session:
        studies.stop(session, study, now=desk.database.now(session), reason="enough")
    courier = Courier(desk.database, receiver.sender())
    receiver.status = 503
    courier.round()
    with desk.database.write() as session:
        again = session.scalars(select(Delivery)).one()
        again.next_at = desk.database.now(session) - timedelta(seconds=1)
    receiver.status = 200
    courier.round()
    assert len({headers["webhook-id"] for _, headers, _ in receiver.seen}) == 1
    (delivery,) = deliveries(desk)
    assert (len(receiver.seen), delivery.attempts, delivery.next_at, delivery.error) == (2, 2, None, None)
