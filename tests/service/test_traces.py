"""OpenTelemetry: what a real service process sends to a collector, and that it is no secret."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
from desk import definition
from processes import Service

from service.app import tracing
from service.errors import StartupError

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@dataclass
class Collector:
    """An OTLP collector over HTTP that keeps what it is sent, by path."""

    url: str = ""
    received: dict[str, list[bytes]] = field(default_factory=dict)


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.received.setdefault(self.path, []).append(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *said: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        collector.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield collector
        server.shutdown()


@pytest.mark.slow
def test_a_collector_gets_a_span_of_each_request_by_its_route_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    secret = {"Authorization": "Bearer sbk_secret"}
    with collecting() as collector:
        monkeypatch.setenv(ENDPOINT, collector.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        with Service(f"sqlite:///{tmp_path}/traced.db", tmp_path) as service:
            study = definition(name="sbk_secret").model_dump(mode="json")
            httpx2.post(f"{service.url}/api/v1/studies", json=study, headers=secret)
            httpx2.get(f"{service.url}/api/v1/studies/1?token=sbk_secret", headers=secret)
    sent = [ExportTraceServiceRequest.FromString(body) for body in collector.received["/v1/traces"]]
    spans = [span for one in sent for part in one.resource_spans for scope in part.scope_spans for span in scope.spans]
    assert {"GET /api/v1/studies/{study_id}", "POST /api/v1/studies"} <= {span.name for span in spans}
    assert "/v1/metrics" in collector.received
    assert [path for path, bodies in collector.received.items() if b"sbk_secret" in b"".join(bodies)] == []


def test_nothing_is_traced_unless_a_collector_is_named() -> None:
    assert {name: wanted for name, wanted in tracing({}).items() if wanted} == {}


def test_a_collector_without_its_library_is_refused_by_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.app.find_spec", lambda name: None)  # as where the extra is not installed
    with pytest.raises(StartupError, match=rf'{ENDPOINT}.*pip install "switchback\[otel\]"'):
        tracing({ENDPOINT: "http://collector:4318"})
