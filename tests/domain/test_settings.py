"""Settings that contradict each other are refused with what to change."""

from typing import Any

import msgspec
import pytest

from domain.settings import BATCH_MAX, NodeSettings


def read(toml: str) -> NodeSettings:
    return msgspec.toml.decode(toml.encode(), type=NodeSettings)


def test_nothing_needs_to_be_set() -> None:
    assert read("") == NodeSettings()


def test_a_whole_file_is_read() -> None:
    settings = read(
        """
        data = "/srv/recount"
        [http]
        listen = "0.0.0.0:80"
        [ray]
        payment_shards = 64
        [tenants.acme]
        api_keys = ["acme-dev-key"]
        [tenants.acme.sources.stripe]
        secrets = ["whsec_old", "whsec_new"]
        """
    )

    assert settings.ray.payment_shards == 64
    assert settings.tenants["acme"].sources["stripe"].secrets == ("whsec_old", "whsec_new")
    assert settings.tenants["acme"].sources["stripe"].tolerance_s == 300


@pytest.mark.parametrize(
    ("toml", "wish"),
    [
        ("dta = 'var'", "dta"),
        ("[http]\nlistn = ':80'", "listn"),
        ("[tenants.acme]\nkeys = []", "keys"),
        ("[ray]\npayment_shards = 0", "ray.payment_shards: 1 to 64"),
        ("[ray]\nindex_shards = 65", "ray.index_shards: 1 to 64"),
        ("[ray]\nintakes = -1", "ray.intakes: 1 to 64"),
        ("[ray]\nintakes = 2\nintakes_max = 1", "ray.intakes_max: 0, or intakes to 64"),
        ("[ray]\nintakes_max = 65", "ray.intakes_max: 0, or intakes to 64"),
        ("[scaling]\nquiet_s = 0", "scaling: drain_s, behind_s and quiet_s: above 0"),
        ("[ray]\nintakes = '1'", "int"),
        ("[store]\nurl = 'oracle'", 'store.url: "sqlite"'),
        (f"[shard]\naggregates_max = {BATCH_MAX - 1}", f"at least {BATCH_MAX}"),
        ("[tenants.Acme]", "lower-case"),
        ("[tenants.acme.sources.'Stripe!']", "lower-case"),
        ("[tenants.acme]\napi_keys = ['short12']", "at least 8 characters"),
        ("[tenants.acme]\napi_keys = ['same-key']\n[tenants.beta]\napi_keys = ['same-key']", "one tenant"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_change(toml: str, wish: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=wish):
        read(toml)


def test_the_same_rules_hold_without_a_file() -> None:
    wrong: dict[str, Any] = {"tenants": {"Acme": {}}}

    with pytest.raises(msgspec.ValidationError, match="lower-case"):
        msgspec.convert(wrong, NodeSettings)
