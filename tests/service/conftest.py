"""Fixtures of the service's tests."""

from desk import desk, http

__all__ = ["desk", "http"]
