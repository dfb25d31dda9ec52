"""What the service can be told, once, at start-up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

DEFAULT_DATABASE = "sqlite:///switchback.db"
DEFAULT_PORT = 8765
LOOPBACK = ("127.0.0.1", "localhost", "::1")
Auth: TypeAlias = Literal["auto", "tokens", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Durations in seconds. A lease lives `lease_ttl_s` from claim or heartbeat; the sweep requeues expired ones.

    `hosts` are the names the service may be called by. `auth`: whether requests need an access token; `auto` when the
    database has ever had one. `artifacts` is a folder, or a URL such as `s3://bucket/prefix`; by default a folder
    beside the SQLite file, or `switchback.artifacts` where the service was started. A single artifact has at most
    `artifact_bytes`, those of a study together `artifact_quota`. The curves of studies that ended
    `retain_curves_days` ago are thinned, None: never. `webhooks`: whether they are sent. `token_rate`:
    requests a second of one token, twice as many in a burst. A project has at most `live_studies` running, and starts
    none while `queued_trials` of it wait.
    """

    database: str = DEFAULT_DATABASE
    lease_ttl_s: float = 60.0
    sweep_s: float = 5.0
    idle_retry_s: float = 1.0
    min_free_bytes: int = 100_000_000
    hosts: tuple[str, ...] = LOOPBACK
    artifacts: str | None = None
    artifact_bytes: int = 2 * 2**30
    artifact_quota: int = 100 * 2**30
    retain_curves_days: float | None = None
    auth: Auth = "auto"
    webhooks: bool = False
    token_rate: float = 1_000.0
    live_studies: int = 1_000
    queued_trials: int = 100_000

    def __post_init__(self) -> None:
        _ = self.url
        if self.auth not in get_args(Auth):
            raise ValueError(f"auth: must be one of {', '.join(get_args(Auth))}, got {self.auth!r}")
        for name in ("lease_ttl_s", "sweep_s", "idle_retry_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be > 0 seconds, got {getattr(self, name)}")
        if self.retain_curves_days is not None and not self.retain_curves_days > 0:
            raise ValueError(f"retain_curves_days: must be > 0 days, got {self.retain_curves_days}")
        for name in ("token_rate", "live_studies", "queued_trials"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be > 0, got {getattr(self, name)}")
        for name in ("artifact_bytes", "artifact_quota"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be > 0 bytes, got {getattr(self, name)}")

    @property
    def url(self) -> URL:
        """The database's URL with the driver we use for it."""
        try:
            url = make_url(self.database)
        except ArgumentError as error:
            raise ValueError(
                f"database: must be a URL such as {DEFAULT_DATABASE} or postgresql://user@host/name, "
                f"got {self.database!r}"
            ) from error
        drivers = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
        backend = url.drivername.split("+")[0]
        if backend not in drivers:
            raise ValueError(f"database: must be sqlite or postgresql, got {backend!r}")
        return url.set(drivername=drivers[backend])

    @property
    def artifact_address(self) -> str:
        """Where artifacts are kept."""
        if self.artifacts is not None:
            return self.artifacts
        file = self.url.database if self.url.get_backend_name() == "sqlite" else None
        return f"{(file or 'switchback').removesuffix('.db')}.artifacts"
