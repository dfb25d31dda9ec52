"""Trains what the service hands out: tasks, engines, and the agent between them and the service."""
