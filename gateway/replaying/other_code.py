"""The same history under another version of the program: which payments and which answers come out otherwise.

The other version is checked out into a place of its own (`git worktree`) and run in a process of its own, so that
nothing of it is imported here. It gets a history, and gives views; no part of it that acts is started.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

import gateway.replaying.refolding as script_module
from domain.answer import STATED_FIELDS, AnswerGiven
from domain.codec import tag_of
from domain.errors import TerminalError
from gateway.replaying.history import FILE, PAGE, History, Show, unseen
from gateway.replaying.processes import Tell

ROOT = Path(__file__).resolve().parents[2]
# What the fold is made of besides our own modules: another pin of one of these is another environment.
PACKAGES = ("msgspec", "opentelemetry-api", "opentelemetry-sdk", "typing-extensions", "structlog")
SHOWN_MAX = 20
TIMEOUT_S = 3_600.0
_PIN_RE = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)$", re.MULTILINE)

Say = Callable[[str], None]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a served answer stated: a payment, as of when, and known up to which position."""

    answer_id: str
    tenant: str
    payment_id: str
    as_of: datetime
    known_at: int


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A payment, or a payment that an answer stated, and each field that differs: (there, here)."""

    tenant: str
    payment_id: str
    fields: dict[str, tuple[Any, Any]]
    answer_id: str = ""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What two versions make of one history.

    Args:
        revision: the other version's commit.
        payments: how many were compared.
        statements: how many payments that answers stated, as of the time of answering.
        differing_payments: those that come out otherwise.
        differing_answers: those that would have stated something else.
        only_there: fields of a payment that only the other version has; they are not compared.
        only_here: those that only this one has.
        unreadable: events that only one of the two can read, by position.
    """

    revision: str
    payments: int
    statements: int
    differing_payments: list[Difference]
    differing_answers: list[Difference]
    only_there: list[str]
    only_here: list[str]
    unreadable: list[int]

    @property
    def is_different(self) -> bool:
        return bool(self.differing_payments or self.differing_answers or self.unreadable)

    def in_words(self) -> str:
        """A line for each difference, at most `SHOWN_MAX` of each kind."""
        answers = len({each.answer_id for each in self.differing_answers})
        lines = [
            f"{self.payments} payments compared with {self.revision[:12]}: {len(self.differing_payments)} differ",
            *_listed(self.differing_payments),
            f"{self.statements} statements of answers compared: {answers} answers differ",
            *_listed(self.differing_answers),
        ]
        if self.unreadable:
            lines.append(
                f"events that only one of the two can read: {', '.join(map(str, self.unreadable[:SHOWN_MAX]))}"
            )
        for names, where in ((self.only_there, "that version"), (self.only_here, "this version")):
            if names:
                lines.append(f"not compared, because only {where} has them: {', '.join(names)}")
        return "\n".join(lines)


def _listed(differences: list[Difference]) -> Iterator[str]:
    for each in differences[:SHOWN_MAX]:
        of = f"answer {each.answer_id}, " if each.answer_id else ""
        fields = "; ".join(f"{name}: {there} there, {here} here" for name, (there, here) in each.fields.items())
        yield f"  {each.tenant}: {of}payment {each.payment_id}: {fields}"
    if len(differences) > SHOWN_MAX:
        yield f"  and {len(differences) - SHOWN_MAX} more; --json has them all"


def compare_code(
    directory: Path,
    revision: str,
    *,
    python: Path | None = None,
    root: Path = ROOT,
    say: Say = lambda words: None,
    show: Show = unseen,
) -> Comparison:
    """Fold the history in `directory` under a git revision of the program, and under this version.

    Args:
        directory: a replay.
        revision: anything that git understands.
        python: an interpreter that has that version's packages; without it, this one if that version's lock pins the
            same, else one that is made with the pins of that lock.
        root: the program's git repository.
        say: told in words what is done.
        show: told how far it is.

    Raises:
        TerminalError: there is no such revision, or it cannot fold the history.
    """
    work = directory / "code"
    work.mkdir(exist_ok=True)
    script = work / "refold.py"
    shutil.copyfile(str(script_module.__file__), script)
    questions = work / "questions.jsonl"
    head, statements = _write_questions(directory, questions)
    with _checked_out(root, revision, work / "tree") as (tree, commit):
        say(f"{revision} is {commit[:12]}, checked out in {tree}")
        interpreter = python or _interpreter(tree, root, work, say)
        there = _refold(interpreter, tree, script, directory, work, "there", lambda at: show("folding there", at, head))
    here = _refold(
        Path(sys.executable), ROOT, script, directory, work, "here", lambda at: show("folding here", at, head)
    )
    return _compare(commit, there, here, statements)


def _write_questions(directory: Path, file: Path) -> tuple[int, int]:
    """What every answer in the history stated; returns the history's end and how many statements there are."""
    count = position = 0
    with closing(History(directory)) as history, file.open("wb") as out:
        head = history.head()
        while position < head:
            page = history.read(position, limit=PAGE, topics=(tag_of(AnswerGiven),))
            for entry in page.entries:
                event = entry.envelope().event
                assert isinstance(event, AnswerGiven), f"{entry.topic} is no answer"
                record = event.record
                for said in record.stated:
                    count += 1
                    asked = Question(
                        answer_id=record.answer_id,
                        tenant=entry.tenant,
                        payment_id=said.payment_id,
                        as_of=record.as_of,
                        # What is older has no basis, and its own position may be a moment later than what it knew.
                        known_at=record.basis.known_to or record.position,
                    )
                    out.write(msgspec.json.encode(asked) + b"\n")
            position = page.position
    return head, count


