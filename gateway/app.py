"""The HTTP application of a node."""

import sqlite3
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ASGIApp
from prometheus_client import REGISTRY

from domain.errors import RetryableError
from gateway.http import (
    ask,
    commands,
    conversations,
    corrections,
    documents,
    generations,
    operations,
    payments,
    quarantine,
    remediation,
    search,
    slo,
    webhooks,
)
from gateway.http.access_log import AccessLog
from gateway.http.context import JsonRequest, tenants_only
from gateway.http.description import complete
from gateway.http.problems import ProblemError, on_http_exception, on_problem, on_storage_away, on_unexpected
from gateway.node import Node

BODY_BYTES_MAX = 2 * 1024**2
_ROUTES: list[Any] = [
    *webhooks.HANDLERS,
    *payments.HANDLERS,
    *commands.HANDLERS,
    *ask.HANDLERS,
    *documents.HANDLERS,
    *search.HANDLERS,
    *generations.HANDLERS,
    *conversations.HANDLERS,
    *corrections.HANDLERS,
    *quarantine.HANDLERS,
    *operations.HANDLERS,
    *slo.HANDLERS,
    *remediation.HANDLERS,
]


def _credential(opt: Mapping[str, Any]) -> list[dict[str, list[str]]]:
    """What a route asks for, as the description says it."""
    if opt.get("is_operators"):
        return [{"operator": []}]
    return [] if opt.get("is_public") else [{"tenant": []}]


def make_app(node: Node) -> ASGIApp:
    """The application; it serves what the node knows and owns nothing itself."""
    collector = operations.NodeCollector(node)
    REGISTRY.register(collector)

    def forget_collector() -> None:
        REGISTRY.unregister(collector)

    for route in _ROUTES:
        route.security = _credential(route.opt or {})
    application = Litestar(
        route_handlers=_ROUTES,
        state=State({"node": node}),
        request_class=JsonRequest,
        guards=[tenants_only],
        exception_handlers={
            ProblemError: on_problem,
            HTTPException: on_http_exception,
            sqlite3.OperationalError: on_storage_away,
            RetryableError: on_storage_away,
            Exception: on_unexpected,
        },
        request_max_body_size=BODY_BYTES_MAX,
        openapi_config=OpenAPIConfig(
            title="Recount",
            version=version("recount"),
            description="Answers about money that cite their evidence. Errors are problem details (RFC 9457).",
            openapi_router=Router("/docs", route_handlers=[], opt={"is_public": True}, include_in_schema=False),
            render_plugins=[SwaggerRenderPlugin(path="/")],
            components=Components(
                security_schemes={
                    "tenant": SecurityScheme(type="http", scheme="bearer", description="A tenant's API key"),
                    "operator": SecurityScheme(type="http", scheme="bearer", description="An operator's key"),
                }
            ),
        ),
        on_shutdown=[forget_collector],
        logging_config=None,
    )
    complete(application.openapi_schema, _ROUTES)
    # Around all of it, and not a middleware: those see no request that fits no route.
    return AccessLog(application)
