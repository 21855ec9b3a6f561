"""Where messages come from: one module per provider, all of the shape in `gateway.sources.port`."""

from collections.abc import Callable, Mapping

import msgspec

from domain.errors import TerminalError
from domain.tenant_settings import SourceSettings, TenantSettings
from gateway.sources import (
    adyen,
    adyen_automatic_capture,
    adyen_platform,
    cloudevents,
    csv_adyen,
    csv_mapped,
    csv_paypal,
    csv_stripe,
    debezium,
    json_api,
    momo,
    paypal,
    standard_webhooks,
    stripe,
    zalo,
    zalopay,
)
from gateway.sources.port import SourceModule, Unreadable

SOURCES: Mapping[str, SourceModule] = {
    stripe.name: stripe,
    zalo.name: zalo,
    adyen.name: adyen,
    adyen_automatic_capture.name: adyen_automatic_capture,
    adyen_platform.name: adyen_platform,
    paypal.name: paypal,
    zalopay.name: zalopay,
    momo.name: momo,
}
# Sources that are made from their settings: a mapping instead of code.
MADE: Mapping[str, Callable[[str, SourceSettings], SourceModule]] = {
    standard_webhooks.KIND: standard_webhooks.StandardWebhooks,
    cloudevents.KIND: cloudevents.CloudEvents,
    debezium.KIND: debezium.Debezium,
    csv_adyen.KIND: csv_adyen.make,
    csv_mapped.KIND: csv_mapped.MappedCsv,
    csv_paypal.KIND: csv_paypal.make,
    csv_stripe.KIND: csv_stripe.make,
    json_api.KIND: json_api.JsonApi,
}


class Sources:
    """The sources of every tenant. A provider's module needs no settings to be read; a made source is its settings.

    Raises:
        TerminalError: the settings of a made source cannot work; the sentence names the key.
    """

    def __init__(self, tenants: Mapping[str, TenantSettings]) -> None:
        self._tenants = tenants
        self._made: dict[tuple[str, str], SourceModule] = {}
        for tenant, of_tenant in tenants.items():
            for source, settings in of_tenant.sources.items():
                kind = settings.kind or source
                if kind not in SOURCES and kind in MADE:
                    self._make(tenant, source, kind, settings)

    def _make(self, tenant: str, source: str, kind: str, settings: SourceSettings) -> SourceModule:
        try:
            made = MADE[kind](source, settings)
        except TerminalError as error:
            raise TerminalError(f"configuration: tenants.{tenant}.{error.reason}") from error
        self._made[tenant, source] = made
        return made

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
        if (made := self._made.get((tenant, source))) is not None:
            return made
        try:
            return self._make(tenant, source, kind, settings)
        except TerminalError as error:
            return Unreadable(code="source.unset", detail=error.reason)


def without_secrets(tenants: Mapping[str, TenantSettings]) -> dict[str, TenantSettings]:
    """The tenants as a process needs them that reads their messages and verifies none."""
    return {
        name: msgspec.structs.replace(
            tenant,
            api_keys=(),
            notify=None,
            # It tells nobody either, and whoever is to be told has to say where.
            corrections="none",
            sources={
                source: msgspec.structs.replace(settings, secrets=(), poll=None, api=None)
                for source, settings in tenant.sources.items()
            },
        )
        for name, tenant in tenants.items()
    }
