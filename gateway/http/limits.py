"""How much of a tenant is taken over HTTP. Above it: 429, with the time after which it may be sent again."""

import math
import time

from gateway.http.problems import ProblemError
from gateway.node import Node


def check_rate(node: Node, tenant: str, source: str) -> None:
    """Raises `ProblemError` 429 if nothing more may pass now.

    Cheap, and before anything is read. It takes no token: what nobody signed must not use up a tenant's rate.
    """
    if (wait_s := node.limits.wait_s(tenant, source, now_s=time.monotonic())) > 0:
        raise _too_many(wait_s)


def take_rate(node: Node, tenant: str, source: str) -> None:
    """Let one message pass. Raises `ProblemError` 429 if others were first."""
    now_s = time.monotonic()
    if not node.limits.take(tenant, source, 1, now_s=now_s):
        raise _too_many(node.limits.wait_s(tenant, source, now_s=now_s))


def _too_many(wait_s: float) -> ProblemError:
    after_s = max(1, math.ceil(wait_s))
    detail = f"this is more than the tenant's rate; nothing was taken, send it again after {after_s} s"
    return ProblemError(429, "rate.exceeded", detail, {"Retry-After": str(after_s)})
