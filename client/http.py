"""Carries contract messages over HTTP: one request, one answer, every failure as an exception of `client.errors`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Self, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from client import credentials
from client.errors import ServiceUnavailable, SwitchbackError, UnexpectedAnswer, describe, refusal
from contract.errors import Problem
from contract.studies import News

API = "/api/v1"
Answer = TypeVar("Answer", bound=BaseModel)

# Shorter than the 5 s after which uvicorn closes an idle connection: never send on one that is being closed.
KEEPALIVE_S = 3.0
# Between two pieces of a file, and from its last piece to the answer: the service's disk has it by then.
STREAM_S = 60.0
# A proxy meant for the internet cannot reach a service on this machine.
DIRECT: Mapping[str, None] = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}


class Transport:
    """A connection to the service at `url`; safe to share between threads. `transport` replaces the network.

    The access token, where there is one, comes from the environment (`client.credentials`) and travels as a header.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0, transport: httpx2.BaseTransport | None = None) -> None:
        self.url = _checked(url)
        if not timeout_s > 0:
            raise ValueError(f"timeout_s: need > 0 seconds, got {timeout_s}")
        access = credentials.token()
        self._client = httpx2.Client(
            base_url=self.url,
            timeout=httpx2.Timeout(timeout_s, connect=min(timeout_s, 5.0)),
            limits=httpx2.Limits(max_connections=32, max_keepalive_connections=8, keepalive_expiry=KEEPALIVE_S),
            headers={"accept": "application/json"} | ({"authorization": f"Bearer {access}"} if access else {}),
            transport=transport,
            mounts=None if transport else DIRECT,
        )

    def get(self, path: str, answer: type[Answer], **query: str | int | None) -> Answer:
        """GET `path`; parameters that are None are left out."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._answer(self._send(self._client.build_request("GET", path, params=given)), answer)

    def news(
        self, path: str, answer: type[Answer], known: str | None, *, wait_s: float, of: News = "all"
    ) -> tuple[Answer | None, str | None]:
        """GET `path` and its ETag; None while it is what the ETag `known` names, for which the answer waits so long.

        News of its `state` alone: of a study, that it was paused, goes on, or has ended.
        """
        headers = {} if known is None else {"if-none-match": known}
        query = {"wait": wait_s, "news": of}
        response = self._send(self._client.build_request("GET", path, params=query, headers=headers))
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            return None, known
        return self._answer(response, answer), response.headers.get("etag")

    def post(
        self,
        path: str,
        answer: type[Answer],
        body: BaseModel | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **query: int,
    ) -> Answer:
        """POST `body` to `path`. Never sent twice: whoever calls knows whether that would be harmless."""
        content = None if body is None else body.model_dump_json().encode()
        headers = {"content-type": "application/json"} | dict(headers or {})
        request = self._client.build_request("POST", path, content=content, headers=headers, params=query)
        return self._answer(self._send(request), answer)

    def put(
        self, path: str, answer: type[Answer], body: Iterable[bytes], headers: Mapping[str, str], **query: int
    ) -> Answer:
        """PUT a stream to `path`; its length is in the headers. The answer may take as long as the disk does."""
        request = self._client.build_request(
            "PUT",
            path,
            content=body,
            headers=dict(headers),
            params=query,
            timeout=httpx2.Timeout(STREAM_S, connect=5.0),
        )
        return self._answer(self._send(request), answer)

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str] | None = None, **query: int) -> Iterator[httpx2.Response]:
        """GET `path`, the body to be read piece by piece while the context lasts."""
        timeout = httpx2.Timeout(STREAM_S, connect=5.0)
        request = self._client.build_request("GET", path, headers=headers, params=query, timeout=timeout)
        response = self._send(request, stream=True)
        try:
            with self._reaching():
                yield response
        finally:
            response.close()

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            why = str(error) or type(error).__name__
            raise ServiceUnavailable(f"{self.url} cannot be reached: {why}", sent=False) from error
        except httpx2.TimeoutException as error:
            raise ServiceUnavailable(f"{self.url} did not answer in time ({type(error).__name__})") from error
        except httpx2.TransportError as error:
            raise ServiceUnavailable(f"{self.url} cannot be reached: {error}") from error
        except httpx2.RequestError as error:
            raise UnexpectedAnswer(f"{self.url} sent an answer that cannot be read: {error}") from error

    def _send(self, request: httpx2.Request, *, stream: bool = False) -> httpx2.Response:
        with self._reaching():
            response = self._client.send(request, stream=stream)
            if stream and not response.is_success:
                response.read()
        if not response.is_success and response.status_code != HTTPStatus.NOT_MODIFIED:
            raise self._failure(response)
        return response

    def _failure(self, response: httpx2.Response) -> SwitchbackError:
        problem = _problem(response)
        later = response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status_code == 429
        if later or (problem is not None and problem.code == "in-flight"):
            said = describe(problem) if problem else response.reason_phrase
            message = f"{self.url} answered {response.status_code}: {said}"
            return ServiceUnavailable(message, retry_after=_retry_after(response))
        if problem is not None:
            return refusal(problem)
        request = response.request
        return UnexpectedAnswer(
            f"{self.url} answered {response.status_code} to {request.method} {request.url.path} "
            "without a problem body; is this the address of a Switchback service?"
        )

    def _answer(self, response: httpx2.Response, answer: type[Answer]) -> Answer:
        try:
            return answer.model_validate_json(response.content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "body"
            raise UnexpectedAnswer(
                f"{self.url} answered {response.request.url.path} with something other than {answer.__name__} "
                f"({where}: {first['msg']}); is it a Switchback service of this version?"
            ) from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _checked(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ValueError(f"url: {error}, got {url!r}") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError(f"url: must be an address such as http://127.0.0.1:8765, got {url!r}")
    return url.rstrip("/")


def _problem(response: httpx2.Response) -> Problem | None:
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return None


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds from now, given as seconds or as a date; None where absent or unreadable."""
    given = response.headers.get("retry-after")
    if given is None:
        return None
    try:
        return max(0.0, float(given))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
