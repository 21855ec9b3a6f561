"""The incident's own stream in the node's log: what is noticed, done and checked is told there as it happens."""

from domain.codec import Submission
from domain.errors import RetryableError, TerminalError
from domain.ids import StreamId, stream_id
from domain.incident import (
    AcknowledgeIncident,
    ActionOutcome,
    DeclareIncident,
    Impact,
    IncidentCommand,
    RecordAction,
    RecordImpact,
    RecordIncidentCheck,
    ResolveIncident,
    Signal,
)
from domain.message import Accepted, Failed, Rejected, Trace
from gateway.node import Node


class IncidentLog:
    """Writes one incident's stream.

    Args:
        node: its payment shards host the stream.
        tenant: whose incident.
        incident_id: its name.
    """

    def __init__(self, node: Node, tenant: str, incident_id: str) -> None:
        self._node = node
        self.incident_id = incident_id
        self.stream: StreamId = stream_id("incident", tenant, incident_id)
        self.noticed: dict[tuple[str, str], Signal] = {}

    async def notice(self, signal: Signal) -> None:
        """Note a signal, each watch and subject once; the first declares the incident."""
        if (signal.watch, signal.subject) in self.noticed:
            return
        await self._tell(DeclareIncident(severity="sev2", signal=signal))
        self.noticed[signal.watch, signal.subject] = signal

    async def acknowledge(self, by: str) -> None:
        await self._tell(AcknowledgeIncident(by=by))

    async def measured(self, impact: Impact) -> None:
        await self._tell(RecordImpact(impact=impact))

    async def acted(
        self, action: str, subject: str, outcome: ActionOutcome, detail: str = "", *, by: str = "automation"
    ) -> None:
        await self._tell(RecordAction(action=action, subject=subject, outcome=outcome, detail=detail, by=by))

    async def checked(self, check: str, *, is_passed: bool, detail: str = "") -> None:
        await self._tell(RecordIncidentCheck(check=check, is_passed=is_passed, detail=detail))

    async def resolve(self, detail: str) -> None:
        """Raises `TerminalError` while a check has not passed."""
        await self._tell(ResolveIncident(detail=detail))

    async def _tell(self, command: IncidentCommand) -> int:
        """Returns the log position, 0 if it was known. Raises `RetryableError` or `TerminalError`."""
        submission = Submission(
            stream=self.stream, command=command, trace=Trace(correlation_id=f"incident-{self.incident_id}")
        )
        [reply] = await self._node.payments.submit([submission])
        match reply:
            case Accepted(position=position):
                return position
            case Rejected(code=code, detail=detail):
                raise TerminalError(f"{code}: {detail}")
            case Failed(reason=reason):
                raise RetryableError(reason)
        return 0
