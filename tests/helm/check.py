"""Renders helm/sealwire with Helm's own engine, checks what comes out against Kubernetes' schemas, and lets the server read
the settings that it gives to nodes. Called by tests/helm.rs with the server's binary."""

import subprocess
import sys
import tempfile
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import yaml

CHART = Path(__file__).resolve().parents[2] / "helm" / "sealwire"
# The oldest that Chart.yaml admits, and the newest that the schemas know.
KUBERNETES = ["1.30", kubernetes_validate.latest_version()]
# Of the Prometheus Operator, hence in no schema of Kubernetes.
FOREIGN = {"ServiceMonitor"}

SMALLEST = {
    "image": {"repository": "registry.example.org/sealwire"},
    "store": {"secretName": "mongodb"},
    "bus": {"secretName": "redis", "key": "address"},
    "origins": ["wss://chat.example.org"],
}
EVERYTHING = {
    **SMALLEST,
    "origins": [],
    "replicaCount": 5,
    "image": {"repository": "registry.example.org/sealwire", "tag": "main", "pullSecrets": [{"name": "pull"}]},
    "drainSeconds": 60,
    "preStopSeconds": 7,
    "settings": {"SEALWIRE_LIMITS_MAX_CONNECTIONS": "10000", "SEALWIRE_LOG_FORMAT": "text"},
    "ingress": {"enabled": True, "className": "nginx", "host": "chat.example.org", "tlsSecretName": "certificate"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {"from": [{"podSelector": {"matchLabels": {"app": "ingress"}}}], "egressPorts": [27017, 6380]},
    "nodeSelector": {"disk": "none"},
    "tolerations": [{"key": "chat", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "podAnnotations": {"note": "text"},
    "podLabels": {"team": "chat"},
}
# Each with what its refusal must speak of.
REFUSED = [
    ({}, "/image/repository"),
    ({**SMALLEST, "replicaCount": 0}, "/replicaCount"),
    ({**SMALLEST, "replicas": 3}, "replicas"),
    ({**SMALLEST, "store": {"secretName": ""}}, "/store/secretName"),
    ({**SMALLEST, "origins": []}, "origins is empty"),
    ({**SMALLEST, "origins": ["ws://chat.example.org"]}, "/origins/0"),
    ({**SMALLEST, "settings": {"SEALWIRE_STORE_URL": "mongodb://user:password@host"}}, "SEALWIRE_STORE_URL"),
    ({**SMALLEST, "settings": {"SEALWIRE_LIMITS_MAX_CONNECTIONS": 10000}}, "/settings"),
    ({**SMALLEST, "ingress": {"enabled": True, "host": "chat.example.org"}}, "/ingress/tlsSecretName"),
]


def rendered(chart, values):
    """What an installation would bring, by kind and name."""
    found = {}
    for path, text in chart.render(values, name="demo", namespace="chat").items():
        if path.endswith(".txt"):
            assert "demo-sealwire" in text, f"{path} names nothing to look at"
            continue
        for resource in filter(None, yaml.safe_load_all(text)):
            found[resource["kind"], resource["metadata"]["name"]] = resource
    return found


def follows_the_schemas(resources):
    for (kind, name), resource in resources.items():
        for version in KUBERNETES:
            if kind not in FOREIGN:
                kubernetes_validate.validate(resource, version, strict=True)


def holds_together(resources, values):
    """What the schemas cannot see: names that point at each other, times that must fit."""
    deployment = resources["Deployment", "demo-sealwire"]["spec"]
    pod = deployment["template"]["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    ports = {port["name"] for port in pod["containers"][0]["ports"]}
    selectors = [deployment["selector"]["matchLabels"]]
    for (kind, _), resource in resources.items():
        spec = resource.get("spec", {})
        if kind == "Service":
            selectors.append(spec["selector"])
            assert {port["targetPort"] for port in spec["ports"]} <= ports
        if kind == "PodDisruptionBudget":
            selectors.append(spec["selector"]["matchLabels"])
        if kind == "NetworkPolicy":
            selectors.append(spec["podSelector"]["matchLabels"])
            assert {port["port"] for rule in spec["ingress"] for port in rule["ports"]} == ports
        if kind == "Ingress":
            backend = spec["rules"][0]["http"]["paths"][0]["backend"]["service"]
            service = resources["Service", backend["name"]]["spec"]
            assert [port["targetPort"] for port in service["ports"] if port["name"] == backend["port"]["name"]] == ["http"]
        if kind == "ServiceMonitor":
            wanted = spec["selector"]["matchLabels"].items()
            services = [r for (k, _), r in resources.items() if k == "Service" and wanted <= r["metadata"]["labels"].items()]
            assert [service["spec"]["ports"][0]["name"] for service in services] == [spec["endpoints"][0]["port"]]
    assert len(selectors) >= 5 and all(selector.items() <= labels for selector in selectors), selectors

    drain = int(resources["ConfigMap", "demo-sealwire"]["data"]["SEALWIRE_SERVER_DRAIN_SECONDS"])
    pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert drain == values.get("drainSeconds", 10) and pod["terminationGracePeriodSeconds"] >= drain + pause + 5
    assert pod["enableServiceLinks"] is False, "Kubernetes' own SEALWIRE_ variables would keep the server from starting"
    secrets = {source["secret"]["name"] for source in pod["volumes"][0]["projected"]["sources"]}
    assert secrets == {"mongodb", "redis"}


def server_takes(resources, server):
    """Gives the settings to the server as a node would get them, the files of the Secrets in a directory of ours."""
    settings = dict(resources["ConfigMap", "demo-sealwire"]["data"])
    pod = resources["Deployment", "demo-sealwire"]["spec"]["template"]["spec"]
    mounted = pod["containers"][0]["volumeMounts"][0]["mountPath"]
    with tempfile.TemporaryDirectory() as home:
        urls = ["mongodb://user:password@m1,m2,m3/sealwire?replicaSet=rs", "rediss://user:password@redis:6379"]
        for source, url in zip(pod["volumes"][0]["projected"]["sources"], urls):
            (Path(home) / source["secret"]["items"][0]["path"]).write_text(url)
        variables = {name: value.replace(mounted, home) for name, value in settings.items()}
        check = [server, "check-config"]
        said = subprocess.run(check, env=variables, cwd=home, capture_output=True, text=True)
        assert said.returncode == 0, said.stderr
        assert "password" not in said.stdout + said.stderr
        # The search would find it: a setting that the server does not know is refused.
        unknown = subprocess.run(check, env={**variables, "SEALWIRE_PORT": "tcp://10.0.0.1:80"}, cwd=home, capture_output=True)
        assert unknown.returncode == 2


def main():
    server = Path(sys.argv[1]).resolve()
    report = helm.lint(CHART, SMALLEST, strict=True)
    findings = [message for message in report["messages"] if message["severity"] > 1]
    assert report["total_charts_linted"] == 1 and not findings + report["errors"], report
    with helm.Chart.load(CHART) as chart:
        for values in [SMALLEST, EVERYTHING]:
            resources = rendered(chart, values)
            follows_the_schemas(resources)
            holds_together(resources, values)
            server_takes(resources, server)
        kinds = {kind for kind, _ in rendered(chart, EVERYTHING)}
        assert kinds - {kind for kind, _ in rendered(chart, SMALLEST)} == {"Ingress", "ServiceMonitor"}
        for values, spoken_of in REFUSED:
            try:
                chart.render(values, name="demo", namespace="chat")
            except helm.HelmError as refusal:
                assert spoken_of in str(refusal), f"{spoken_of} is not in: {refusal}"
            else:
                raise AssertionError(f"taken, though {spoken_of} is wrong")


main()
