"""The packages of the lock as a CycloneDX document: `python -m tests.sbom > sbom.json`.

Our own, as the well-kept tool for it reads either a lock, and knows no licences, or an environment,
and knows no hashes. The same lock and environment give the same document, but for the time in it.
"""

import json
import os
import re
import sys
import sysconfig
import time
import uuid
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import msgspec

from gateway import __version__

LOCK = Path(__file__).parents[1] / "requirements.lock"

# what our packages' metadata say in the words of older days, as SPDX says it
SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",  # as those of ours mean that say no more
    "ISC License": "ISC",
    "MIT License": "MIT",
}
_SPDX = re.compile(r"\(*[A-Za-z0-9.+-]+\)*(?: (?:AND|OR|WITH) \(*[A-Za-z0-9.+-]+\)*)*")
_PINNED = re.compile(r"([\w.-]+)==([^\s;]+)(?: ; (.+?))?(?: \\)?$")


class Locked(msgspec.Struct, frozen=True):
    """A package of the lock."""

    name: str
    version: str
    marker: str  # where it is wanted; empty is everywhere
    sha256: tuple[str, ...]  # of the files it may come as


def locked(text: str) -> Iterator[Locked]:
    """The packages of a lock with hashes. Raises ValueError at a line that is none."""
    for entry in re.split(r"\n(?=\S)", text.strip()):
        first, *rest = entry.splitlines()
        if (pinned := _PINNED.fullmatch(first)) is None:
            raise ValueError(f"not a pinned package: {first}")
        hashes = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})\b", "\n".join(rest)))
        yield Locked(pinned[1], pinned[2], pinned[3] or "", hashes)


def licence(found: Distribution) -> str:
    """What a package says of its licence, as SPDX where it can be said so; empty where it says nothing."""
    told: Any = found.metadata  # a mapping, which the types do not tell
    classes = [one.rpartition(" :: ")[2] for one in told.get_all("Classifier") or () if "License ::" in one]
    said = (
        told.get("License-Expression")
        or _line(told.get("License") or "")
        or " AND ".join(dict.fromkeys(SPDX.get(one, one) for one in classes))
    )
    return SPDX.get(said, said)


def document(packages: list[Locked]) -> dict[str, Any]:
    """The document; of packages that are not wanted on this machine it knows no licence."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, repr(packages))}",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime(
                "%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH") or time.time()))
            ),
            "component": {
                "type": "application", "bom-ref": "clipwire", "name": "clipwire", "version": __version__,
                "licenses": [{"expression": "MIT"}],
            },
        },
        "components": [_component(one) for one in packages],
    }  # fmt: skip


def _component(package: Locked) -> dict[str, Any]:
    purl = f"pkg:pypi/{package.name}@{package.version}"
    here = _installed(package)
    said = licence(here) if here is not None else ""
    marker = {"properties": [{"name": "clipwire:marker", "value": package.marker}]} if package.marker else {}
    return {
        "type": "library", "bom-ref": purl, "purl": purl, "name": package.name, "version": package.version,
        # a component's own hashes are of one file; the lock has those of every file it may come as
        "externalReferences": [
            {"type": "distribution", "url": purl, "hashes": [{"alg": "SHA-256", "content": one}]}
            for one in package.sha256
        ],
        "scope": "required" if here is not None else "optional",
        **({"licenses": [_said(said)]} if said else {}),
        **marker,
    }  # fmt: skip


def _said(licence: str) -> dict[str, Any]:
    if _SPDX.fullmatch(licence):
        return {"expression": licence}
    return {"license": {"name": licence}}


def _installed(package: Locked) -> Distribution | None:
    """Looked for in the environment alone: some packages bring others along, in folders of their own."""
    there = distributions(name=package.name, path=[sysconfig.get_path("purelib")])
    return next((found for found in there if found.version == package.version), None)


def _line(text: str) -> str:
    """A licence's name; empty for its whole text, which some put there."""
    return text.strip() if "\n" not in text.strip() else ""


if __name__ == "__main__":
    json.dump(document(list(locked(LOCK.read_text("utf-8")))), sys.stdout, indent=1)
    print()
