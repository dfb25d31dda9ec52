"""Endpoints: parse, call one function, answer."""
