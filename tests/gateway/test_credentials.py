"""A credential opens its own tenant and no other."""

import pytest

from domain.tenant_settings import TenantSettings
from gateway.credentials import Credentials

CREDENTIALS = Credentials(
    {
        "acme": TenantSettings(api_keys=("acme-key-1", "acme-key-2")),
        "globex": TenantSettings(api_keys=("globex-key",)),
        "closed": TenantSettings(),
    }
)


@pytest.mark.parametrize(
    ("authorization", "owner"),
    [
        ("Bearer acme-key-1", "acme"),
        ("Bearer acme-key-2", "acme"),
        ("bearer globex-key", "globex"),
        ("Bearer  globex-key ", "globex"),
        ("Bearer acme-key", None),
        ("Bearer ACME-KEY-1", None),
        ("Bearer acme-key-1 globex-key", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Basic acme-key-1", None),
        ("acme-key-1", None),
        ("Bearer \u00e9\u20ac", None),
        ("", None),
        (None, None),
    ],
)
def test_the_owner_of_a_credential(authorization: str | None, owner: str | None) -> None:
    assert CREDENTIALS.owner(authorization) == owner


def test_the_keys_themselves_are_not_kept() -> None:
    assert "acme-key-1" not in repr(vars(CREDENTIALS))
