"""Compose, image, settings and queues agree."""

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from second_opinion.gateway.cli.program import COMMANDS
from second_opinion.ops.distribution import VERSION
from second_opinion.workers.routing import ROLES
from second_opinion.workers.settings import Settings

ROOT = Path(__file__).parents[3]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
SETTINGS = {f"OPINION_{name.upper()}" for name in Settings.model_fields}
WORKERS = {name: service for name, service in SERVICES.items() if service.get("command", [None])[0] == "worker"}


def test_each_role_has_one_service_of_its_name() -> None:
    """Every kind of worker is scaled on its own, and no queue is left without a worker."""
    assert set(WORKERS) == set(ROLES)
    for name, service in WORKERS.items():
        assert service["command"] == ["worker", "--role", name]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_each_variable_is_a_setting(name: str) -> None:
    """A misspelt variable would be ignored without a word."""
    given = {key for key in SERVICES[name].get("environment", {}) if key.startswith("OPINION_")}
    assert given <= SETTINGS


def test_each_variable_of_the_image_is_a_setting() -> None:
    """Likewise in the Dockerfile."""
    given = set(re.findall(r"\b(OPINION_[A-Z_]+)=", DOCKERFILE))
    assert "OPINION_READY_FILE" in given
    assert given <= SETTINGS


def test_workers_run_the_slim_image() -> None:
    """The target that compose builds is in the Dockerfile, and what is installed in it has neither torch nor onnx."""
    assert {service["build"]["target"] for service in WORKERS.values()} == {"worker-slim"}
    assert re.search(r"^FROM \S+ AS worker-slim$", DOCKERFILE, re.MULTILINE)
    (requirements,) = set(re.findall(r"requirements/\S+\.txt", DOCKERFILE))
    installed = set(re.findall(r"^([\w.-]+)==", (ROOT / requirements).read_text(encoding="utf-8"), re.MULTILINE))
    assert {"celery", "onnxruntime"} <= installed
    assert not installed & {
        "torch",
        "transformers",
        "sentence-transformers",
        "scikit-learn",
        "onnx",
        "pyarrow",
    }


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_a_workers_environment_makes_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What compose hands to a worker is accepted by the settings and names compose's own servers."""
    for key, value in WORKERS[name]["environment"].items():
        monkeypatch.setenv(key, re.sub(r"\$\{\w+:\?[^}]*\}", "secret", value))
    settings = Settings()
    assert settings.elasticsearch_password is not None
    assert settings.elasticsearch_url.split("/")[2].split(":")[0] in SERVICES
    for url in (settings.broker_url, settings.jobs_url, settings.cache_url):
        host = url.get_secret_value().rpartition("@")[2].split(":")[0]
        assert host in SERVICES


def test_no_password_has_a_default() -> None:
    """A system that starts with a known password is worse than one that does not start."""
    used = set(re.findall(r"\$\{([^}]+)\}", COMPOSE))
    assert used
    for variable in used:
        assert re.match(r"^\w+:\?.+", variable), variable
    example = (ROOT / "docker" / "example.env").read_text(encoding="utf-8")
    for name in {variable.partition(":")[0] for variable in used}:
        assert re.search(rf"^{name}=$", example, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"opinion"}))
def test_each_service_says_whether_it_is_well(name: str) -> None:
    """`docker compose up --wait` waits for work that is done, not for processes that exist."""
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize(("age", "status"), [(0.0, 0), (50.0, 0), (200.0, 1), (None, 1)])
def test_a_worker_is_well_while_its_ready_file_is_young(age: float | None, status: int, tmp_path: Path) -> None:
    """The check itself, run by a shell: not the file's being there counts, but that it was touched within a minute."""
    ready_file = tmp_path / "ready"
    if age is not None:
        ready_file.touch()
        os.utime(ready_file, (time.time() - age, time.time() - age))
    for service in WORKERS.values():
        kind, check = service["healthcheck"]["test"]
        assert kind == "CMD-SHELL"
        shell = ["sh", "-c", check.replace("$$", "$")]
        found = subprocess.run(shell, env={**os.environ, "OPINION_READY_FILE": str(ready_file)}, check=False)
        assert found.returncode == status


def test_workers_are_given_time_to_finish() -> None:
    """The grace time of the container is above that of the worker."""
    for service in WORKERS.values():
        seconds = int(service["stop_grace_period"].removesuffix("s"))
        assert seconds > Settings.model_fields["shutdown_grace_seconds"].default


def test_what_must_not_be_lost_is_on_a_volume() -> None:
    """Elasticsearch and the Redis of messages and jobs keep their data; the cache keeps none."""
    volumes = set(yaml.safe_load(COMPOSE)["volumes"])
    kept = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert kept == volumes
    assert "volumes" not in SERVICES["cache"]


def test_messages_are_never_evicted_and_caches_are() -> None:
    """The two uses of Redis need opposite policies, so they have two servers."""
    assert "noeviction" in SERVICES["redis"]["command"]
    assert "allkeys-lru" in SERVICES["cache"]["command"]


def test_ports_are_published_on_loopback_alone() -> None:
    """Starting it on a laptop opens nothing to the network."""
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_elasticsearch_is_the_version_of_the_local_stack() -> None:
    """What passes its tests here runs there."""
    assert SERVICES["elasticsearch"]["image"] == f"elasticsearch:{VERSION}"


def test_images_are_pinned() -> None:
    """No `latest`, so that two machines run the same."""
    for service in SERVICES.values():
        assert re.search(r":[\w.-]+$", service["image"])
        assert not service["image"].endswith(":latest")


def test_the_image_runs_without_privileges_and_without_torch() -> None:
    """The image is for serving: an ordinary account, hashed requirements, no training code's weight."""
    assert re.search(r"^USER 10001", DOCKERFILE, re.MULTILINE)
    assert "--require-hashes" in DOCKERFILE
    requirements = (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8")
    assert not re.search(r"^(torch|sentence-transformers|transformers|nvidia-)", requirements, re.MULTILINE)
    for service in (*WORKERS.values(), SERVICES["opinion"]):
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True


def test_what_the_image_copies_is_in_its_context() -> None:
    """A path that .dockerignore hides would fail the build."""
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line[:1] == "!"
    }
    copied = {
        path for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for path in line.split()[:-1]
    }
    assert copied
    assert copied <= allowed
    assert all((ROOT / path).exists() for path in copied)


def test_services_run_commands_that_exist() -> None:
    """The words that compose gives to the image are commands of the program."""
    ours = {service["command"][0] for service in (*WORKERS.values(), SERVICES["opinion"])}
    assert ours <= set(COMMANDS)
