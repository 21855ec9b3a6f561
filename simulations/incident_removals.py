"""The live stack without a fix: what is taken out is taken out in the wiring, of gateway and hosts alike.

A run without a fix must miss its targets: a fix whose absence nobody sees guards nothing.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import gateway.corrections
import gateway.host_specs
from actors.index_shard import IndexShard
from actors.payment_shard import PaymentShard
from simulations.incident_counterfactual import PATCHES
from simulations.incident_plan import Fix, Plan
from simulations.world_wiring import replaced


class _Unranked:
    """A host in whose process the rank says nothing."""

    def __init__(self, place: bytes) -> None:
        PATCHES["tie rank"]().__enter__()
        super().__init__(place)  # type: ignore[call-arg]  # it is mixed into a host


class UnrankedPaymentShard(_Unranked, PaymentShard):
    """Decides without the rank."""


class UnrankedIndexShard(_Unranked, IndexShard):
    """Projects without the rank."""


class _Unordered:
    """A host in whose process whatever was recorded last wins."""

    def __init__(self, place: bytes) -> None:
        PATCHES["order by rule"]().__enter__()
        super().__init__(place)  # type: ignore[call-arg]  # it is mixed into a host


class UnorderedPaymentShard(_Unordered, PaymentShard):
    """Decides by arrival."""


class UnorderedIndexShard(_Unordered, IndexShard):
    """Projects by arrival."""


HOSTS: Mapping[Fix, tuple[type[Any], type[Any]]] = {
    "tie rank": (UnrankedPaymentShard, UnrankedIndexShard),
    "order by rule": (UnorderedPaymentShard, UnorderedIndexShard),
}


@contextmanager
def wired(plan: Plan) -> Iterator[None]:
    """What the plan takes out of the node is out of every node that is started in the block."""
    with ExitStack() as stack:
        for fix in sorted(plan.without):
            if fix in HOSTS:
                payments, index = HOSTS[fix]
                stack.enter_context(PATCHES[fix]())
                stack.enter_context(replaced(gateway.host_specs, "PaymentShard", payments))
                stack.enter_context(replaced(gateway.host_specs, "IndexShard", index))
            if fix == "corrections":
                stack.enter_context(replaced(gateway.corrections, "_judgement", lambda found, facts: None))
        yield
