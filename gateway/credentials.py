"""Who may ask: bearer credentials, each of one tenant."""

from collections.abc import Mapping
from hashlib import sha256

from domain.tenant_settings import TenantSettings


class Credentials:
    """The tenants' API keys. Only their hashes are compared, so that timing tells nothing of a key."""

    def __init__(self, tenants: Mapping[str, TenantSettings]) -> None:
        self._owners = {_digest(key): tenant for tenant, of_tenant in tenants.items() for key in of_tenant.api_keys}

    def owner(self, authorization: str | None) -> str | None:
        """The tenant of an `Authorization: Bearer <key>` header; `None` for no credential or an unknown one."""
        scheme, _, key = (authorization or "").partition(" ")
        return self._owners.get(_digest(key.strip())) if scheme.lower() == "bearer" else None


def _digest(key: str) -> bytes:
    return sha256(key.encode()).digest()
