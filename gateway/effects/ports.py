"""Which port performs what, from the tenants' settings."""

from collections.abc import Callable, Mapping
from datetime import datetime

import httpx

from domain.effects import EffectKind, Port
from domain.tenant_settings import TenantSettings
from gateway.effects.notify import Endpoint, Notify
from gateway.effects.stripe_client import BASE_URL as STRIPE_URL
from gateway.effects.stripe_client import StripeAccount, StripePort
from gateway.effects.zalo_reply import BASE_URL as ZALO_URL
from gateway.effects.zalo_reply import ZaloAccount, ZaloReply


def ports_of(
    tenants: Mapping[str, TenantSettings], *, client: httpx.AsyncClient, clock: Callable[[], datetime]
) -> dict[EffectKind, Port]:
    """A port for every kind of effect. An effect for whose account there are no settings is given up by its port."""
    at_stripe = StripePort(client, stripe_accounts(tenants), clock=clock)
    endpoints = {
        (tenant, ""): Endpoint(url=settings.notify.url, secrets=settings.notify.secrets)
        for tenant, settings in tenants.items()
        if settings.notify is not None
    }
    return {
        "pull": at_stripe,
        "cancel": at_stripe,
        "void": at_stripe,
        "refund": at_stripe,
        "notify": Notify(client, endpoints, clock=clock),
        "reply": ZaloReply(client, chats(tenants), clock=clock),
    }


def stripe_accounts(tenants: Mapping[str, TenantSettings]) -> dict[tuple[str, str], StripeAccount]:
    """The accounts by tenant and source; the only one of a tenant also by `stripe`, which is all that facts tell."""
    accounts: dict[tuple[str, str], StripeAccount] = {}
    for tenant, settings in tenants.items():
        of_tenant = {
            name: StripeAccount(api_key=source.api.key, base_url=source.api.url or STRIPE_URL)
            for name, source in settings.sources.items()
            if source.api is not None and (source.kind or name) == "stripe"
        }
        accounts |= {(tenant, name): account for name, account in of_tenant.items()}
        if len(of_tenant) == 1:
            accounts[tenant, "stripe"] = next(iter(of_tenant.values()))
    return accounts


def chats(tenants: Mapping[str, TenantSettings]) -> dict[str, ZaloAccount]:
    """The tenants whose chats can be written to."""
    return {
        tenant: ZaloAccount(access_token=source.api.key, base_url=source.api.url or ZALO_URL)
        for tenant, settings in tenants.items()
        for name, source in settings.sources.items()
        if source.api is not None and (source.kind or name) == "zalo"
    }
