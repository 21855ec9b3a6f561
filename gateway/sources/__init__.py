"""Where messages come from: one module per provider, all of the shape in `gateway.sources.port`."""

from collections.abc import Callable, Mapping

import msgspec

from domain.settings import SourceSettings, TenantSettings
from gateway.sources import stripe
from gateway.sources.port import SourceModule, Unreadable

SOURCES: Mapping[str, SourceModule] = {stripe.name: stripe}
# Sources that are made from their settings: a mapping instead of code.
MADE: Mapping[str, Callable[[str, SourceSettings], SourceModule]] = {}


class Sources:
    """The sources of every tenant. A provider's module needs no settings to be read; a made source is its settings."""

    def __init__(self, tenants: Mapping[str, TenantSettings]) -> None:
        self._tenants = tenants
        self._made: dict[tuple[str, str], SourceModule] = {}

    def of(self, tenant: str, source: str) -> SourceModule | Unreadable:
        """The source by its name at the tenant, or why there is none."""
        of_tenant = self._tenants.get(tenant)
        if of_tenant is None:
            return Unreadable(
                code="tenant.unknown",
                detail=f"there is no tenant {tenant[:63]!r}; add it to recount.toml, then requeue",
            )
        settings = of_tenant.sources.get(source, SourceSettings())
        kind = settings.kind or source
        if (module := SOURCES.get(kind)) is not None:
            return module
        if kind not in MADE:
            known = ", ".join([*SOURCES, *MADE])
            return Unreadable(code="source.unknown", detail=f"there is no source {kind[:63]!r}; there is: {known}")
        if (tenant, source) not in self._made:
            self._made[tenant, source] = MADE[kind](source, settings)
        return self._made[tenant, source]


def without_secrets(tenants: Mapping[str, TenantSettings]) -> dict[str, TenantSettings]:
    """The tenants as a process needs them that reads their messages and verifies none."""
    return {
        name: msgspec.structs.replace(
            tenant,
            api_keys=(),
            sources={
                source: msgspec.structs.replace(settings, secrets=()) for source, settings in tenant.sources.items()
            },
        )
        for name, tenant in tenants.items()
    }
