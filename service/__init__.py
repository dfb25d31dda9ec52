"""Decides and remembers: HTTP API, queue, search and storage. Never torch."""
