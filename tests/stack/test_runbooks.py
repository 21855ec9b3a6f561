"""The commands that the runbooks print are run as they stand there, on a node that is well: each does what it says."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import httpx
import pytest

from tests.stack.stack import OPERATOR_KEY, Stack, api_key, until
from tests.tidy.source import ROOT

pytestmark = pytest.mark.stack

# The one about a lost volume is test_restore.py's.
PAGES = sorted({*(ROOT / "docs" / "runbooks").glob("*.md"), ROOT / "docs" / "remediation.md"})
PAGES.remove(ROOT / "docs" / "runbooks" / "restore.md")
BLOCK_RE = re.compile(r"```sh\n(.*?)```", re.DOTALL)
# What is not run here, by how it begins, and why.
NOT_RUN = {
    "rm ": "it takes the node's files, which is for a node that has ended",
    "recount rebuild": "a build takes its time; test_promotion.py has one",
    "recount remediation begin rebuild-generation": "the same",
    "recount remediation begin start-intake": "this node may have one; test_scaling.py has two",
    "recount remediation approve": "it names a run that waits; test_remediating.py has one",
    "recount remediation decline": "the same",
    "recount quarantine show": "it names an entry",
    "recount quarantine requeue acme ENTRY": "it names an entry",
}
PROGRAMS = {"recount": [sys.executable, "-m", "simulations"]}


def commands() -> list[str]:
    """Every line of shell in the runbooks, without its comment, once."""
    lines = (line for page in PAGES for block in BLOCK_RE.findall(page.read_text()) for line in block.splitlines())
    found = dict.fromkeys(line.split(" #")[0].strip() for line in lines)
    return [line for line in found if line]


def run(line: str, stack: Stack) -> str:
    """What the command says; it must end well."""
    program, *arguments = shlex.split(line)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECOUNT_")}
    environment |= {
        "RECOUNT_GATEWAY": stack.url,
        "RECOUNT_API_KEY": api_key("acme"),
        "RECOUNT_OPERATOR_KEY": OPERATOR_KEY,
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [*PROGRAMS.get(program, [program]), *arguments],
        capture_output=True,
        text=True,
        # As for an operator, the node's directory is `var` where the command is given.
        cwd=stack.data.parent,
        env=environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{line}: {done.stderr}"
    return done.stdout


def test_the_commands_of_the_runbooks_work_as_they_are_printed(stack: Stack) -> None:
    asked = commands()
    assert all(any(line.startswith(each) for line in asked) for each in NOT_RUN), "a reason for what nobody prints"
    to_run = [line for line in asked if not line.startswith(tuple(NOT_RUN))]
    stack.client("acme").post("/v1/acme/ask", json={"question": "Where is my refund?"})  # Its files are there.
    missing = {program for line in to_run if shutil.which(program := line.split()[0]) is None} - PROGRAMS.keys()
    said = {line: run(line, stack) for line in to_run if line.split()[0] not in missing}

    assert len(said) >= 6
    assert "broker-deaf" in said["recount remediation list"]
    begun = next(words for line, words in said.items() if line.startswith("recount remediation begin pause-source"))
    assert json.loads(begun)["run"]["trigger"] == "it sends another merchant's events"
    until(lambda: _outcome(stack, "pause-source") == "recovered", "the step is taken")


def _outcome(stack: Stack, runbook: str) -> str | None:
    found = httpx.get(f"{stack.url}/v1/remediation", headers={"Authorization": f"Bearer {OPERATOR_KEY}"}).json()
    outcome: str | None = next(each["outcome"] for each in found["runbooks"] if each["runbook"] == runbook)
    return outcome


@pytest.mark.parametrize("key", ["", api_key("acme")])
def test_only_an_operator_sees_and_begins_what_is_done_about_the_node(key: str, stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    wish = {"reason": "why not", "targets": ["acme/stripe"]}

    assert httpx.get(f"{stack.url}/v1/remediation", headers=headers).status_code == 401
    begun = httpx.post(f"{stack.url}/v1/remediation/pause-source/begin", headers=headers, json=wish)
    assert (begun.status_code, begun.json()["code"]) == (401, "operator.missing")


def test_a_runbook_that_is_not_there_cannot_be_begun(stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
    begun = httpx.post(f"{stack.url}/v1/remediation/reboot/begin", headers=headers, json={"reason": "why not"})

    assert (begun.status_code, begun.json()["code"]) == (404, "remediation.unknown")
