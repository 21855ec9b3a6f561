"""The runbook of a lost volume, run as it is printed: how much is lost, and how long it takes, is measured."""

import logging
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.stack.provider import Provider
from tests.stack.stack import Stack
from tests.stack.traffic import assert_nothing_lost_and_nothing_twice, traffic
from tests.tidy.source import ROOT

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

TENANT = "acme"
RTO_MAX_S = 60.0
STEPS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "runbooks" / "restore.md").read_text(), re.DOTALL)
BACK_UP, PUT_ASIDE, BRING, TELL_AGAIN = STEPS

figures = logging.getLogger("restore")  # pytest -o log_cli=true --log-cli-level=INFO


def run(step: str, stack: Stack) -> None:
    """The commands of a step, as an operator gives them beside the node's directory."""
    program = stack.data.parent / "bin" / "recount"
    if not program.exists():
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m simulations "$@"\n')
        program.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECOUNT_")}
    environment |= {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-e", "-c", step], cwd=stack.data.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{step}: {done.stderr}"


def send(stack: Stack, webhooks: list[bytes]) -> None:
    with Provider(stack, TENANT, webhooks):
        pass
    stack.drained()


def ask(stack: Stack, question: str) -> str:
    answer_id: str = stack.client(TENANT).post(f"/v1/{TENANT}/ask", json={"question": question}).json()["answer_id"]
    return answer_id


def knows(stack: Stack, answer_id: str) -> bool:
    return stack.client(TENANT).get(f"/v1/{TENANT}/answers/{answer_id}").is_success


def restored(stack: Stack, *steps: str) -> None:
    """The volume is lost, and the node comes back; all is visible in time."""
    stack.kill()
    shutil.rmtree(stack.data.parent / "var-lost", ignore_errors=True)
    began_s = time.monotonic()
    for step in (PUT_ASIDE, *steps):
        run(step, stack)
    stack.start()
    stack.drained()
    took_s = time.monotonic() - began_s
    figures.info("visible_s %.1f", took_s)
    assert took_s < RTO_MAX_S


def test_what_is_left_after_a_loss_is_all_back_within_a_minute(tmp_path: Path) -> None:
    expected = traffic(seed=77, payments=180)
    half = len(expected.webhooks) // 2
    payment_id = next(iter(expected.truth))
    with Stack(tmp_path, [TENANT]) as stack:
        send(stack, expected.webhooks[:half])
        before = ask(stack, f"What happened to {payment_id}?")
        run(BACK_UP, stack)
        send(stack, expected.webhooks[half:])
        after = ask(stack, f"Was {payment_id} charged twice?")

        # A copy and the stream.
        restored(stack, BRING, TELL_AGAIN)
        assert_nothing_lost_and_nothing_twice(stack, TENANT, expected)
        assert (knows(stack, before), knows(stack, after)) == (True, False)

        # The stream alone.
        restored(stack, TELL_AGAIN)
        assert_nothing_lost_and_nothing_twice(stack, TENANT, expected)
        assert not knows(stack, before)

        # A copy alone: what came after it is told again by the provider.
        restored(stack, BRING)
        assert knows(stack, before)
        assert len(stack.payments(TENANT)) < len(expected.truth)
        send(stack, expected.webhooks)
        assert_nothing_lost_and_nothing_twice(stack, TENANT, expected)
