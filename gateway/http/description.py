"""The shapes of the API description, with every limit and format that the structs state."""

from collections.abc import Iterator, Sequence
from inspect import cleandoc
from typing import Any, get_args, get_type_hints

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import OpenAPI, Schema

from gateway.http.problems import Problem


class _AsGiven(Schema):
    """A JSON schema that is written already."""

    given: dict[str, Any]

    def to_schema(self) -> dict[str, Any]:
        return self.given


def complete(description: OpenAPI, routes: Sequence[HTTPRouteHandler]) -> None:
    """Replace the framework's schemas of our structs, which lack limits and formats, with msgspec's own."""
    structs = {each for route in routes for each in _structs(route)}
    _, schemas = msgspec.json.schema_components(
        sorted(structs | {Problem}, key=lambda each: each.__name__), ref_template="#/components/schemas/{name}"
    )
    assert description.components is not None
    described = description.components.schemas or {}
    assert described.keys() <= schemas.keys(), f"no struct for {described.keys() - schemas.keys()}"
    for name in described:
        replacement = _AsGiven()
        replacement.given = {**schemas[name], "description": cleandoc(schemas[name].get("description", ""))}
        described[name] = replacement


def _structs(route: HTTPRouteHandler) -> Iterator[type[msgspec.Struct]]:
    """What a route takes as its body and what it gives, itself or in a response."""
    hints = get_type_hints(route.fn)
    for hint in (hints.get("data"), hints["return"], *get_args(hints["return"])):
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield hint
