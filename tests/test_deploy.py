"""The papers of docs/deploy: their files are read as those who use them would, and name what is there."""

import configparser
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gateway.settings import Settings
from tests.test_docs import ROOT, environment_names, fenced, rows

FOLDER = ROOT / "docs/deploy"
INDEX = (FOLDER / "README.md").read_text("utf-8")
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
SETTINGS = {one for name, field in Settings.model_fields.items() for one in environment_names(name, field)}
# what a page's platform, an image or a library reads, and the gateway does not
OTHERS = {
    "HOME", "LOCK", "MODEL", "POSTGRES_DB", "POSTGRES_PASSWORD", "POSTGRES_USER", "PYTHONDONTWRITEBYTECODE",
    "RAILWAY_DEPLOYMENT_DRAINING_SECONDS", "RAILWAY_RUN_UID", "RAY_ADDRESS", "RAY_AUTH_MODE",
    "RAY_AUTH_TOKEN", "RAY_ROTATION_BACKUP_COUNT", "RAY_ROTATION_MAX_BYTES", "RAY_USAGE_STATS_ENABLED",
}  # fmt: skip
# systemd.exec(5), systemd.service(5) and systemd.unit(5), as far as the unit needs them
KEYS = {
    "Unit": {"Description", "Wants", "After", "JoinsNamespaceOf"},
    "Service": {
        "AmbientCapabilities", "CapabilityBoundingSet", "DynamicUser", "Environment", "EnvironmentFile",
        "ExecReload", "ExecStart", "KillMode", "LimitCORE", "LimitNOFILE", "LockPersonality",
        "NoNewPrivileges", "OOMPolicy", "PrivateDevices", "PrivateTmp", "ProtectClock",
        "ProtectControlGroups", "ProtectHome", "ProtectHostname", "ProtectKernelLogs",
        "ProtectKernelModules", "ProtectKernelTunables", "ProtectProc", "ProtectSystem", "RemoveIPC",
        "Restart", "RestartSec", "RestrictAddressFamilies", "RestrictNamespaces", "RestrictRealtime",
        "RestrictSUIDSGID", "StateDirectory", "StateDirectoryMode", "SystemCallArchitectures",
        "SystemCallErrorNumber", "SystemCallFilter", "TimeoutStopSec", "Type", "UMask", "User",
        "WorkingDirectory",
    },
    "Install": {"WantedBy"},
}  # fmt: skip
STOP_S = Settings.model_fields["shutdown_s"].default + 10  # and a slow database


def name(path: Path) -> str:
    return path.name


def compose(name: str = "compose.yaml") -> Any:
    return yaml.safe_load((FOLDER / name).read_text("utf-8"))


def over() -> Any:
    """What compose makes of both files: maps merged, lists of volumes joined, all else the second's."""

    def merged(below: Any, above: Any) -> Any:
        if not isinstance(below, dict) or not isinstance(above, dict):
            return above
        joined = {
            key: below[key] + above[key]
            for key in ("volumes", "ports")
            if isinstance(below.get(key), list) and isinstance(above.get(key), list)
        }
        return below | {key: merged(below.get(key), value) for key, value in above.items()} | joined

    return merged(compose(), compose("compose.cluster.yaml"))


UNITS = ("clipwire.service", "clipwire-node.service")


def unit(text: str) -> configparser.ConfigParser:
    read = configparser.ConfigParser(interpolation=None, strict=False)  # some keys may be there twice
    read.optionxform = str  # type: ignore[assignment, method-assign]
    read.read_string(text)
    return read


