"""The settings of one tenant: who may send, how much, what is kept, and what is done about its payments."""

from typing import Literal

from domain.effects import ATTEMPTS_MAX
from domain.mapping_settings import MappingSettings
from domain.payment_policy import OnLateSuccess, OnTimeout
from domain.polling import LOCAL_URLS, PollSettings
from domain.settings_base import Settings


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
