"""Experiment files: the Chaos Toolkit's format, with what it has no word for under `extensions`.

https://chaostoolkit.org/reference/api/experiment/. What this version does not understand is refused, not passed over.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec

from domain.errors import TerminalError
from simulations.chaos.scoring import Kind

INJECT_MODULE = "simulations.chaos.inject"
EXTENSION = "recount"

Invariant = Literal["accepted_kept", "views_refold", "nothing_twice", "tenants_apart"]


class PythonProvider(msgspec.Struct, frozen=True, kw_only=True, tag="python", forbid_unknown_fields=True):
    """Calls a function; of the module `simulations.chaos.inject` it injects a fault."""

    module: str
    func: str
    arguments: dict[str, Any] = {}
    secrets: list[str] = []


class HttpProvider(msgspec.Struct, frozen=True, kw_only=True, tag="http", forbid_unknown_fields=True):
    """Sends a request. `timeout` is in seconds, one number or a pair of which the second is used."""

    url: str
    method: str = "GET"
    headers: dict[str, str] = {}
    arguments: dict[str, Any] = {}
    expected_status: int | None = None
    timeout: float | tuple[float, float] = 30.0


class ProcessProvider(msgspec.Struct, frozen=True, kw_only=True, tag="process", forbid_unknown_fields=True):
    """Runs a program."""

    path: str
    arguments: str | list[str] | dict[str, str] = []
    timeout: float | None = None


Provider = PythonProvider | HttpProvider | ProcessProvider


class Pauses(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds to wait around an activity."""

    before: float = 0.0
    after: float = 0.0


class Activity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A probe or an action. `tolerance` says what a probe of the steady state may find."""

    type: Literal["probe", "action"]
    name: str
    provider: Provider
    tolerance: Any = None
    pauses: Pauses = Pauses()
    background: bool = False

    @property
    def is_fault(self) -> bool:
        """Whether it injects one of our faults."""
        return isinstance(self.provider, PythonProvider) and self.provider.module == INJECT_MODULE


class Hypothesis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The steady state."""

    title: str
    probes: list[Activity] = []


class TargetSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The node that is made to suffer.

    Args:
        kind: `node` (one is started for the experiment) or `none` (the activities know what they touch).
        store: where its log is.
        links: which of its connections can be cut, slow and lossy.
        volume: the part of its data on a small file system of its own, which can be filled: `nats`, `tenants` or `.`.
        volume_bytes: how large that is.
        is_shimmed: its system calls can be made to fail, and its clock be set.
    """

    kind: Literal["node", "none"] = "node"
    store: Literal["sqlite", "postgresql"] = "sqlite"
    links: frozenset[Literal["bus", "database", "client"]] = frozenset()
    volume: str = ""
    volume_bytes: int = 192 * 1024**2
    is_shimmed: bool = False


class Workload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of it meanwhile. `slow_s`: what takes longer is badly done."""

    payments: int = 400
    webhooks_per_s: float = 30.0
    questions_per_s: float = 6.0
    slow_s: float = 1.0


class AbortIf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an experiment goes too far for the machine that it runs on. 0 does not look.

    Args:
        free_disk_bytes_below: of the file system with the node's data.
        free_memory_bytes_below: available memory of the machine.
        load_above: processes that wait for a processor, over a minute.
        lasts_s_above: since the injection.
    """

    free_disk_bytes_below: int = 1024**3
    free_memory_bytes_below: int = 512 * 1024**2
    load_above: float = 0.0
    lasts_s_above: float = 180.0


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the Chaos Toolkit has no word for.

    Args:
        name: `recount`: whose extension this is.
        kind: the kind of fault.
        weight: 1 to 10, how much it counts.
        trials: how often.
        seed: of the workload; each trial has the next one.
        target: on what.
        workload: under what.
        settle_s: how long all must be well before.
        recovery_s: how long the way back may take.
        recovery_max_s: after which it is given up.
        bad_share_max: of all operations from injection to recovery, how many may be bad.
        detected_by: any of these has to notice: `part:NAME` (not ready), `event:NAME` (a log line), `alert:OBJECTIVE`.
        runbook: and this one has to run, if any has to.
        detect_s: how soon.
        invariants: what must hold afterwards.
        abort_if: when it goes too far.
    """

    name: Literal["recount"] = "recount"
    kind: Kind = "process"
    weight: float = 5.0
    trials: int = 1
    seed: int = 1
    target: TargetSpec = TargetSpec()
    workload: Workload = Workload()
    settle_s: float = 3.0
    recovery_s: float = 10.0
    recovery_max_s: float = 60.0
    bad_share_max: float = 0.5
    detected_by: list[str] = []
    runbook: str = ""
    detect_s: float = 10.0
    invariants: tuple[Invariant, ...] = ("accepted_kept", "views_refold", "nothing_twice", "tenants_apart")
    abort_if: AbortIf = AbortIf()

    def __post_init__(self) -> None:
        """Raises `ValueError` with what to change."""
        if not 1 <= self.weight <= 10 or self.trials < 1 or not 0 < self.bad_share_max <= 1:
            raise ValueError("weight 1 to 10, trials at least 1, bad_share_max above 0 and at most 1")
        if any(not each.startswith(("part:", "event:", "alert:")) for each in self.detected_by):
            raise ValueError("detected_by: each begins with part:, event: or alert:")


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment."""

    name: str
    title: str
    description: str
    hypothesis: Hypothesis
    method: list[Activity]
    rollbacks: list[Activity]
    terms: Terms
    tags: list[str]


class _File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """The file. `configuration`, `secrets` and `controls` are refused: nothing here would do what they say."""

    title: str
    description: str
    method: list[Activity]
    steady_state_hypothesis: Hypothesis | None = None
    version: str = "1.0.0"
    rollbacks: list[Activity] = []
    tags: list[str] = []
    contributions: dict[str, str] = {}
    extensions: list[dict[str, Any]] = []


def read_experiment(path: Path) -> Experiment:
    """The experiment in a file. Raises `TerminalError` with the file and what does not fit."""
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
        ours = [each for each in file.extensions if each.get("name") == EXTENSION]
        terms = msgspec.convert(ours[0], Terms) if ours else Terms(target=TargetSpec(kind="none"))
    except OSError as error:
        raise TerminalError(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise TerminalError(f"{path}: {error}") from error
    if not file.method:
        raise TerminalError(f"{path}: the method has nothing to do")
    hypothesis = file.steady_state_hypothesis or Hypothesis(title="")
    for probe in hypothesis.probes:
        if probe.tolerance is None:
            raise TerminalError(f"{path}: the probe {probe.name!r} of the steady state needs a tolerance")
    if sum(each.is_fault for each in file.method) > 1 and terms.target.kind == "node":
        raise TerminalError(f"{path}: one fault per experiment; what two did could not be told apart")
    return Experiment(
        name=path.stem,
        title=file.title,
        description=file.description,
        hypothesis=hypothesis,
        method=file.method,
        rollbacks=file.rollbacks,
        terms=terms,
        tags=file.tags,
    )
