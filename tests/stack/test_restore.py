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
from tests.stack.traffic import Expected, assert_nothing_lost_and_nothing_twice, traffic
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


class Lost:
    """A node that took webhooks, was copied, took more, and was killed; its answers before and after the copy."""

    def __init__(self, stack: Stack, expected: Expected) -> None:
        half = len(expected.webhooks) // 2
        send(stack, expected.webhooks[:half])
        payment_id = next(iter(expected.truth))
        self.before = ask(stack, f"What happened to {payment_id}?")
        run(BACK_UP, stack)
        send(stack, expected.webhooks[half:])
        self.after = ask(stack, f"Was {payment_id} charged twice?")
        stack.kill()


def restored(stack: Stack, *steps: str) -> float:
    """After how many seconds all is visible again."""
    began_s = time.monotonic()
    for step in (PUT_ASIDE, *steps):
        run(step, stack)
    stack.start()
    started_s = time.monotonic() - began_s
    stack.drained()
    took_s = time.monotonic() - began_s
    figures.info("started_s %.1f, visible_s %.1f", started_s, took_s)
    assert took_s < RTO_MAX_S
    return took_s


@pytest.fixture
def expected() -> Expected:
    return traffic(seed=77, payments=180)


def test_with_a_copy_and_the_stream_no_webhook_is_lost(tmp_path: Path, expected: Expected) -> None:
    with Stack(tmp_path, [TENANT]) as stack:
        lost = Lost(stack, expected)

        restored(stack, BRING, TELL_AGAIN)

        assert_nothing_lost_and_nothing_twice(stack, TENANT, expected)
        assert knows(stack, lost.before)
        assert not knows(stack, lost.after)


def test_with_a_copy_alone_what_came_after_it_is_told_again_by_the_provider(tmp_path: Path, expected: Expected) -> None:
    with Stack(tmp_path, [TENANT]) as stack:
        lost = Lost(stack, expected)

        restored(stack, BRING)

        assert len(stack.payments(TENANT)) < len(expected.truth)
        send(stack, expected.webhooks)
        assert_nothing_lost_and_nothing_twice(stack, TENANT, expected)
        assert knows(stack, lost.before)


def test_with_the_stream_alone_no_webhook_is_lost(tmp_path: Path, expected: Expected) -> None:
    with Stack(tmp_path, [TENANT]) as stack:
        lost = Lost(stack, expected)
        shutil.rmtree(stack.data.parent / "backup")

        restored(stack, TELL_AGAIN)

        assert_nothing_lost_and_nothing_twice(stack, TENANT, expected)
        assert not knows(stack, lost.before)
