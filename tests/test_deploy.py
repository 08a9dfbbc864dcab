"""The papers of docs/deploy: their files are read as those who use them would, and name what is there."""

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.settings import Settings
from tests.test_docs import ROOT, environment_names, fenced, rows

FOLDER = ROOT / "docs/deploy"
INDEX = (FOLDER / "README.md").read_text("utf-8")
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
SETTINGS = {one for name, field in Settings.model_fields.items() for one in environment_names(name, field)}
# what a page's platform, an image or a library reads, and the gateway does not
OTHERS = {
    "HOME", "MODEL", "POSTGRES_DB", "POSTGRES_PASSWORD", "POSTGRES_USER", "PYTHONDONTWRITEBYTECODE",
    "RAILWAY_DEPLOYMENT_DRAINING_SECONDS", "RAILWAY_RUN_UID",
}  # fmt: skip
# systemd.exec(5), systemd.service(5) and systemd.unit(5), as far as the unit needs them
KEYS = {
    "Unit": {"Description", "Wants", "After"},
    "Service": {
        "AmbientCapabilities", "CapabilityBoundingSet", "DynamicUser", "Environment", "EnvironmentFile",
        "ExecReload", "ExecStart", "KillMode", "LimitCORE", "LimitNOFILE", "LockPersonality",
        "NoNewPrivileges", "OOMPolicy", "PrivateDevices", "PrivateTmp", "ProtectClock",
        "ProtectControlGroups", "ProtectHome", "ProtectHostname", "ProtectKernelLogs",
        "ProtectKernelModules", "ProtectKernelTunables", "ProtectProc", "ProtectSystem", "RemoveIPC",
        "Restart", "RestartSec", "RestrictAddressFamilies", "RestrictNamespaces", "RestrictRealtime",
        "RestrictSUIDSGID", "StateDirectory", "StateDirectoryMode", "SystemCallArchitectures",
        "SystemCallErrorNumber", "SystemCallFilter", "TimeoutStopSec", "Type", "UMask", "WorkingDirectory",
    },
    "Install": {"WantedBy"},
}  # fmt: skip
STOP_S = Settings.model_fields["shutdown_s"].default + 10  # and a slow database


def name(path: Path) -> str:
    return path.name


def compose() -> Any:
    return yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))


def unit() -> configparser.ConfigParser:
    read = configparser.ConfigParser(interpolation=None, strict=True)
    read.optionxform = str  # type: ignore[assignment, method-assign]
    read.read_string((FOLDER / "clipwire.service").read_text("utf-8"))
    return read


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


def test_the_composition_is_told_no_secret() -> None:
    for service in compose()["services"].values():
        for key, value in service["environment"].items() if "environment" in service else ():
            if re.search("KEY|SECRET|PASSWORD|DATABASE_URL", key):
                assert re.search(r"\$\{\w+:\?[^}]+\}", value), key


def test_what_the_composition_builds_is_there() -> None:
    built = compose()["services"]["gateway"]["build"]
    context = (FOLDER / built["context"]).resolve()
    assert context == ROOT
    recipe = (context / built["dockerfile"]).read_text("utf-8")
    let = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    for source in re.findall(r"^COPY (\S+)", recipe, re.M):
        assert f"!{source}" in let, f"{source} is kept out by .dockerignore"


def test_the_recipe_takes_the_package_for_redis_with_its_hashes() -> None:
    recipe = (FOLDER / "Dockerfile").read_text("utf-8")
    (script,) = re.findall(r"awk '([^']+)'", recipe)
    ran = subprocess.run(
        ["awk", script, ROOT / "tests/requirements.lock"],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    first, *hashes = ran.stdout.splitlines()
    assert first.startswith("redis==")
    assert hashes
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes)
    assert not hashes[-1].endswith("\\")
    assert "--require-hashes" in recipe


def test_the_recipe_ends_as_the_user_of_the_image() -> None:
    (user,) = re.findall(r"^USER (.+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.M)
    assert re.findall(r"^USER (.+)$", (FOLDER / "Dockerfile").read_text("utf-8"), re.M)[-1] == user


def test_the_unit_has_only_keys_that_systemd_knows() -> None:
    read = unit()
    assert set(read.sections()) == set(KEYS)
    for section in read.sections():
        assert set(read[section]) <= KEYS[section]


def test_the_unit_gives_the_gateway_its_time_and_its_folder() -> None:
    service = unit()["Service"]
    assert int(service["TimeoutStopSec"]) > STOP_S
    told = dict(one.split("=", 1) for one in service["Environment"].split())
    assert told["GATEWAY_DATA_DIR"] == f"/var/lib/{service['StateDirectory']}"
    assert service["ExecStart"].endswith(" -m gateway serve")
    assert service["ExecReload"].split()[1] == "-HUP"


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    copy = tmp_path / "clipwire.service"
    text = (FOLDER / "clipwire.service").read_text("utf-8")
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.M))
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, timeout=60
    )
    assert "clipwire.service" not in ran.stderr
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
