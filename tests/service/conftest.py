"""Fixtures of the service's tests."""

from bucket import bucket
from desk import desk, http

__all__ = ["bucket", "desk", "http"]
