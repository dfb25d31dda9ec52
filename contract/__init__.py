"""What crosses the wire between service, worker and client: pydantic messages without behaviour."""