def shipped(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")


def drop_in() -> str:
    """What is added to the gateway's unit where it asks a cluster."""
    (found,) = [block for block in fenced(shipped("systemd.md"), "ini") if "[Unit]" in block]
    return found


# Pages


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=name)
def test_every_variable_is_a_setting_or_the_platforms(path: Path) -> None:
    text = path.read_text("utf-8")
    found = set(re.findall(r"\b(?!AF_)[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", text))
    found |= set(re.findall(r"(?:^|[\s,])([A-Z][A-Z0-9]+)=", text, re.M))  # one word, where a value is given
    found |= set(re.findall(r"- key: (\w+)", text))
    assert found <= SETTINGS | OTHERS


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_answers_what_everybody_asks(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text.count("\nRuns: ") == 1
    for subject in ("Port", "Keys", "Data", "Model", "Size", "Health", "Stop", "Time limit"):
        assert re.search(rf"\*\*{subject}|\*\*[^*]* and {subject.lower()}\b", text), subject
    for word in ("/live", "/ready", "wait=0", "GATEWAY_WORKERS", "README.md#sizing"):
        assert word in text, word
    last = text.rstrip().splitlines()[-1]
    assert last.startswith("Not tried here: ")
    assert len(re.findall(r"^Not tried here", text, re.M)) == 1


def test_the_index_has_every_page() -> None:
    assert {path.name for path in PAGES} == {
        link for cells in rows(INDEX, "page") for link in re.findall(r"\]\(([\w.-]+)\)", cells[0])
    }
    for path in FOLDER.iterdir():
        linked = "\n".join(one.read_text("utf-8") for one in (FOLDER / "README.md", *PAGES))
        assert path.name == "README.md" or f"]({path.name})" in linked, path.name


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_is_fenced_can_be_read(page: Path) -> None:
    text = page.read_text("utf-8")
    for block in fenced(text, "yaml"):
        assert isinstance(yaml.safe_load(block), dict)
    for block in fenced(text, "sh"):
        subprocess.run(["sh", "-n"], input=block, text=True, check=True, timeout=10)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_is_set_fits_the_settings(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in list(os.environ):
        if one in SETTINGS:
            monkeypatch.delenv(one)
    text = re.sub(r"--set-secrets .*", "", page.read_text("utf-8"))  # names, not values
    told = re.findall(r"\b([A-Z_]+[A-Z])=([\w./:-]+)", text)
    told += re.findall(r"- key: (\w+)\n\s+value: \"([^\"]*)\"", text)
    for key, value in told:
        if key in SETTINGS and value != "...":
            monkeypatch.setenv(key, value)
    Settings(_env_file=None)  # type: ignore[call-arg]


# Files


def test_the_composition_gives_the_gateway_what_it_needs() -> None:
    services = compose()["services"]
    gateway = services["gateway"]
    assert set(gateway["depends_on"]) | {"gateway", "nginx"} == set(services)
    assert gateway["deploy"]["replicas"] > 1
    assert "ports" not in gateway
    for one in gateway["depends_on"]:
        assert gateway["depends_on"][one] == {"condition": "service_healthy"}
        assert "healthcheck" in services[one]
        assert "ports" not in services[one]
    nginx = services["nginx"]
    assert all(port.startswith("127.0.0.1:") for port in nginx["ports"])
    assert nginx["networks"]["default"]["ipv4_address"] == gateway["environment"]["GATEWAY_TRUSTED_PROXIES"]
    assert "@postgres/" in gateway["environment"]["DATABASE_URL"]
    assert gateway["environment"]["REDIS_URL"].startswith("redis://redis:")
    assert set(gateway["environment"]) <= SETTINGS
    assert int(gateway["stop_grace_period"].removesuffix("s")) > STOP_S
    used = {one.partition(":")[0] for service in services.values() for one in service.get("volumes", ())}
    files = {one for one in used if one.startswith("./")}
    assert used - files == set(compose()["volumes"])
    assert all((FOLDER / one).is_file() for one in files)


def test_the_composition_with_a_cluster_is_one_cluster() -> None:
    services = over()["services"]
    head, nodes = services["ray-head"], [services[name] for name in ("gateway", "ray-node", "deploy")]
    started = [ray_start(one["command"]) for one in (head, *nodes)]
    assert "--head" in started[0]
    address = f"ray-head:{option(started[0], '--port')}"
    assert all(option(words, "--address") == address for words in started[1:])
    assert head["healthcheck"]["test"][-1] == address
    cores = [int(option(words, "--num-cpus")) for words in started]
    assert cores == [0, 0, 1, 0]  # who asks, or leads, recognises nothing
    told = [services[name]["environment"] for name in ("gateway", "deploy")]
    for environment in told:
        assert environment["GATEWAY_CLUSTER_ADDRESS"] == address
        assert int(environment["GATEWAY_CLUSTER_REPLICAS_MAX"]) == services["ray-node"]["deploy"]["replicas"]
        assert {key for key in environment if key.startswith("GATEWAY_")} <= SETTINGS
    plans = [{k: v for k, v in one.items() if k.startswith("GATEWAY_CLUSTER")} for one in told]
    assert plans[0] == plans[1], "a gateway deploys again after the head was lost"
    for one in (head, *nodes):
        assert one["environment"]["RAY_AUTH_MODE"] == "token"
        assert one["environment"]["RAY_AUTH_TOKEN"] == head["environment"]["RAY_AUTH_TOKEN"]
        assert one["image"] == services["gateway"]["image"]
        assert not {"ports", "network_mode", "privileged"} & set(one)
        assert (one["read_only"], one["tmpfs"], one["cap_drop"]) == (True, ["/tmp"], ["ALL"])
        room = int(one["shm_size"].removesuffix("m")) << 20
        assert int(option(ray_start(one["command"]), "--object-store-memory")) < room
    assert all(one["depends_on"]["ray-head"] == {"condition": "service_healthy"} for one in nodes)
    assert services["gateway"]["build"]["args"] == {"LOCK": "cluster.lock"}
    assert set(over()["volumes"]) == {"data", "postgres", "nodes"}


def test_the_commands_of_the_composition_are_shells() -> None:
    for service in over()["services"].values():
        match service.get("command"):
            case ["sh", "-c", script]:
                subprocess.run(["sh", "-n"], input=script, text=True, check=True, timeout=10)
                assert "exec python -m gateway " in script, "signals reach it"


def ray_start(command: list[str]) -> list[str]:
    """The words of `ray start` in a service's command, however it is begun."""
    words = shlex.split(command[-1], comments=False) if command[0] == "sh" else command
    words = words[words.index("ray") :]
    assert words[1] == "start"
    return words[: words.index("&&")] if "&&" in words else words


def option(words: list[str], name: str) -> str:
    (found,) = [word.partition("=")[2].rstrip(";") for word in words if word.startswith(f"{name}=")]
    return found


@pytest.mark.parametrize("file", ["compose.yaml", "compose.cluster.yaml"])
def test_the_composition_is_told_no_secret(file: str) -> None:
    for service in compose(file)["services"].values():
        for key, value in service.get("environment", {}).items():
            if re.search("KEY|SECRET|PASSWORD|TOKEN|DATABASE_URL", key):
                assert re.search(r"\$\{\w+:\?[^}]+\}", value), key


def test_what_the_composition_builds_is_there() -> None:
    built = compose()["services"]["gateway"]["build"]
    context = (FOLDER / built["context"]).resolve()
    assert context == ROOT
    recipe = (context / built["dockerfile"]).read_text("utf-8")
    let = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    for sources in re.findall(r"^COPY (.+) \S+$", recipe, re.M):
        assert {f"!{source}" for source in sources.split()} <= set(let), "kept out by .dockerignore"


def test_the_locks_of_the_recipe_are_of_one_resolution() -> None:
    """cluster.lock has what the others have, in their versions, and all that its extras need."""
    recipe = (FOLDER / "Dockerfile").read_text("utf-8")
    (default,) = re.findall(r"^ARG LOCK=(\S+)", recipe, re.M)
    assert "pip install --no-cache-dir --require-hashes -r /tmp/$LOCK" in recipe
    plain, cluster, tests = (
        locked(name) for name in (default, "docs/deploy/cluster.lock", "tests/requirements.lock")
    )
    assert set(plain) <= set(cluster) <= set(tests)
    for name, entries in cluster.items():
        assert {version for version, _ in entries} == {version for version, _ in tests[name]}, name
        assert all(re.fullmatch(r"( +--hash=sha256:[0-9a-f]{64}( \\)?\n)+", hashes) for _, hashes in entries)
    assert set(cluster) >= {"redis", "ray", *needed("clipwire", {"redis", "cluster"})}


def locked(name: str) -> dict[str, list[tuple[str, str]]]:
    """The packages of a lock: version and hashes, for each of its markers."""
    found: dict[str, list[tuple[str, str]]] = {}
    text = (ROOT / name).read_text("utf-8")
    for package, version, hashes in re.findall(r"^([\w.-]+)==([^\s;]+).*\n((?: .*\n)+)", text, re.M):
        found.setdefault(package, []).append((version, hashes))
    return found


def needed(name: str, extras: set[str]) -> set[str]:
    """All that an installed package needs here, itself left out."""
    seen: set[tuple[str, str]] = set()
    left = [(name, extra) for extra in {"", *extras}]
    while left:
        one = left.pop()
        if one in seen:
            continue
        seen.add(one)
        for line in metadata.requires(one[0]) or ():
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate({"extra": one[1]}):
                left += [(canonicalize_name(wanted.name), extra) for extra in {"", *wanted.extras}]
    return {package for package, _ in seen} - {name}


def test_the_recipe_ends_as_the_user_of_the_image() -> None:
    (user,) = re.findall(r"^USER (.+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.M)
    assert re.findall(r"^USER (.+)$", (FOLDER / "Dockerfile").read_text("utf-8"), re.M)[-1] == user


def manifests() -> dict[tuple[str, str], list[Any]]:
    """Those of the page, by kind and name, in their order."""
    found: dict[tuple[str, str], list[Any]] = {}
    for block in fenced((FOLDER / "kubernetes.md").read_text("utf-8"), "yaml"):
        one = yaml.safe_load(block)
        found.setdefault((one["kind"], one["metadata"]["name"]), []).append(one)
    return found


def variables(container: Any) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container.get("env", ())}


def test_the_manifests_go_together() -> None:
    found = manifests()
    plain, patch = found["Deployment", "clipwire"]
    (cluster,) = found["RayCluster", "clipwire-ray"]
    spec, pod = plain["spec"], patch["spec"]["template"]["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > STOP_S
    (gateway,), (node,) = pod["containers"], pod["initContainers"]
    assert gateway["name"] == spec["template"]["spec"]["containers"][0]["name"], "the patch finds it"
    assert {"livenessProbe", "readinessProbe"} <= set(spec["template"]["spec"]["containers"][0])
    # by its name KubeRay makes the service of the head, and by its labels the budget finds its pods
    address = f"{cluster['metadata']['name']}-head-svc:6379"
    assert option(node["command"], "--address") == variables(gateway)["GATEWAY_CLUSTER_ADDRESS"] == address
    assert (node["restartPolicy"], option(node["command"], "--num-cpus")) == ("Always", "0")
    assert node["volumeMounts"] == gateway["volumeMounts"]
    head, (group,) = cluster["spec"]["headGroupSpec"], cluster["spec"]["workerGroupSpecs"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    cores = int(group["rayStartParams"]["num-cpus"])
    for bound in ("MIN", "MAX"):
        assert int(variables(gateway)[f"GATEWAY_CLUSTER_REPLICAS_{bound}"]) == cores * group["replicas"]
    assert cluster["spec"]["rayVersion"] == locked("docs/deploy/cluster.lock")["ray"][0][0]
    secret = {"secretKeyRef": {"name": "clipwire-ray", "key": "RAY_AUTH_TOKEN"}}
    for template in (head["template"]["spec"], group["template"]["spec"]):
        (container,) = template["containers"]
        assert variables(container)["RAY_AUTH_TOKEN"] == secret
        assert {"livenessProbe", "readinessProbe"} <= set(container), "or KubeRay takes those of its own"
        assert container["image"] == node["image"] == gateway["image"]
        assert template["securityContext"] == spec["template"]["spec"]["securityContext"]
    assert int(group["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"]) == cores
    for container in (gateway, node):
        assert {"secretRef": {"name": "clipwire-ray"}} in container["envFrom"]
    labels = {
        name: one["spec"]["selector"]["matchLabels"]
        for (kind, name), (one, *_) in found.items()
        if kind == "PodDisruptionBudget"
    }
    assert labels == {
        "clipwire": spec["template"]["metadata"]["labels"],
        "clipwire-ray": {"ray.io/cluster": cluster["metadata"]["name"]},
    }


def test_the_manifests_mount_what_is_there_and_set_what_is_a_setting() -> None:
    def pods(value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            if "containers" in value:
                yield value
            for one in value.values():
                yield from pods(one)
        elif isinstance(value, list):
            for one in value:
                yield from pods(one)

    for several in manifests().values():
        for one in several:
            for pod in pods(one):
                volumes = {volume["name"] for volume in pod["volumes"]}
                for container in [*pod["containers"], *pod.get("initContainers", ())]:
                    assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
                    ours = {name for name in variables(container) if name.startswith("GATEWAY_")}
                    assert ours <= SETTINGS


@pytest.mark.parametrize("file", UNITS)
def test_the_unit_has_only_keys_that_systemd_knows(file: str) -> None:
    read = unit(shipped(file))
    assert set(read.sections()) == set(KEYS)
    for section in read.sections():
        assert set(read[section]) <= KEYS[section]


def test_the_unit_gives_the_gateway_its_time_and_its_folder() -> None:
    service = unit(shipped("clipwire.service"))["Service"]
    assert int(service["TimeoutStopSec"]) > STOP_S
    told = dict(one.split("=", 1) for one in service["Environment"].split())
    assert told["GATEWAY_DATA_DIR"] == f"/var/lib/{service['StateDirectory']}"
    assert service["ExecStart"].endswith(" -m gateway serve")
    assert service["ExecReload"].split()[1] == "-HUP"


def test_the_node_is_where_the_gateway_can_reach_it() -> None:
    """The same user, and by the drop-in the same /tmp: Ray's sockets are in it."""
    own, node = (unit(shipped(name)) for name in UNITS)
    more = unit(drop_in())
    assert own["Service"]["DynamicUser"] == node["Service"]["DynamicUser"] == "yes"
    assert own["Service"]["PrivateTmp"] == node["Service"]["PrivateTmp"] == "yes", "or there is none to join"
    assert "User" not in own["Service"], "it is named by its unit"
    assert node["Service"]["User"] == "clipwire"
    assert set(more["Unit"].values()) == {"clipwire-node.service"}
    assert "JoinsNamespaceOf" in more["Unit"]
    assert more["Service"]["EnvironmentFile"] == node["Service"]["EnvironmentFile"]
    assert node["Service"]["Restart"] == "always"
    words = ray_start(node["Service"]["ExecStart"].replace("/.venv/bin/ray", " ray").split())
    assert option(words, "--num-cpus") == "0"
    assert "--block" in words


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    for name in UNITS:
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", shipped(name), flags=re.M)
        (tmp_path / name).write_text(text)
    (tmp_path / "clipwire.service.d").mkdir()
    (tmp_path / "clipwire.service.d/override.conf").write_text(drop_in())
    for name in UNITS:
        ran = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", tmp_path / name],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert "clipwire" not in ran.stderr
        assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(("file", "host"), [("nginx.conf", "127.0.0.1"), ("nginx-compose.conf", "gateway")])
def test_the_site_of_nginx_goes_with_the_settings(file: str, host: str) -> None:
    """That it works is seen in tests/web/test_nginx.py."""
    text = re.sub(r"#.*", "", (FOLDER / file).read_text("utf-8"))
    assert text.count("{") == text.count("}")
    told = dict(re.findall(r"^\s*([a-z_]+) ([^;{]+);", text, re.M))
    default = {key: field.default for key, field in Settings.model_fields.items()}
    assert int(told["client_max_body_size"].removesuffix("m")) << 20 > default["upload_bytes_max"]
    assert int(told["client_body_timeout"].removesuffix("s")) > default["upload_stall_s"]
    assert int(told["send_timeout"].removesuffix("s")) > default["client_stall_s"]
    assert told["proxy_buffering"] == told["proxy_request_buffering"] == "off"
    assert told["proxy_http_version"] == "1.1"
    assert f"server {host}:{default['port']};" in text


def test_the_platforms_give_the_gateway_the_time_that_it_is_told_to_take() -> None:
    """Seconds from SIGTERM to SIGKILL, as the pages tell them."""
    for page, patience_s in (("cloud-run.md", 10), ("heroku.md", 30)):
        text = (FOLDER / page).read_text("utf-8")
        assert f"SIGKILL comes {patience_s} s after SIGTERM" in text
        (told,) = set(re.findall(r"GATEWAY_SHUTDOWN_S=(\d+)", text))
        assert int(told) + 5 <= patience_s
    (told,) = fenced((FOLDER / "render.md").read_text("utf-8"), "yaml")
    assert yaml.safe_load(told)["services"][0]["maxShutdownDelaySeconds"] > STOP_S


def test_the_sizes_are_in_one_place() -> None:
    """What was measured is told once; a page that needs a figure links to it."""
    assert INDEX.count("475 MB") == 1
    assert all("475 MB" not in page.read_text("utf-8") for page in PAGES)
