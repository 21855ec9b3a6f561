"""Every setting, its default and its limits. Read once at the edge (`gateway.bootstrap`), passed on as values."""

from typing import Literal

from domain.ids import SOURCE_RE, TENANT_RE
from domain.polling import LOCAL_URLS
from domain.settings_base import Settings
from domain.tenant_settings import PRIVACY_KEY_CHARS_MIN, TenantSettings
from domain.watch_settings import ProberSettings, RemediationSettings, ScalingSettings, SloSettings

BATCH_MAX = 500  # PostgreSQL through a pipeline hung on inserts of 1,500 and more events; one limit for every store.
API_KEY_CHARS_MIN = 8
ACTORS_MAX = 64


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
        spool_bytes_max: how much of what the stream does not take now may lie on this node's disk until it does; 0: a
            webhook is refused then. Where the stream has replicas, what lies here has none yet.
    """

    url: str = "embedded"
    port: int = 4222
    stream_bytes_max: int = 8 * 1024**3
    spool_bytes_max: int = 256 * 1024**2


class StoreSettings(Settings, frozen=True, kw_only=True):
    """The log.

    Args:
        url: `sqlite` (the log is a file under `data`) or `postgresql://USER@HOST:PORT/DATABASE` (its tables are in a
            database or schema of its own): docs/operations.md.
    """

    url: str = "sqlite"


class RaySettings(Settings, frozen=True, kw_only=True):
    """The processes that do the work.

    Args:
        address: `local` (a Ray of our own), `auto` or `ray://...`.
        payment_shards: how many processes decide about payments.
        index_shards: how many processes own the tenants' directories; each tenant has one.
        intakes: how many processes take messages from the stream at the start, and the fewest that do.
        intakes_max: up to how many are started when messages wait (docs/remediation.md); 0 is as many as `intakes`: a
            machine with two cores has none to spare for more.
    """

    address: str = "local"
    payment_shards: int = 2
    index_shards: int = 1
    intakes: int = 1
    intakes_max: int = 0

    @property
    def intakes_limit(self) -> int:
        """How many intakes there may be."""
        return self.intakes_max or self.intakes


class ShardSettings(Settings, frozen=True, kw_only=True):
    """Each of those that decide.

    Args:
        aggregates_max: how many aggregates it keeps in memory.
        snapshot_every: after how many events of one aggregate its state is kept beside them.
    """

    aggregates_max: int = 20_000
    snapshot_every: int = 100


Rerank = Literal["none", "repeats_last"]
Weights = Literal["fp32", "int8"]
Precision = Literal["fp32", "mixed", "int8"]


class IndexSettings(Settings, frozen=True, kw_only=True):
    """The tenants' directories.

    Args:
        tenants_open_max: how many tenants' files an index shard keeps open; each takes about eight open files.
        inspect_every_s: how often the indexes of open tenants are looked at for passages that they lost.
        rerank: whether what was found is put in another order: `repeats_last` puts what repeats a better passage last.
        precision: of the embedding model's weights. `mixed` reads passages with 32 bits, and questions with 8 in half
            the time; `int8` reads both with 8, `fp32` both with 32 (docs/answers.md). A change to `int8`, or from it,
            builds every tenant's index anew.
    """

    tenants_open_max: int = 100
    inspect_every_s: float = 3_600.0
    rerank: Rerank = "none"
    precision: Precision = "mixed"

    def __post_init__(self) -> None:
        """Raises `ValueError` if nothing could be open."""
        if self.tenants_open_max < 1 or not self.inspect_every_s > 0:
            raise ValueError("index: tenants_open_max: at least 1, and inspect_every_s: above 0")


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


class ComposerSettings(Settings, frozen=True, kw_only=True):
    """The language model that may word answers, for the tenants that want it: docs/answers.md.

    Args:
        url: an OpenAI-compatible API, e.g. `https://api.example.com/v1`. Empty: templates word every answer.
        key: its credential; empty sends none.
        model: the model's name there.
        timeout_s: how long an answer waits for it; then the templates word it.
        tokens_max: how long its text may be.
        input_price: what a million tokens cost that it reads, in the currency of `daily_cost_max`.
        output_price: what a million tokens cost that it writes.
        daily_cost_max: how much may be spent on one tenant in a day (UTC); above it the templates word its answers.
    """

    url: str = ""
    key: str = ""
    model: str = ""
    timeout_s: float = 8.0
    tokens_max: int = 400
    input_price: float = 0.0
    output_price: float = 0.0
    daily_cost_max: float = 1.0

    def __post_init__(self) -> None:
        """Raises `ValueError` with what to change if the settings could not work, or could cost without an end."""
        if self.url and not self.url.startswith(("https://", *LOCAL_URLS)):
            raise ValueError("composer.url: a key is sent over https:// alone, or to this machine")
        if self.url and not self.model:
            raise ValueError("composer.model: say which model words the answers")
        if not self.timeout_s > 0 or self.tokens_max < 1:
            raise ValueError("composer: timeout_s above 0, tokens_max at least 1")
        if min(self.input_price, self.output_price, self.daily_cost_max) < 0:
            raise ValueError("composer: prices and daily_cost_max are not below 0")


class EffectSettings(Settings, frozen=True, kw_only=True):
    """What is done in the world: calls to providers, notifications, replies.

    Args:
        at_once_max: how many effects are under way at once.
        tenant_at_once_max: how many of one tenant, so that none waits behind another's slow provider.
        timeout_s: how long one attempt may take.
        lease_s: how long a runner has an effect in hand; after a crash it is taken up again when this is over.
        retry_first_s: the longest pause after the first failed attempt; it doubles with each, and is drawn at random.
        retry_max_s: the longest pause.
        breaker_failures: after how many failures in a row a provider's account is left alone.
        breaker_open_s: for how long, until one effect tries it again.
    """

    at_once_max: int = 64
    tenant_at_once_max: int = 16
    timeout_s: float = 30.0
    lease_s: float = 60.0
    retry_first_s: float = 1.0
    retry_max_s: float = 300.0
    breaker_failures: int = 5
    breaker_open_s: float = 30.0

    def __post_init__(self) -> None:
        """Raises `ValueError` with what to change if the settings contradict each other."""
        if self.at_once_max < 1 or self.tenant_at_once_max < 1 or self.breaker_failures < 1:
            raise ValueError("effects: at_once_max, tenant_at_once_max and breaker_failures: at least 1")
        if not 0 < self.timeout_s < self.lease_s:
            raise ValueError("effects.lease_s: longer than timeout_s, or an effect is begun again while it runs")
        if not 0 < self.retry_first_s <= self.retry_max_s:
            raise ValueError("effects.retry_max_s: not below retry_first_s, and both above 0")


class TelemetrySettings(Settings, frozen=True, kw_only=True):
    """What is told about the work.

    Args:
        otlp_endpoint: turns tracing on, e.g. `http://127.0.0.1:4318/v1/traces`; empty keeps it off.
        log_level: `debug`, `info`, `warning` or `error`.
    """

    otlp_endpoint: str = ""
    log_level: str = "info"


class QuarantineSettings(Settings, frozen=True, kw_only=True):
    """What could not be taken in.

    Args:
        key_file: a file of lines of 64 hexadecimal digits (`openssl rand -hex 32`). With it, messages in quarantine
            are kept encrypted (AES-256-GCM): with the key of the first line, and read with any of them.
    """

    key_file: str = ""


class NodeSettings(Settings, frozen=True, kw_only=True):
    """The whole of `recount.toml`.

    Args:
        data: the directory of everything that this node writes.
        http: the gateway.
        nats: the bus.
        store: the log.
        ray: the processes that do the work.
        shard: each of those that decide.
        index: the tenants' directories.
        ask: answering.
        composer: the language model that may word answers.
        effects: what is done in the world.
        quarantine: what could not be taken in.
        telemetry: what is told about the work.
        slo: the objectives.
        prober: canary payments.
        remediation: what the node may do about its own troubles.
        scaling: when it starts an intake more, and when it ends that.
        tenants: by name.
    """

    data: str = "var"
    http: HttpSettings = HttpSettings()
    nats: NatsSettings = NatsSettings()
    store: StoreSettings = StoreSettings()
    ray: RaySettings = RaySettings()
    shard: ShardSettings = ShardSettings()
    index: IndexSettings = IndexSettings()
    ask: AskSettings = AskSettings()
    composer: ComposerSettings = ComposerSettings()
    effects: EffectSettings = EffectSettings()
    quarantine: QuarantineSettings = QuarantineSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    slo: SloSettings = SloSettings()
    prober: ProberSettings = ProberSettings()
    remediation: RemediationSettings = RemediationSettings()
    scaling: ScalingSettings = ScalingSettings()
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
        if not self.ray.intakes <= self.ray.intakes_limit <= ACTORS_MAX:
            raise ValueError(f"ray.intakes_max: 0, or intakes to {ACTORS_MAX}")
        if set(keys) & set(self.remediation.operator_keys):
            raise ValueError("remediation.operator_keys: an operator's key is no tenant's")
        if not self.composer.url and any(each.composer == "model" for each in self.tenants.values()):
            raise ValueError("composer.url: a tenant wants its answers worded by a model, and there is none")
        if self.store.url != "sqlite" and not self.store.url.startswith("postgresql://"):
            raise ValueError('store.url: "sqlite", or an address that begins with postgresql://')
        if self.shard.aggregates_max < BATCH_MAX:
            raise ValueError(f"shard.aggregates_max: at least {BATCH_MAX}, a batch must fit")
