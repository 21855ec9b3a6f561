"""The commands as a person uses them: data on standard output, one clear line and a status for an error."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.sources.examples import charge, event, intent
from tests.stack.stack import Stack, api_key

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

TENANT = "shell"


def recount(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RECOUNT_")}
    return subprocess.run(
        [sys.executable, "-m", "simulations", *map(str, arguments)],
        env={**kept, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def at(stack: Stack) -> dict[str, str]:
    return {"RECOUNT_GATEWAY": stack.url, "RECOUNT_API_KEY": api_key(TENANT)}


def assert_one_line_error(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 1, result
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("recount: ")
    for word in words:
        assert word in lines[0]


def test_files_are_submitted_and_asked_about(stack: Stack, tmp_path: Path) -> None:
    whole, lines = tmp_path / "one.json", tmp_path / "many.jsonl"
    whole.write_bytes(event("payment_intent.succeeded", intent(id="pi_shell1"), id="evt_shell1"))
    lines.write_bytes(
        event("payment_intent.succeeded", intent(id="pi_shell2"), id="evt_shell2")
        + b"\n\n"
        + event("payment_intent.canceled", intent(id="pi_shell3", status="canceled"), id="evt_shell3")
        + b"\n"
    )

    submitted = recount("submit", TENANT, "stripe", whole, lines, "--nats", stack.nats_url)
    assert (submitted.returncode, submitted.stdout) == (0, "3 messages published\n"), submitted
    stack.drained()

    asked = recount("ask", TENANT, "What happened to payment pi_shell3?", **at(stack))
    assert asked.returncode == 0, asked
    assert "pi_shell3" in asked.stdout
    assert "stripe:evt_shell3" in asked.stderr
    told = recount("timeline", TENANT, "pi_shell1", **at(stack))
    assert told.returncode == 0, told
    assert "stripe:evt_shell1" in told.stdout
    assert "applied" in told.stdout
    assert "status: none -> " in told.stdout


def test_what_was_put_aside_is_listed_shown_and_sent_in_again(stack: Stack, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bodies = [event("charge.succeeded", charge(amount=-number)) for number in (1, 2)]
    bad.write_bytes(b"\n".join([*bodies, b"no event"]))
    assert recount("submit", TENANT, "stripe", bad, "--nats", stack.nats_url).returncode == 0
    stack.drained()
    code = ("--code", "event.amount_out_of_range", "--source", "stripe")

    listed = recount("quarantine", "list", TENANT, *code, "--since", "2020-01-01T00:00:00Z", "--json", **at(stack))
    assert listed.returncode == 0, listed
    names = [entry["id"] for entry in json.loads(listed.stdout)["entries"]]
    assert len(names) == 2
    table = recount("quarantine", "list", TENANT, **at(stack))
    assert all(name in table.stdout for name in names)
    assert "2 open: event.amount_out_of_range" in table.stderr
    shown = recount("quarantine", "show", TENANT, names[0], **at(stack))
    assert base64.b64decode(json.loads(shown.stdout)["body_base64"]) in bodies

    assert recount("quarantine", "requeue", TENANT, names[0], **at(stack)).stdout == "1 messages sent in again\n"
    assert recount("quarantine", "requeue", TENANT, *code, **at(stack)).stdout.endswith("messages sent in again\n")
    stack.drained()
    again = recount("quarantine", "list", TENANT, *code, "--json", **at(stack))
    assert max(entry["deliveries"] for entry in json.loads(again.stdout)["entries"]) > 1
    assert_one_line_error(recount("quarantine", "show", TENANT, "none", **at(stack)), "quarantine.unknown")
    both = recount("quarantine", "requeue", TENANT, "none", "--code", "body.not_json", **at(stack))
    assert_one_line_error(both, "not both")


def test_a_wrong_key_a_wrong_address_and_an_unknown_payment_are_one_line_each(stack: Stack) -> None:
    assert_one_line_error(
        recount("ask", TENANT, "why?", **{**at(stack), "RECOUNT_API_KEY": "nobodys-key"}), "credential.missing"
    )
    assert_one_line_error(
        recount("ask", TENANT, "why?", **{**at(stack), "RECOUNT_GATEWAY": "http://127.0.0.1:9"}), "recount up"
    )
    assert_one_line_error(recount("timeline", TENANT, "pi_nobody", **at(stack)), "payment.unknown")


def test_a_file_that_is_not_there_is_one_line(stack: Stack, tmp_path: Path) -> None:
    missing = recount("submit", TENANT, "stripe", tmp_path / "gone.json", "--nats", stack.nats_url)

    assert_one_line_error(missing, "gone.json")


def test_a_second_node_on_the_same_port_says_so(stack: Stack, tmp_path: Path) -> None:
    taken = recount("up", "--http", stack.url.removeprefix("http://"), "--data", tmp_path)

    assert_one_line_error(taken, "http.listen", "port 0")


def test_a_configuration_that_cannot_be_used_names_the_key(tmp_path: Path) -> None:
    config = tmp_path / "recount.toml"
    config.write_text("[http]\nlisten_on = '127.0.0.1:0'\n")

    assert_one_line_error(recount("up", "--config", config), "listen_on")


def test_the_doctor_finds_a_taken_port_and_says_what_to_do(stack: Stack, tmp_path: Path) -> None:
    result = recount("doctor", "--data", tmp_path, RECOUNT_HTTP_LISTEN=stack.url.removeprefix("http://"))

    assert result.returncode == 1, result
    assert "http port" in result.stdout
    assert "port 0" in result.stdout


def test_the_doctor_is_content_with_a_machine_that_is_well(tmp_path: Path) -> None:
    result = recount("doctor", "--data", tmp_path, RECOUNT_HTTP_LISTEN="127.0.0.1:0", RECOUNT_NATS_PORT="0")

    assert result.returncode == 0, result.stdout
    assert "sync_interval always" in result.stdout


def test_a_second_node_on_the_same_data_says_so(stack: Stack) -> None:
    assert_one_line_error(recount("up", "--http", "127.0.0.1:0", "--data", stack.data), "another node")
