"""A bucket of a real server that speaks S3, on this machine."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import httpx2
import pytest


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty bucket; the environment says where its server is, as an operator's would."""
    from moto.server import ThreadedMotoServer
    from s3fs import S3FileSystem

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url, name = f"http://{host}:{port}", f"bucket-{secrets.token_hex(8)}"
    secret = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_DEFAULT_REGION": "us-east-1"}
    for variable, value in {"AWS_ENDPOINT_URL": url, **secret}.items():
        monkeypatch.setenv(variable, value)
    assert httpx2.put(f"{url}/{name}", timeout=60).status_code == 200
    yield f"s3://{name}/prefix"
    S3FileSystem.clear_instance_cache()
    server.stop()
