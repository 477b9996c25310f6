"""The manifests for Kubernetes: parsed, compared with what a cluster demands of them, and with the code they run."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from second_opinion.gateway.cli.program import COMMANDS
from second_opinion.workers.routing import ROLES
from second_opinion.workers.settings import Settings

ROOT: Final = Path(__file__).parents[3]
FOLDER: Final = ROOT / "kubernetes"
DOCKERFILE: Final = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
SETTINGS: Final = {f"OPINION_{name.upper()}" for name in Settings.model_fields}
# By kind: the version of its interface, and what has to be in its body.
KINDS: Final[dict[str, tuple[str, set[str]]]] = {
    "Deployment": ("apps/v1", {"spec.replicas", "spec.selector.matchLabels", "spec.template.spec.containers"}),
    "Service": ("v1", {"spec.selector", "spec.ports"}),
    "ConfigMap": ("v1", {"data"}),
    "Secret": ("v1", {"stringData"}),
    "PodDisruptionBudget": ("policy/v1", {"spec.maxUnavailable", "spec.selector.matchLabels"}),
    "Kustomization": ("kustomize.config.k8s.io/v1beta1", {"resources"}),
    "TriggerAuthentication": ("keda.sh/v1alpha1", {"spec.secretTargetRef"}),
    "ScaledObject": ("keda.sh/v1alpha1", {"spec.scaleTargetRef.name", "spec.maxReplicaCount", "spec.triggers"}),
}
SECONDS_OF_A_PROBE: Final = {"periodSeconds", "timeoutSeconds", "failureThreshold"}


def objects() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object with its file, lists taken apart."""
    for path in sorted(FOLDER.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            for one in document["items"] if document["kind"] == "List" else [document]:
                yield path.name, one


OBJECTS: Final = list(objects())


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    """Return the objects of a kind by name."""
    return {one["metadata"]["name"]: one for _, one in OBJECTS if one["kind"] == kind}


DEPLOYMENTS: Final = of_kind("Deployment")
WORKERS: Final = {
    one["spec"]["template"]["spec"]["containers"][0]["args"][-1]: one
    for one in DEPLOYMENTS.values()
    if one["spec"]["template"]["spec"]["containers"][0]["args"][0] == "worker"
}


def at(one: dict[str, Any], path: str) -> Any:
    """Return what lies at a path such as `spec.replicas`; None where nothing does."""
    found: Any = one
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def pod(deployment: dict[str, Any]) -> dict[str, Any]:
    """Return the pod that a deployment makes."""
    template: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return template


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    """Return its one container."""
    (only,) = pod(deployment)["containers"]
    return dict(only)


def test_every_object_has_what_its_kind_demands() -> None:
    """A known kind with its version, a name that a cluster takes, and the parts without which it is refused."""
    for file, one in OBJECTS:
        version, parts = KINDS[one["kind"]]
        assert one["apiVersion"] == version, file
        assert all(at(one, part) is not None for part in parts), (file, one["kind"])
        if one["kind"] != "Kustomization":
            assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", one["metadata"]["name"])


def test_no_two_objects_are_the_same() -> None:
    """The second would quietly take the place of the first."""
    names = [(one["kind"], one["metadata"]["name"]) for _, one in OBJECTS if one["kind"] != "Kustomization"]
    assert len(names) == len(set(names))


def test_every_file_is_applied_or_named() -> None:
    """What kustomize is told of exists, and a file that it is not told of is named with its reason."""
    text = (FOLDER / "kustomization.yaml").read_text(encoding="utf-8")
    resources = set(yaml.safe_load(text)["resources"])
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert resources <= files
    assert all(name in text for name in files)


def test_each_role_has_one_deployment() -> None:
    """Every kind of worker is scaled on its own, and no queue is left without a worker."""
    assert set(WORKERS) == set(ROLES)
    for role, one in WORKERS.items():
        assert one["metadata"]["name"] == f"opinion-{role}"
        assert container(one)["args"] == ["worker", "--role", role]
    assert WORKERS["maintenance"]["spec"]["replicas"] == 1
    assert WORKERS["maintenance"]["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_a_deployment_selects_its_own_pods(name: str) -> None:
    """A selector that is another's takes that one's pods for its own."""
    one = DEPLOYMENTS[name]
    assert one["spec"]["selector"]["matchLabels"] == one["spec"]["template"]["metadata"]["labels"]
    assert one["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] == name.removeprefix("opinion-")


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_a_pod_is_restricted(name: str) -> None:
    """The account of the image, nothing writable but its own folder, no token of the cluster, a bound on memory."""
    template, one = pod(DEPLOYMENTS[name]), container(DEPLOYMENTS[name])
    assert template["securityContext"]["runAsNonRoot"] is True
    assert f"USER {template['securityContext']['runAsUser']}:" in DOCKERFILE
    assert template["automountServiceAccountToken"] is False
    assert template["enableServiceLinks"] is False, "a service's variables are taken for settings"
    assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert one["securityContext"]["readOnlyRootFilesystem"] is True
    assert one["securityContext"]["allowPrivilegeEscalation"] is False
    assert [mount["name"] for mount in one["volumeMounts"]] == [volume["name"] for volume in template["volumes"]]
    assert {"cpu", "memory"} <= set(one["resources"]["requests"])
    assert set(one["resources"]["limits"]) == {"memory"}
    assert re.search(r":\d", one["image"])


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_a_pod_has_time_to_finish(name: str) -> None:
    """The grace time of the pod is above that of the worker."""
    grace = Settings.model_fields["shutdown_grace_seconds"].default
    assert pod(DEPLOYMENTS[name])["terminationGracePeriodSeconds"] > grace


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_a_pod_says_whether_it_works(name: str) -> None:
    """Three probes, each with its times; a start may take minutes, a live pod is ended later than it is unready."""
    one = container(DEPLOYMENTS[name])
    probes = {kind: one[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}
    for probe in probes.values():
        assert set(probe) >= SECONDS_OF_A_PROBE
        assert ("exec" in probe) != ("httpGet" in probe)
    assert probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"] >= 120
    ends = probes["liveness"]["periodSeconds"] * probes["liveness"]["failureThreshold"]
    assert ends >= probes["readiness"]["periodSeconds"] * probes["readiness"]["failureThreshold"]


def test_workers_are_asked_as_compose_asks_them() -> None:
    """Both look at the age of the ready file; being alive is judged more patiently than being ready."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    for role, one in WORKERS.items():
        _, check = compose[role]["healthcheck"]["test"]
        shell = container(one)
        assert shell["readinessProbe"]["exec"]["command"] == ["sh", "-c", check.replace("$$", "$")]
        assert shell["startupProbe"]["exec"] == shell["readinessProbe"]["exec"]
        minutes = [
            int(re.search(r"-mmin -(\d+)", shell[probe]["exec"]["command"][2])[1])  # type: ignore[index] # is there
            for probe in ("readinessProbe", "livenessProbe")
        ]
        assert minutes[0] < minutes[1]


def test_the_gateway_is_asked_where_it_answers() -> None:
    """Its probes are paths of the API at a port that it has, and the service leads there."""
    one = container(DEPLOYMENTS["opinion-gateway"])
    assert one["args"][0] in COMMANDS
    (port,) = one["ports"]
    assert {one[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "readiness", "liveness")} == {port["name"]}
    assert one["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert one["livenessProbe"]["httpGet"]["path"] == "/healthz"
    service = of_kind("Service")["opinion-gateway"]
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    assert service["spec"]["selector"] == DEPLOYMENTS["opinion-gateway"]["spec"]["template"]["metadata"]["labels"]
    given = {entry["name"]: entry["value"] for entry in one["env"]}
    assert given["OPINION_GATEWAY_PORT"] == str(port["containerPort"])


def test_what_is_handed_to_workers_makes_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable is a setting, and together they are accepted; no secret is among those that are none."""
    plain = of_kind("ConfigMap")["second-opinion"]["data"]
    secret = of_kind("Secret")["second-opinion"]["stringData"]
    assert {*plain, *secret} <= SETTINGS
    assert not [name for name in plain if "PASSWORD" in name or "@" in plain[name]]
    assert all("<" in value for value in secret.values()), "a password with a default"
    for name, value in {**plain, **secret}.items():
        monkeypatch.setenv(name, re.sub(r"<[^>]*>", "secret", value))
    settings = Settings()
    assert settings.ready_file is not None
    for one in DEPLOYMENTS.values():
        (mount,) = container(one)["volumeMounts"]
        assert str(settings.ready_file.parent) == mount["mountPath"], "the only folder that can be written to"
        names = [source[kind]["name"] for source in container(one)["envFrom"] for kind in source]
        assert names == ["second-opinion", "second-opinion"]


def test_queues_scale_the_workers_that_take_from_them() -> None:
    """The list that is measured is the role's own, in the database of messages; only `maintenance` stays at one."""
    scaled = of_kind("ScaledObject")
    assert set(scaled) == {f"opinion-{role}" for role in ROLES if role != "maintenance"}
    database = of_kind("Secret")["second-opinion"]["stringData"]["OPINION_BROKER_URL"].rpartition("/")[2]
    for name, one in scaled.items():
        deployment = DEPLOYMENTS[one["spec"]["scaleTargetRef"]["name"]]
        (trigger,) = one["spec"]["triggers"]
        assert one["spec"]["scaleTargetRef"]["name"] == name
        assert trigger["metadata"]["listName"] == ROLES[container(deployment)["args"][-1]].queue
        assert trigger["metadata"]["databaseIndex"] == database
        assert trigger["authenticationRef"]["name"] in of_kind("TriggerAuthentication")
        assert 1 <= one["spec"]["minReplicaCount"] <= deployment["spec"]["replicas"] <= one["spec"]["maxReplicaCount"]


def test_what_answers_queries_is_drained_one_at_a_time() -> None:
    """A budget for each, and one that selects pods that there are."""
    budgets = of_kind("PodDisruptionBudget")
    assert set(budgets) == {"opinion-retrieve", "opinion-rerank", "opinion-gateway"}
    for name, one in budgets.items():
        labels = DEPLOYMENTS[name]["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"] == labels
        assert DEPLOYMENTS[name]["spec"]["replicas"] > one["spec"]["maxUnavailable"]
