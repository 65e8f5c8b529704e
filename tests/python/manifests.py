"""Checks every manifest against the schemas of Kubernetes and against the rules of this project.

Usage: manifests.py <directory of manifests>

The schemas come from the package kubernetes-validate; in strict mode an unknown field is an error.
Kinds that are not part of Kubernetes have a schema in schemas/.
"""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

# The oldest and the newest supported version of Kubernetes.
VERSIONS = ["1.29", "1.37"]
SCHEMAS = pathlib.Path(__file__).parent / "schemas"
PODS = {"Deployment", "StatefulSet"}


def validate(manifest: dict) -> None:
    own = SCHEMAS / f"{manifest['kind']}.json"
    if own.exists():
        jsonschema.Draft202012Validator(json.loads(own.read_text())).validate(manifest)
        return
    for version in VERSIONS:
        kubernetes_validate.validate(manifest, version, strict=True)


def check_pods(manifest: dict) -> None:
    """Checks that pods are restricted, have probes and limits, and read secrets from a Secret."""
    spec = manifest["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["terminationGracePeriodSeconds"] > 30
    for container in spec.get("initContainers", []) + spec["containers"]:
        security = container["securityContext"]
        assert (
            security["readOnlyRootFilesystem"] is True
            and security["allowPrivilegeEscalation"] is False
        )
        assert security["capabilities"]["drop"] == ["ALL"]
        assert "requests" in container["resources"] and "memory" in container["resources"]["limits"]
        for variable in container.get("env", []):
            check_secret(variable)
    for container in spec["containers"]:
        assert "readinessProbe" in container
        # `sync` has no port, and the console no probes of its own: it is ready when it answers.
        has_probes = not {"sync", "console"} & set(container.get("args", []))
        if container["image"].startswith("draftsman") and has_probes:
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
            assert container["livenessProbe"]["httpGet"]["path"] == "/livez"


def check_secret(variable: dict) -> None:
    if any(word in variable["name"] for word in ("KEY", "PASSWORD", "AUTH", "TOKEN", "REDIS_URL")):
        assert "secretKeyRef" in variable["valueFrom"], variable


def check_consumer(names: dict, directory: pathlib.Path) -> None:
    """Checks that the init container fills the folder that the consumer reads, and that the sample
    command is the same everywhere."""
    spec = names["Deployment", "consumer"]["spec"]["template"]["spec"]
    (init,), (consumer,) = spec["initContainers"], spec["containers"]
    assert init["args"][-1] == "--once" and init["args"][:-1] == consumer["args"][:-2]
    assert init["volumeMounts"][0] == consumer["volumeMounts"][0]
    script = (directory.parent / "samples/consumer.sh").read_text()
    assert names["ConfigMap", "consumer"]["data"]["consumer.sh"] == script, "the commands differ"


def check_monitoring(names: dict, directory: pathlib.Path) -> None:
    """Checks that all pods are scraped under the jobs of the rules, and that the rules are those
    of deploy/observability."""
    alerts = yaml.safe_load((directory.parent / "observability/alerts.yml").read_text())
    assert names["PrometheusRule", "draftsman"]["spec"] == alerts, "the rules differ"
    monitor = names["PodMonitor", "draftsman"]["spec"]
    for name in ("intake", "worker"):
        template = names["Deployment", name]["spec"]["template"]
        labels = template["metadata"]["labels"]
        assert monitor["selector"]["matchLabels"].items() <= labels.items(), name
        assert labels[monitor["jobLabel"]] == name
        assert name in monitor["selector"]["matchExpressions"][0]["values"]
        ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
        assert monitor["podMetricsEndpoints"][0]["port"] in ports, name


def check_network(names: dict) -> None:
    """Checks that nothing may connect unless a policy allows it, and only workers and intake may
    connect to Redis."""
    policies = {name: m["spec"] for (kind, name), m in names.items() if kind == "NetworkPolicy"}
    assert policies["deny-ingress"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    redis = policies["redis"]
    (rule,) = redis["ingress"]
    (peer,) = rule["from"]
    assert peer["podSelector"]["matchExpressions"][0]["values"] == ["intake", "worker"]
    for policy in policies.values():
        for rule in policy.get("ingress", []):
            assert rule["from"] and rule["ports"], policy
    pods = {("StatefulSet", "redis"), ("Deployment", "intake")}
    for kind, name in pods:
        labels = names[kind, name]["spec"]["template"]["metadata"]["labels"]
        assert policies[name]["podSelector"]["matchLabels"].items() <= labels.items(), name


def check_whole(manifests: list[dict]) -> None:
    """Checks the references between manifests."""
    names = {(m["kind"], m["metadata"]["name"]): m for m in manifests if "metadata" in m}
    assert not any(kind == "Secret" for kind, _ in names), "a secret stands in a file"
    for name in ("intake", "worker"):
        labels = names["Deployment", name]["spec"]["template"]["metadata"]["labels"]
        budget = names["PodDisruptionBudget", name]["spec"]["selector"]["matchLabels"]
        assert budget.items() <= labels.items(), name
    service = names["Service", "intake"]["spec"]["selector"]
    assert (
        service.items()
        <= names["Deployment", "intake"]["spec"]["template"]["metadata"]["labels"].items()
    )
    scaler = names["ScaledObject", "worker"]["spec"]
    worker = names["Deployment", scaler["scaleTargetRef"]["name"]]["spec"]
    assert "replicas" not in worker, "the scaler and the file would both say how many"
    query = scaler["triggers"][0]["metadata"]["query"]
    assert "ready" in query and "in_flight" in query, query
    environment = {
        one["name"]: one.get("value")
        for one in worker["template"]["spec"]["containers"][0]["env"]
    }
    assert scaler["triggers"][0]["metadata"]["threshold"] == environment["DRAFTSMAN_CONCURRENCY"]


def main() -> None:
    manifests = []
    directory = pathlib.Path(sys.argv[1])
    for file in sorted(directory.rglob("*.yaml")):
        for manifest in yaml.safe_load_all(file.read_text()):
            try:
                validate(manifest)
                if manifest["kind"] in PODS:
                    check_pods(manifest)
            except Exception as error:
                raise AssertionError(f"{file}: {manifest.get('kind')}: {error!r}") from error
            if manifest["kind"] == "Kustomization":
                for resource in manifest["resources"]:
                    assert (file.parent / resource).exists(), resource
            manifests.append(manifest)
    check_whole(manifests)
    names = {(m["kind"], m["metadata"]["name"]): m for m in manifests if "metadata" in m}
    check_monitoring(names, directory)
    check_network(names)
    check_consumer(names, directory)
    # Shows that the validator rejects an invalid manifest.
    try:
        validate(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "x"},
                "spec": {"prots": []},
            }
        )
    except Exception:
        return
    raise AssertionError("a misspelt field was taken")


if __name__ == "__main__":
    main()
