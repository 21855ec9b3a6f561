"""Every setting, its default and its limits. Read once at the edge (`gateway.bootstrap`), passed on as values."""

from typing import Literal

import msgspec

from domain.effects import ATTEMPTS_MAX
from domain.ids import SOURCE_RE, TENANT_RE
from domain.mapping_settings import MappingSettings
from domain.payment_policy import OnLateSuccess, OnTimeout
from domain.polling import LOCAL_URLS, PollSettings
from domain.watch_settings import ProberSettings, RemediationSettings, SloSettings

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


Rerank = Literal["none", "repeats_last"]


class IndexSettings(Settings, frozen=True, kw_only=True):
    """The tenants' directories.

    Args:
        tenants_open_max: how many tenants' files an index shard keeps open; each takes about eight open files.
        inspect_every_s: how often the indexes of open tenants are looked at for passages that they lost.
        rerank: whether what was found is put in another order: `repeats_last` puts what repeats a better passage last.
    """

    tenants_open_max: int = 100
    inspect_every_s: float = 3_600.0
    rerank: Rerank = "none"

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


class ApiSettings(Settings, frozen=True, kw_only=True):
    """The API of a provider, through which effects are performed: docs/saga.md.

    Args:
        key: the credential: a restricted key that may read, cancel and refund (Stripe), an access token (Zalo).
        url: where the API is; empty is the provider's own.
    """

    key: str
    url: str = ""

    def __post_init__(self) -> None:
        """Raises `ValueError` for a URL over which no credential is sent."""
        if self.url and not self.url.startswith(("https://", *LOCAL_URLS)):
            raise ValueError("api.url: a key is sent over https:// alone, or to this machine")


class NotifySettings(Settings, frozen=True, kw_only=True):
    """The tenant's own endpoint, to which notifications are posted as Standard Webhooks: docs/saga.md.

    Args:
        url: where.
        secrets: what signs them (`whsec_...`); several while one is being replaced.
    """

    url: str
    secrets: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises `ValueError` with what to change if nobody could check where a notification comes from."""
        if not self.url.startswith(("https://", *LOCAL_URLS)):
            raise ValueError("notify.url: it begins with https://, or is on this machine")
        if not self.secrets or not all(secret.startswith("whsec_") for secret in self.secrets):
            raise ValueError("notify.secrets: at least one, and each begins with whsec_")


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
        api: the API of the provider, if payments are read, canceled and refunded there.
    """

    kind: str = ""
    secrets: tuple[str, ...] = ()
    tolerance_s: int = 300
    options: dict[str, str] = {}
    mapping: MappingSettings | None = None
    limits: LimitSettings | None = None
    poll: PollSettings | None = None
    api: ApiSettings | None = None


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


CorrectionWay = Literal["none", "notify", "reply"]
ComposedBy = Literal["templates", "model"]


ATTEMPTS_LIMIT = 50


class PolicySettings(Settings, frozen=True, kw_only=True):
    """What is done about a payment that a tenant started and that is not confirmed in time: docs/saga.md.

    Args:
        deadline_s: how long a payment may take, unless whoever starts it says.
        on_timeout: `wait` (ask the provider again later), `cancel` (end the payment), `void` (release what is
            authorized, else end it) or `refund` (leave it open, and return whatever is captured after the deadline).
        on_late_success: of money captured after a cancel or void began: `refund`, `keep` or `escalate`.
        wait_s: how long until the provider is asked again, under `wait` and `refund`.
        waits_max: how often, before a person is asked.
        attempts_max: how often one effect is tried before it is given up.
    """

    deadline_s: float = 900.0
    on_timeout: OnTimeout = "wait"
    on_late_success: OnLateSuccess = "refund"
    wait_s: float = 3_600.0
    waits_max: int = 24
    attempts_max: int = ATTEMPTS_MAX

    def __post_init__(self) -> None:
        """Raises `ValueError` with what to change if a payment could wait for ever, or for nothing."""
        if not self.deadline_s > 0 or not self.wait_s > 0 or self.waits_max < 0:
            raise ValueError("policy: deadline_s and wait_s above 0, waits_max not below 0")
        if not 1 <= self.attempts_max <= ATTEMPTS_LIMIT:
            raise ValueError(f"policy.attempts_max: 1 to {ATTEMPTS_LIMIT}")


class TenantSettings(Settings, frozen=True, kw_only=True):
    """One tenant.

    Args:
        api_keys: bearer credentials. Each belongs to one tenant.
        sources: its providers, by name.
        privacy: what is taken out of its free text.
        limits: how much is taken of it, over HTTP and from the stream alike.
        policy: what is done about a payment that is not confirmed in time.
        notify: where the tenant is told of what happened, if anywhere.
        corrections: who is told of an answer that was wrong when it was given: `none` (it is listed), `notify` (the
            tenant's own endpoint) or `reply` (the chat in which it was given; the endpoint, if there is one, where it
            was in none or may not be written to any more): docs/corrections.md.
        composer: what words its answers: `templates`, or the `model` of `[composer]`, which then is told the question
            and what is answered, without personal data.
        time_zone: where the days of its customers begin and end, by its IANA name.
    """

    api_keys: tuple[str, ...] = ()
    sources: dict[str, SourceSettings] = {}
    privacy: PrivacySettings = PrivacySettings()
    limits: LimitSettings = LimitSettings()
    policy: PolicySettings = PolicySettings()
    notify: NotifySettings | None = None
    corrections: CorrectionWay = "none"
    composer: ComposedBy = "templates"
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        """Raises `ValueError` if the merchant is to be told, and nobody knows where."""
        if self.corrections == "notify" and self.notify is None:
            raise ValueError('corrections = "notify" needs the tenant\'s notify.url and notify.secrets')


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
        if set(keys) & set(self.remediation.operator_keys):
            raise ValueError("remediation.operator_keys: an operator's key is no tenant's")
        if not self.composer.url and any(each.composer == "model" for each in self.tenants.values()):
            raise ValueError("composer.url: a tenant wants its answers worded by a model, and there is none")
        if self.store.url != "sqlite" and not self.store.url.startswith("postgresql://"):
            raise ValueError('store.url: "sqlite", or an address that begins with postgresql://')
        if self.shard.aggregates_max < BATCH_MAX:
            raise ValueError(f"shard.aggregates_max: at least {BATCH_MAX}, a batch must fit")
