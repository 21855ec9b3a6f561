"""The cluster file that we ship passes Ray's own checks, and is closed."""

from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.tidy.source import LAYERS, ROOT

Config = dict[str, Any]


@pytest.fixture
def config() -> Config:
    loaded: Config = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8"))
    return loaded


def test_ray_accepts_the_cluster_file(config: Config) -> None:
    validate_config(prepare_config(config))


def test_ray_would_refuse_a_field_that_it_does_not_know(config: Config) -> None:
    with pytest.raises(ValidationError, match="initial_workers"):
        validate_config(prepare_config({**config, "initial_workers": 2}))


def test_the_cluster_has_one_head_and_a_worker_for_every_address(config: Config) -> None:
    workers = config["provider"]["worker_ips"]

    assert config["provider"]["head_ip"] not in workers
    assert config["min_workers"] == config["max_workers"] == len(set(workers)) == 2


@pytest.mark.parametrize("commands", ["head_start_ray_commands", "worker_start_ray_commands"])
def test_no_node_starts_without_the_token(config: Config, commands: str) -> None:
    starts = [command for command in config[commands] if "ray start" in command]

    assert len(starts) == 1
    assert "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=/srv/recount/ray_token" in starts[0]
    assert "/srv/recount/ray_token" in config["file_mounts"]


def test_everything_that_a_node_needs_is_sent_to_it(config: Config) -> None:
    sent = {local for local in config["file_mounts"].values() if not local.startswith("~")}

    assert {*LAYERS} - {"tests"} <= sent
    assert {"requirements", "scripts", "pyproject.toml", "README.md", "LICENSE"} <= sent
    assert all(remote == f"/srv/recount/{local}" for remote, local in config["file_mounts"].items() if local in sent)