@contextmanager
def _checked_out(root: Path, revision: str, tree: Path) -> Iterator[tuple[Path, str]]:
    commit = _git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").strip()
    _git(root, "worktree", "add", "--detach", "--force", str(tree), commit)
    try:
        yield tree, commit
    finally:
        _git(root, "worktree", "remove", "--force", str(tree))


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]  # Found on the path, as every tool of a developer is.
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise TerminalError(f"git cannot be run: {error}; --code needs it, and Recount's own repository") from error
    if done.returncode:
        said = done.stderr.strip() or f"there is no such revision in {root}"
        raise TerminalError(f"git {arguments[0]}: {said}")
    return done.stdout


def _interpreter(tree: Path, root: Path, work: Path, say: Say) -> Path:
    """This interpreter, if the other version pins the same of what the fold is made of; else one that is made."""
    name = f"requirements/{sys.version_info.major}.{sys.version_info.minor}.lock"
    wanted, have = _pins(tree / name), _pins(root / name)
    if not wanted:
        raise TerminalError(f"that version has no {name}; name an interpreter that has its packages with --python")
    if wanted == have:
        say("its lock pins what this version's does: run with this interpreter")
        return Path(sys.executable)
    pins = [f"{package}=={version}" for package, version in wanted.items()]
    say(f"its lock differs in what the fold is made of: making an environment with {' '.join(pins)}")
    environment = work / "environment"
    _run([sys.executable, "-m", "venv", str(environment)], "the environment cannot be made")
    made = environment / "bin" / "python"
    _run([str(made), "-m", "pip", "install", "--quiet", *pins], "its packages cannot be installed")
    return made


def _pins(lock: Path) -> Mapping[str, str]:
    """What a lock pins of the packages that the fold is made of."""
    if not lock.exists():
        return {}
    pins = dict(_PIN_RE.findall(lock.read_text()))
    return {package: pins[package] for package in PACKAGES if package in pins}


def _run(command: list[str], failure: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    if done.returncode:
        raise TerminalError(f"{failure}: {_last_line(done.stderr)}; name one with --python")


def _refold(
    interpreter: Path, tree: Path, script: Path, directory: Path, work: Path, name: str, tell: Tell
) -> list[dict[str, Any]]:
    """Run the script on a version's modules; what it wrote."""
    outcome, views = work / f"{name}.jsonl", work / name
    # Without -P the script's own directory would come first on the path, and with -s no one's own packages are found.
    command = [interpreter, "-P", "-s", script, directory / FILE, views, work / "questions.jsonl", outcome]
    errors = work / f"{name}.errors"
    with (
        errors.open("w") as said,
        subprocess.Popen(
            [str(each) for each in command],
            cwd=work,
            env={"PATH": os.defpath, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None, "it is a pipe"
        for line in process.stdout:
            if line.strip().isdigit():
                tell(int(line))
    if process.returncode:
        raise TerminalError(f"the version in {tree} cannot fold the history: {_last_line(errors.read_text())}")
    shutil.rmtree(views, ignore_errors=True)
    return [msgspec.json.decode(line) for line in outcome.read_bytes().splitlines()]


def _last_line(said: str) -> str:
    return (said.strip().splitlines() or ["it said nothing"])[-1]


def _compare(commit: str, there: list[dict[str, Any]], here: list[dict[str, Any]], statements: int) -> Comparison:
    names_there, names_here = _names(there), _names(here)
    common = names_there & names_here
    by_key = [{_key(line): line["view"] for line in lines} for lines in (there, here)]
    payments: list[Difference] = []
    answers: list[Difference] = []
    compared = 0
    for key in sorted(by_key[0].keys() | by_key[1].keys()):
        kind, tenant, payment_id, answer_id = key
        if kind == "parked":
            continue
        compared += kind == "payment"
        fields = common & {*STATED_FIELDS} if kind == "answer" else common - {"position"}
        found = _fields(by_key[0].get(key), by_key[1].get(key), fields)
        if found:
            differing = Difference(tenant=tenant, payment_id=payment_id, answer_id=answer_id, fields=found)
            (answers if kind == "answer" else payments).append(differing)
    parked = [{int(line["id"]) for line in lines if line["kind"] == "parked"} for lines in (there, here)]
    return Comparison(
        revision=commit,
        payments=compared,
        statements=statements,
        differing_payments=payments,
        differing_answers=answers,
        only_there=sorted(names_there - names_here) if names_here else [],
        only_here=sorted(names_here - names_there) if names_there else [],
        unreadable=sorted(parked[0] ^ parked[1]),
    )


def _key(line: dict[str, Any]) -> tuple[str, str, str, str]:
    if line["kind"] == "answer":
        return "answer", line["tenant"], line["stated"], line["id"]
    return line["kind"], line["tenant"], line["id"], ""


def _names(lines: list[dict[str, Any]]) -> set[str]:
    return {name for line in lines if line["view"] is not None for name in line["view"]}


def _fields(there: Any, here: Any, names: set[str]) -> dict[str, tuple[Any, Any]]:  # noqa: ANN401 - views as JSON
    """What differs of two views; all that one has, if the other has none."""
    if there is None and here is None:
        return {}
    before, after = there or {}, here or {}
    return {name: (before.get(name), after.get(name)) for name in sorted(names) if before.get(name) != after.get(name)}
