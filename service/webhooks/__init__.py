"""Tells other services that a study has ended: an outbox in the database, and a courier that empties it."""
