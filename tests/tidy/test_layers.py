"""The import rule holds, and the check of it sees what breaks it."""

from pathlib import Path

import pytest

from tests.tidy.layers import ENVIRONMENT_READ_IN, ENVIRONMENT_WRITTEN_IN, ONLY_IN, complaints
from tests.tidy.source import LAYERS, ROOT


def test_every_folder_imports_only_those_before_it() -> None:
    assert complaints(ROOT) == []


def tree(root: Path, path: str, text: str) -> Path:
    """A project of one module."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("domain/new.py", "import actors"),
        ("domain/new.py", "from gateway.app import app"),
        ("projections/new.py", "from actors.journal import Journal"),
        ("actors/new.py", "import gateway.bootstrap as wiring"),
        ("actors/deep/new.py", "def late():\n    from simulations import world"),
        ("gateway/new.py", "import simulations.world"),
        ("gateway/new.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from simulations import world"),
        ("gateway/new.py", "import importlib\nworld = importlib.import_module('simulations.world')"),
        ("gateway/new.py", "world = __import__('simulations')"),
        ("simulations/new.py", "from tests.spec import given"),
        ("actors/new.py", "from . import journal"),
        ("actors/new.py", "from ..domain import fact"),
    ],
)
def test_an_import_to_the_left_is_seen(path: str, text: str, tmp_path: Path) -> None:
    assert len(complaints(tree(tmp_path, path, text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "import time",
        "from time import monotonic",
        "import random",
        "import logging",
        "import asyncio",
        "import socket",
        "import threading",
        "import subprocess",
        "import uuid",
        "import pathlib",
        "import structlog",
        "from eventsourcing.domain import Aggregate",
        "from datetime import datetime\nAT = datetime.now()",
        "import datetime as dt\nAT = dt.datetime.now(tz=dt.UTC)",
        "from datetime import date\nTODAY = date.today()",
        "BUCKET = hash('pi_1') % 256",
        "KEY = id(object())",
        "TEXT = open('/etc/passwd').read()",
        "print('hello')",
    ],
)
def test_the_world_in_the_domain_is_seen(text: str, tmp_path: Path) -> None:
    assert len(complaints(tree(tmp_path, "domain/new.py", text))) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("gateway/bootstrap.py", "import ray"),
        ("actors/shard.py", "from ray.exceptions import RayError"),
        ("simulations/world.py", "import ray"),
        ("actors/shard.py", "import eventsourcing.sqlite"),
        ("projections/store.py", "from eventsourcing.persistence import Tracking"),
        ("gateway/app.py", "import os\nPORT = os.environ['PORT']"),
        ("gateway/app.py", "import os as system\nPORT = system.getenv('PORT')"),
        ("projections/store.py", "from os import environ"),
        ("gateway/app.py", "import os\nos.environ['MODE'] = 'token'"),
        *((path, "import os\nMODE = os.environ.get('MODE')") for path in ENVIRONMENT_WRITTEN_IN),
        *((path, "import os\nMODE = os.environ.setdefault('MODE', '')") for path in ENVIRONMENT_WRITTEN_IN),
    ],
)
def test_what_belongs_to_one_place_is_seen_elsewhere(path: str, text: str, tmp_path: Path) -> None:
    assert len(complaints(tree(tmp_path, path, text))) == 1


@pytest.mark.parametrize("package", ["billing", "utils"])
def test_a_package_without_a_place_in_the_order_is_seen(package: str, tmp_path: Path) -> None:
    assert len(complaints(tree(tmp_path, f"{package}/__init__.py", '"""New."""'))) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        *((f"{outer}/new.py", f"import {inner}.x") for at, outer in enumerate(LAYERS) for inner in LAYERS[: at + 1]),
        *((path, f"import {package}") for package, places in ONLY_IN.items() for path in places),
        *((path, "import os\nPORT = os.environ['PORT']") for path in ENVIRONMENT_READ_IN),
        *((path, "import os\nos.environ['MODE'] = 'token'") for path in ENVIRONMENT_WRITTEN_IN),
        *((path, "import os\nos.environ.setdefault('MODE', 'token')") for path in ENVIRONMENT_WRITTEN_IN),
        ("domain/new.py", "import msgspec\nfrom collections.abc import Sequence\nfrom zlib import crc32"),
        ("tests/new.py", "import ray\nimport os\nPORT = os.environ['PORT']"),
        ("simulations/new.py", "import os\nPORT = os.environ['PORT']"),
        ("scripts/new.py", "import os\nimport gateway"),
    ],
)
def test_what_the_rule_allows_is_left_alone(path: str, text: str, tmp_path: Path) -> None:
    assert complaints(tree(tmp_path, path, text)) == []
