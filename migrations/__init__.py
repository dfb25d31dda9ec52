"""Alembic environment and revisions; shipped with the service, which runs them when it starts."""
