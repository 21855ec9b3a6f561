"""Settings: defaults, under the file, under the environment, under the command line; what is wrong is named."""

from pathlib import Path
from typing import Any

import pytest

from domain.errors import TerminalError
from domain.settings import NodeSettings
from gateway.bootstrap import load_settings

FILE = """
data = "/srv/recount"

[http]
listen = "0.0.0.0:80"

[tenants.acme]
api_keys = ["acme-secret"]

[tenants.acme.sources.stripe]
secrets = ["whsec_1", "whsec_2"]
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No `recount.toml` here."""
    monkeypatch.chdir(tmp_path)


def written(text: str, name: str = "recount.toml") -> Path:
    file = Path(name)
    file.write_text(text)
    return file


def load(text: str = "", **options: Any) -> NodeSettings:
    return load_settings(written(text, "settings.toml"), **{"environment": {}, **options})


def test_without_a_file_there_is_a_tenant_for_development() -> None:
    settings = load_settings(environment={})

    assert settings.tenants["acme"].api_keys == ("acme-dev-key",)
    assert settings == NodeSettings(tenants=settings.tenants)
    assert load_settings(environment={}) == settings


def test_the_file_here_is_read_and_the_development_tenant_is_gone() -> None:
    written(FILE)

    settings = load_settings(environment={})

    assert (settings.data, settings.http.listen) == ("/srv/recount", "0.0.0.0:80")
    assert settings.http.body_bytes_max == NodeSettings().http.body_bytes_max
    assert {tenant: of.api_keys for tenant, of in settings.tenants.items()} == {"acme": ("acme-secret",)}
    assert settings.tenants["acme"].sources["stripe"].secrets == ("whsec_1", "whsec_2")


def test_the_environment_may_name_the_file_and_the_caller_may_name_another() -> None:
    written('data = "here"')
    environment = {"RECOUNT_CONFIG": str(written('data = "named"', "named.toml"))}

    assert load_settings(environment=environment).data == "named"
    assert load_settings(written('data = "chosen"', "chosen.toml"), environment=environment).data == "chosen"


def test_the_command_line_is_above_the_environment_is_above_the_file() -> None:
    environment = {"RECOUNT_HTTP_LISTEN": "127.0.0.1:1", "RECOUNT_DATA": "/env", "UNRELATED": "x"}
    overrides = {"http": {"listen": "127.0.0.1:2"}, "data": None}

    settings = load(FILE, environment=environment, overrides=overrides)

    assert (settings.http.listen, settings.data) == ("127.0.0.1:2", "/env")


def test_words_of_the_environment_become_the_settings_type() -> None:
    environment = {
        "RECOUNT_RAY_PAYMENT_SHARDS": "3",
        "RECOUNT_ASK_LINGER_MS": "1.5",
        "RECOUNT_TELEMETRY_LOG_LEVEL": "debug",
        "RECOUNT_NATS_STREAM_BYTES_MAX": "1000",
        "RECOUNT_API_KEY": "the command line's own",
    }

    settings = load(environment=environment)

    assert (settings.ray.payment_shards, settings.ask.linger_ms) == (3, 1.5)
    assert (settings.telemetry.log_level, settings.nats.stream_bytes_max) == ("debug", 1000)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"RECOUNT_HTTP_LISTENS": "x"}, ["RECOUNT_HTTP_LISTENS", "listen", "body_bytes_max"]),
        ({"RECOUNT_NOTHING": "x"}, ["RECOUNT_NOTHING"]),
        ({"RECOUNT_DATA_DIR": "x"}, ["RECOUNT_DATA_DIR"]),
        ({"RECOUNT_TENANTS": "{}"}, ["RECOUNT_TENANTS"]),
        ({"RECOUNT_TENANTS_ACME": "x"}, ["RECOUNT_TENANTS_ACME"]),
        ({"RECOUNT_": "x"}, ["RECOUNT_"]),
        ({"RECOUNT_RAY_INTAKES": "many"}, ["RECOUNT_RAY_INTAKES"]),
        ({"RECOUNT_RAY_INTAKES": "0"}, ["ray.intakes"]),
        ({"RECOUNT_HTTP": "x"}, ["$.http"]),
    ],
)
def test_what_is_no_setting_in_the_environment_is_named(environment: dict[str, str], words: list[str]) -> None:
    with pytest.raises(TerminalError) as error:
        load(environment=environment)

    assert all(word in error.value.reason for word in words)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("databas = 'x'", "`databas`"),
        ("[http]\nlisten_on = 'x'", "`listen_on`"),
        ("[http]\nlisten = 80", "$.http.listen"),
        ("http = 80", "$.http"),
        ("[ray]\npayment_shards = 'two'", "$.ray.payment_shards"),
        ("[ray]\npayment_shards = 0", "ray.payment_shards"),
        ("[tenants.ACME]\n", "tenants.ACME"),
        ("[tenants.acme]\napi_keys = ['short']", "api key"),
        ("[tenants.a]\napi_keys = ['the-same-key']\n[tenants.b]\napi_keys = ['the-same-key']", "api key"),
        ("[tenants.acme.sources.stripe]\nsecret = 'x'", "`secret`"),
        ("[store]\nurl = 'mysql://'", "store.url"),
        ("data = ", "not TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_the_file(text: str, word: str) -> None:
    with pytest.raises(TerminalError) as error:
        load(text)

    assert word in error.value.reason
    assert "settings.toml" in error.value.reason


def test_a_section_that_is_no_section_is_named_whoever_says_more_about_it() -> None:
    with pytest.raises(TerminalError, match=r"\[http\]"):
        load("http = 80", environment={"RECOUNT_HTTP_LISTEN": "127.0.0.1:1"})


def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(TerminalError, match=r"missing\.toml"):
        load_settings(Path("missing.toml"), environment={})
    with pytest.raises(TerminalError, match=r"missing\.toml"):
        load_settings(environment={"RECOUNT_CONFIG": "missing.toml"})
    Path("binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(TerminalError, match=r"binary\.toml"):
        load_settings(Path("binary.toml"), environment={})
