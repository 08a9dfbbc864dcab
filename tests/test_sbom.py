"""The list of what we depend on holds all of the lock, and knows the licence of what is here."""

import json
import re
import subprocess
import sys

import pytest

from tests import sbom

TEXT = sbom.LOCK.read_text("utf-8")
LOCKED = list(sbom.locked(TEXT))
DOCUMENT = sbom.document(LOCKED)


def test_it_holds_every_locked_package_with_its_version_and_hashes() -> None:
    listed = {
        (one["name"], one["version"]): {
            found["content"] for link in one["externalReferences"] for found in link["hashes"]
        }
        for one in DOCUMENT["components"]
    }
    pinned = re.findall(r"^([\w.-]+)==([^\s;]+)", TEXT, re.M)
    assert list(listed) == pinned
    assert all(listed.values())
    told = re.findall(r"sha256:(\w+)", TEXT)
    assert sum(map(len, listed.values())) == len(told)
    assert set().union(*listed.values()) == set(told)


def test_every_reference_is_its_own() -> None:
    references = [one["bom-ref"] for one in DOCUMENT["components"]]
    assert len(set(references)) == len(references)


def test_it_knows_the_licence_of_every_package_that_is_here() -> None:
    for one in DOCUMENT["components"]:
        if one["scope"] == "required":
            (said,) = one["licenses"]
            assert "expression" in said, one["name"]  # SPDX, not words
        else:  # only what another system or Python would have
            assert one["properties"], one["name"]


def test_it_is_json_on_standard_output() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.sbom"],
        capture_output=True,
        timeout=60,
        cwd=sbom.LOCK.parent,
        check=True,
    )
    told = json.loads(ran.stdout)
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    assert told["serialNumber"] == DOCUMENT["serialNumber"]
    assert told["components"] == DOCUMENT["components"]


def test_a_lock_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="av>=18"):
        list(sbom.locked("av>=18 \\\n    --hash=sha256:00\n"))


def test_the_papers_know_what_is_not_permissive() -> None:
    """A package that comes with another kind of licence is a line in docs/licences.md."""
    paper = (sbom.LOCK.parent / "docs/licences.md").read_text("utf-8")
    free = {
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "PSF-2.0",
        "Unlicense", "Zlib",
    }  # fmt: skip
    for one in DOCUMENT["components"]:
        for said in one.get("licenses", ()):
            if set(re.findall(r"[\w.-]+", said["expression"])) - free - {"AND", "OR"}:
                assert f"`{one['name']}`" in paper, said
