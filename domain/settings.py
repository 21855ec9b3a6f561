"""Every setting, its default and its limits. Read once at the edge (`gateway.bootstrap`), passed on as values."""

from typing import Literal

import msgspec

from domain.ids import SOURCE_RE, TENANT_RE
from domain.mapping_settings import MappingSettings
from domain.polling import PollSettings

BATCH_MAX = 500  # PostgreSQL through a pipeline hung on inserts of 1,500 and more events; one limit for every store.
API_KEY_CHARS_MIN = 8
ACTORS_MAX = 64


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class HttpSettings(Settings, frozen=True, kw_only=True):
    """The gateway.

    Args:
        listen: HOST:PORT; port 0 takes a free one.
        body_bytes_max: how large a webhook's body may be; a larger one is refused (413).
    """

    listen: str = "127.0.0.1:8080"
    body_bytes_max: int = 1_048_576


class NatsSettings(Settings, frozen=True, kw_only=True):
    """The bus.

    Args:
        url: `embedded` (a nats-server of our own) or `nats://...`.
        port: the embedded server's; 0 takes a free one.
        stream_bytes_max: how large the stream of raw messages may grow. A full one refuses new ones and forgets none.
    """

    url: str = "embedded"
    port: int = 4222
    stream_bytes_max: int = 8 * 1024**3


class StoreSettings(Settings, frozen=True, kw_only=True):
    """The log.

    Args:
        url: `sqlite`: the log is a file under `data`.
    """

    url: str = "sqlite"


class RaySettings(Settings, frozen=True, kw_only=True):
    """The processes that do the work.

    Args:
        address: `local` (a Ray of our own), `auto` or `ray://...`.
        payment_shards: how many processes decide about payments.
        index_shards: how many processes own the tenants' directories; each tenant has one.
        intakes: how many processes take messages from the stream.
    """

    address: str = "local"
    payment_shards: int = 2
    index_shards: int = 1
    intakes: int = 1


class ShardSettings(Settings, frozen=True, kw_only=True):
    """Each of those that decide.

    Args:
        aggregates_max: how many aggregates it keeps in memory.
        snapshot_every: after how many events of one aggregate its state is kept beside them.
    """

    aggregates_max: int = 20_000
    snapshot_every: int = 100


class AskSettings(Settings, frozen=True, kw_only=True):
    """Answering.

    Args:
        linger_ms: how long a question waits for others, to be asked together.
        cache_entries_max: how many answers are kept until what they depend on changes; 0 keeps none.
        min_score: the cosine below which a passage is not quoted.
        top_k: how many passages are looked at, unless the question says.
        wait_s: how long `min_position` is waited for before the answer is 503.
    """

    linger_ms: float = 3.0
    cache_entries_max: int = 50_000
    min_score: float = 0.35
    top_k: int = 3
    wait_s: float = 5.0


class TelemetrySettings(Settings, frozen=True, kw_only=True):
    """What is told about the work.

    Args:
        otlp_endpoint: turns tracing on, e.g. `http://127.0.0.1:4318/v1/traces`; empty keeps it off.
        log_level: `debug`, `info`, `warning` or `error`.
    """

    otlp_endpoint: str = ""
    log_level: str = "info"


class LimitSettings(Settings, frozen=True, kw_only=True):
    """How much is taken. Webhooks above it get a 429; what is on the stream above it waits its turn there.

    Args:
        rate_per_s: messages per second in the long run.
        burst: how many may come at once after a quiet time.
    """

    rate_per_s: float = 10_000.0
    burst: int = 20_000

    def __post_init__(self) -> None:
        """Raises `ValueError` if nothing could ever pass."""
        if not self.rate_per_s > 0 or self.burst < 1:
            raise ValueError("rate_per_s: above 0, and burst: at least 1")


class QuarantineSettings(Settings, frozen=True, kw_only=True):
    """What could not be taken in.

    Args:
        key_file: a file of lines of 64 hexadecimal digits (`openssl rand -hex 32`). With it, messages in quarantine
            are kept encrypted (AES-256-GCM): with the key of the first line, and read with any of them.
    """

    key_file: str = ""


