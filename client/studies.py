"""The SDK: submit studies, follow them, read their results."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from client import DEFAULT_URL, artifacts
from client.errors import ServiceUnavailable, WaitTimeout
from client.http import API, Transport
from contract.artifacts import ArtifactView
from contract.pages import ChangesPage, Health, Page, Preview, WorkerView
from contract.studies import BestView, CreateStudy, LeaderboardEntry, News, RangeTestView, StudyView
from contract.trials import Curves, TrialRow, TrialStatus, TrialView

POLL_S = 0.5
WAIT_S = 5.0
"""How long one look at a study waits for a change; less than the time an answer may take."""
CREATE_PAUSES_S = (0.2, 0.4, 0.8)
"""Before a creation whose answer was lost is sent again; each with as much again at random."""


class StudyClient:
    """Every call may raise ServiceUnavailable; those that name a study or a trial, NotFound."""

    def __init__(
        self, url: str = DEFAULT_URL, *, timeout_s: float = 10.0, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self._http = Transport(url, timeout_s=timeout_s, transport=transport)
        self._timeout_s = timeout_s

    @property
    def url(self) -> str:
        """The address of the service, which is the dashboard's too."""
        return self._http.url

    def ready(self) -> Health:
        """The service's version and database, once it can serve."""
        return self._http.get("/readyz", Health)

    def create(self, study: CreateStudy, *, key: str | None = None) -> StudyView:
        """Submit a study, once, however often it has to be sent.

        An answer that was lost is asked for again, for some seconds. After ServiceUnavailable the study may exist all
        the same; give a `key` of your own, unique to this study, and call again within a day.
        """
        headers = {"Idempotency-Key": key or secrets.token_urlsafe(24)}
        for pause_s in CREATE_PAUSES_S:
            try:
                return self._http.post(f"{API}/studies", StudyView, study, headers=headers)
            except ServiceUnavailable as error:
                if not error.sent:
                    raise
                time.sleep(max(pause_s * (1 + secrets.randbelow(100) / 100), min(error.retry_after or 0.0, 5.0)))
        return self._http.post(f"{API}/studies", StudyView, study, headers=headers)

    def preview(self, study: CreateStudy, *, limit: int = 24) -> Preview:
        """The first trials a study would run; nothing is stored."""
        return self._http.post(f"{API}/previews", Preview, study, limit=limit)

    def get(self, study_id: int) -> StudyView:
        """A study as it stands."""
        return self._http.get(f"{API}/studies/{study_id}", StudyView)

    def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[StudyView]:
        """Studies, newest first; pass `next` as `cursor` for older ones."""
        return self._http.get(f"{API}/studies", Page[StudyView], limit=limit, cursor=cursor)

    def stop(self, study_id: int, *, version: int | None = None) -> StudyView:
        """End a study early; results so far stay. With a `version`, only if the study is still at that one."""
        return self._change(study_id, "stop", version)

    def pause(self, study_id: int, *, version: int | None = None) -> StudyView:
        """Hand out no more trials; the running ones store a checkpoint and wait."""
        return self._change(study_id, "pause", version)

    def resume(self, study_id: int, *, version: int | None = None) -> StudyView:
        """Go on with a paused study."""
        return self._change(study_id, "resume", version)

    def _change(self, study_id: int, what: str, version: int | None) -> StudyView:
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        return self._http.post(f"{API}/studies/{study_id}/{what}", StudyView, headers=headers)

    def leaderboard(self, study_id: int, *, limit: int = 50) -> Page[LeaderboardEntry]:
        """Configurations, best first."""
        return self._http.get(f"{API}/studies/{study_id}/leaderboard", Page[LeaderboardEntry], limit=limit)

    def trials(
        self,
        study_id: int,
        *,
        limit: int = 100,
        cursor: str | None = None,
        status: TrialStatus | None = None,
        since: str | None = None,
    ) -> ChangesPage[TrialRow]:
        """Trials in the order of their numbers; pass `next` as `cursor` for later ones.

        With `since`, which every answer carries, those that changed after that answer.
        """
        path = f"{API}/studies/{study_id}/trials"
        return self._http.get(path, ChangesPage[TrialRow], limit=limit, cursor=cursor, status=status, since=since)

    def trial(self, trial_id: int) -> TrialView:
        """A trial with its schedule and its attempts."""
        return self._http.get(f"{API}/trials/{trial_id}", TrialView)

    def best(self, study_id: int) -> BestView:
        """The winner so far, its test metrics, and code to use it; raises NoResultYet."""
        return self._http.get(f"{API}/studies/{study_id}/best", BestView)

    def curves(self, study_id: int, *, trials: Sequence[int] | None = None, points: int = 200) -> Curves:
        """Metric and rate curves of `trials`; by default of the leaders and of the running ones."""
        listed = None if trials is None else ",".join(map(str, trials))
        return self._http.get(f"{API}/studies/{study_id}/curves", Curves, trials=listed, points=points)

    def curve(self, trial_id: int, *, points: int = 500) -> Curves:
        """Metric and rate curve of one trial."""
        return self._http.get(f"{API}/trials/{trial_id}/curve", Curves, points=points)

    def range_test(self, study_id: int) -> RangeTestView:
        """The reading of a range test: suggestion and reason."""
        return self._http.get(f"{API}/studies/{study_id}/range-test", RangeTestView)

    def artifacts(self, trial_id: int) -> Page[ArtifactView]:
        """The files a trial has, by name."""
        return self._http.get(f"{API}/trials/{trial_id}/artifacts", Page[ArtifactView])

    def get_artifact(self, wanted: ArtifactView, to: Path) -> None:
        """Fetch a file, checked against its SHA-256; `to` appears whole or not at all."""
        artifacts.get(self._http, wanted, to)

    def workers(self, *, limit: int = 200) -> Page[WorkerView]:
        """Workers, most recently heard of first."""
        return self._http.get(f"{API}/workers", Page[WorkerView], limit=limit)

    def follow(
        self,
        study_id: int,
        *,
        poll_s: float = POLL_S,
        timeout_s: float | None = None,
        patience_s: float = 600.0,
        away: Callable[[ServiceUnavailable], None] | None = None,
        news: News = "all",
    ) -> Iterator[StudyView]:
        """Yield the study when it has changed, looks being `poll_s` seconds apart; the last one yielded has ended.

        Of news of its `state` alone, that it was paused, goes on, or has ended, the service tells at once.

        The first read must succeed, so that a wrong address shows at once. Later on a service that is away is asked
        again (`away` is told each time) and given up after `patience_s` seconds of silence. Raises WaitTimeout when
        the study still runs after `timeout_s` seconds.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        path = f"{API}/studies/{study_id}"
        view, tag = self._http.news(path, StudyView, None, wait_s=0.0)
        while view is not None:
            yield view
            if view.status not in {"running", "paused"}:
                return
            look = partial(self._http.news, path, StudyView, wait_s=min(WAIT_S, self._timeout_s / 2), of=news)
            view, tag = _next(look, tag, poll_s=poll_s, deadline=deadline, patience_s=patience_s, away=away)
        raise WaitTimeout(f"study {study_id} is still running, and the time to wait for it is up")

    def wait(
        self, study_id: int, *, timeout_s: float | None = None, poll_s: float = POLL_S, patience_s: float = 600.0
    ) -> StudyView:
        """The study once it has ended; the same rules as `follow`."""
        *_, last = self.follow(study_id, poll_s=poll_s, timeout_s=timeout_s, patience_s=patience_s, news="state")
        return last

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _next(
    look: Callable[[str | None], tuple[StudyView | None, str | None]],
    tag: str | None,
    *,
    poll_s: float,
    deadline: float | None,
    patience_s: float,
    away: Callable[[ServiceUnavailable], None] | None,
) -> tuple[StudyView | None, str | None]:
    """The study once it has changed, the service being away or not; None when it has not by monotonic `deadline`."""
    heard, pause_s = time.monotonic(), poll_s
    while True:
        left_s = float("inf") if deadline is None else deadline - time.monotonic()
        if left_s <= 0:
            return None, tag
        time.sleep(min(pause_s, left_s))
        try:
            view, tag = look(tag)
        except ServiceUnavailable as error:
            if time.monotonic() - heard > patience_s:
                raise
            if away is not None:
                away(error)
            pause_s = max(poll_s, min(error.retry_after or 0.0, 30.0))
        else:
            if view is not None:
                return view, tag
            heard, pause_s = time.monotonic(), poll_s
