"""The application class, whose description of itself says what is really sent: errors are problem details."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from contract.errors import Problem

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": "Problem details (RFC 9457)"}
    for status in (400, 401, 403, 404, 409, 413, 421, 422, 429, 503)
}
"""Answers that any endpoint may give; 405 belongs to no endpoint. As `model`s they would be built 400 times over."""


class Application(FastAPI):
    """FastAPI describes an error by the media type of the endpoint's success, such as JSON or SVG."""

    def openapi(self) -> dict[str, Any]:
        """The description, made once; see `FastAPI.openapi`."""
        if self.openapi_schema is None:
            described = super().openapi()
            problem = Problem.model_json_schema(ref_template=f"{SCHEMAS}{{model}}", mode="serialization")
            described["components"]["schemas"] |= problem.pop("$defs", {}) | {"Problem": problem}
            for path in described["paths"].values():
                for operation in path.values():
                    for status, response in operation["responses"].items():
                        if int(status) >= 400:
                            response["content"] = PROBLEM
        return super().openapi()


SCHEMAS = "#/components/schemas/"
PROBLEM = {"application/problem+json": {"schema": {"$ref": f"{SCHEMAS}Problem"}}}