class SourceSettings(Settings, frozen=True, kw_only=True):
    """A provider that sends a tenant webhooks.

    Args:
        kind: what it is, if that is not its name: two accounts at one provider are two sources of one kind.
        secrets: the signing secrets; several while one is being replaced. Without any, every webhook is refused.
        tolerance_s: how old a signature may be.
        options: what else the provider's scheme needs; its page in docs/sources says what.
        mapping: how its records are read, if it has no module of its own.
        limits: how much of this source is taken, below what the tenant may send in all.
        poll: the API of the provider, if it is asked as well: docs/sources/polling.md.
    """

    kind: str = ""
    secrets: tuple[str, ...] = ()
    tolerance_s: int = 300
    options: dict[str, str] = {}
    mapping: MappingSettings | None = None
    limits: LimitSettings | None = None
    poll: PollSettings | None = None


Names = Literal["known", "known+gazetteer", "closed"]
PRIVACY_KEY_CHARS_MIN = 32


class PrivacySettings(Settings, frozen=True, kw_only=True):
    """What personal data is taken out of a tenant's free text, beyond what has a form of its own.

    Args:
        names: `known` (of known subjects, and after cues such as "my name is"), `known+gazetteer` (common names too) or
            `closed` (every capitalised word in the middle of a sentence, wherever it comes from).
        documents: whether knowledge documents are scrubbed as well.
        region: the country that a phone number without a country code is of, by ISO 3166-1.
        key: from which tokens are made, at least 32 characters; empty derives one from the node's own secret.
    """

    names: Names = "known+gazetteer"
    documents: bool = False
    region: str = "VN"
    key: str = ""


class TenantSettings(Settings, frozen=True, kw_only=True):
    """One tenant.

    Args:
        api_keys: bearer credentials. Each belongs to one tenant.
        sources: its providers, by name.
        privacy: what is taken out of its free text.
        limits: how much is taken of it, over HTTP and from the stream alike.
    """

    api_keys: tuple[str, ...] = ()
    sources: dict[str, SourceSettings] = {}
    privacy: PrivacySettings = PrivacySettings()
    limits: LimitSettings = LimitSettings()


class NodeSettings(Settings, frozen=True, kw_only=True):
    """The whole of `recount.toml`.

    Args:
        data: the directory of everything that this node writes.
        http: the gateway.
        nats: the bus.
        store: the log.
        ray: the processes that do the work.
        shard: each of those that decide.
        ask: answering.
        quarantine: what could not be taken in.
        telemetry: what is told about the work.
        tenants: by name.
    """

    data: str = "var"
    http: HttpSettings = HttpSettings()
    nats: NatsSettings = NatsSettings()
    store: StoreSettings = StoreSettings()
    ray: RaySettings = RaySettings()
    shard: ShardSettings = ShardSettings()
    ask: AskSettings = AskSettings()
    quarantine: QuarantineSettings = QuarantineSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    tenants: dict[str, TenantSettings] = {}

    def __post_init__(self) -> None:
        """Raises `ValueError` with what to change if the settings contradict each other."""
        for tenant, of_tenant in self.tenants.items():
            if TENANT_RE.fullmatch(tenant) is None:
                raise ValueError(f"tenants.{tenant}: use lower-case letters, digits and hyphens, at most 63")
            for source in of_tenant.sources:
                if SOURCE_RE.fullmatch(source) is None:
                    raise ValueError(f"tenants.{tenant}.sources.{source}: use lower-case letters, digits, - and _")
            if 0 < len(of_tenant.privacy.key) < PRIVACY_KEY_CHARS_MIN:
                raise ValueError(f"tenants.{tenant}.privacy.key: at least {PRIVACY_KEY_CHARS_MIN} characters, or none")
        keys = [key for of_tenant in self.tenants.values() for key in of_tenant.api_keys]
        if len(keys) != len(set(keys)):
            raise ValueError("tenants: an api key belongs to one tenant; two tenants have the same one")
        if any(len(key) < API_KEY_CHARS_MIN for key in keys):
            raise ValueError(f"tenants: an api key needs at least {API_KEY_CHARS_MIN} characters")
        for name in ("payment_shards", "index_shards", "intakes"):
            if not 1 <= getattr(self.ray, name) <= ACTORS_MAX:
                raise ValueError(f"ray.{name}: 1 to {ACTORS_MAX}")
        if self.store.url != "sqlite":
            raise ValueError('store.url: this version keeps the log in SQLite; write store.url = "sqlite"')
        if self.shard.aggregates_max < BATCH_MAX:
            raise ValueError(f"shard.aggregates_max: at least {BATCH_MAX}, a batch must fit")
