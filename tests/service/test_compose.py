"""docker/compose.yaml: what it starts is hardened, and what it names is there."""

import os
import re
import subprocess

import pytest
import yaml
from daemon import ROOT, program

FOLDER = ROOT / "docker"


def expanded(value):
    """${NAME:-default} as compose reads it where no variable is set."""
    if isinstance(value, dict):
        return {key: expanded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [expanded(entry) for entry in value]
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) if isinstance(value, str) else value


def load(name):
    return expanded(yaml.safe_load((FOLDER / name).read_text()))


COMPOSE = load("compose.yaml")
SERVICES = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
class TestEveryService:
    def test_is_hardened(self, name):
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"] and "cap_add" not in service
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not {"privileged", "network_mode", "pid", "ipc", "user"} & service.keys()
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"

    def test_is_reached_from_this_machine_only(self, name):
        assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))

    def test_writes_to_volumes_only(self, name):
        for volume in SERVICES[name]["volumes"]:
            source, _, mode = volume.partition(":")
            assert source in COMPOSE["volumes"] or mode.endswith(":ro"), volume

    def test_files_are_there(self, name):
        sources = [volume.split(":")[0] for volume in SERVICES[name]["volumes"]]
        for source in sources:
            # What belongs to no container engine is in deploy/.
            assert source in COMPOSE["volumes"] or source.startswith("../deploy/") or (FOLDER / source).is_file()

    def test_secrets_are_files_that_are_never_committed(self, name):
        ignored = (ROOT / ".gitignore").read_text().split() + (ROOT / ".dockerignore").read_text().split()
        for secret in SERVICES[name].get("secrets", []):
            assert COMPOSE["secrets"][secret]["file"] == f"./secrets/{secret}"
            assert {"/docker/secrets/", "docker/secrets"} <= set(ignored)


def dockerfile_environment(name):
    text = (FOLDER / name).read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^ENV (.*)$", text, re.M)
    return dict(entry.split("=", 1) for entry in line.split())


@pytest.mark.parametrize("overlay", [None, "compose.cuda.yaml"])
def test_settings_are_rejectds(overlay, tmp_path):
    """Each variable is a setting: an unknown one would be ignored by rejectd without a word."""
    service = SERVICES["rejectd"] | (load(overlay)["services"]["rejectd"] if overlay else {})
    environment = dockerfile_environment(os.path.basename(service["build"]["dockerfile"])) | service["environment"]
    settings = {key: str(value) for key, value in environment.items() if key.startswith("REJECTD_")}
    assert {"REJECTD_LISTEN", "REJECTD_DATA_DIR"} <= settings.keys()
    done = subprocess.run([program("rejectd"), "--check-config"], env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done
    used = dict(line.split(" = ", 1) for line in done.stdout.splitlines())
    for key, value in settings.items():
        assert used[key.removeprefix("REJECTD_").lower().replace("_", "-")] == value


def test_gpus_are_asked_for():
    (name, overlay), = load("compose.cuda.yaml")["services"].items()  # fmt: skip
    (device,) = overlay["deploy"]["resources"]["reservations"]["devices"]
    assert name in SERVICES and (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


def test_prometheus_finds_rejectd():
    prometheus = SERVICES["prometheus"]
    config = load("prometheus.yaml")
    (job,) = (job for job in config["scrape_configs"] if job["job_name"] == "rejectd")
    assert job["static_configs"] == [{"targets": ["rejectd:8765"]}]
    assert SERVICES["rejectd"]["ports"][0].endswith(":8765")
    assert job["authorization"]["credentials_file"].removeprefix("/run/secrets/") in prometheus["secrets"]
    rules = {volume.split(":")[1] for volume in prometheus["volumes"]}
    assert all(os.path.dirname(path) in rules for path in config["rule_files"])


def test_grafana_finds_prometheus():
    (source,) = load("grafana/datasource.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    mounted = {volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]}
    (provider,) = load("grafana/dashboards.yaml")["providers"]
    assert provider["options"]["path"] in mounted
