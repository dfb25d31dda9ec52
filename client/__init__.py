"""How to speak the contract: the SDK (`studies`), the worker's protocol (`leases`) and the command line (`cli`)."""

DEFAULT_URL = "http://127.0.0.1:8765"
"""Where `switchback up` and `switchback serve` listen unless told otherwise."""
