"""The languages: each whole, and one that is not stops the start."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import gateway.vision
from gateway.vision.analysis import FIELDS
from gateway.vision.wording import WordingUnfit, wording, wordings

FOLDER = Path(gateway.vision.__file__).parent / "prompts"
ENGLISH = (FOLDER / "en.yaml").read_text("utf-8")


def test_there_are_english_and_indonesian() -> None:
    known = wordings()
    assert list(known) == ["en", "id"]
    assert known["id"].name == "Bahasa Indonesia"
    for one in known.values():
        assert list(one.fields) == list(FIELDS)
        assert "what was wrong" in one.retold("what was wrong")
    assert known["en"].digest != known["id"].digest


def test_another_file_is_another_language(tmp_path: Path) -> None:
    (tmp_path / "xx.yaml").write_text(ENGLISH.replace("Analyse this picture.", "Look {here}."))
    (tmp_path / "README").write_text("not a language")
    known = wordings(tmp_path)
    assert list(known) == ["xx"]
    assert known["xx"].ask == "Look {here}."
    assert known["xx"].digest != wordings()["en"].digest


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  focal_point: text; what the eye goes to first\n", "", "focal_point"),
        ("  focal_point: ", "  focal: ", "focal, focal_point"),
        ("{faults}", "", "faults"),
        ("name: English", "name: true", "name"),
        ("name: English", "title: English", "title"),
        ("ask: Analyse this picture.", "ask: ''", "ask"),
        ("name: English", "name: [", "not YAML"),
        ("name: English", "name: !!python/object/apply:os.getcwd []", "not YAML"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_by_name(old: str, new: str, said: str) -> None:
    assert old in ENGLISH
    with pytest.raises(WordingUnfit, match=rf"xx\.yaml.*{said}"):
        wording("xx.yaml", ENGLISH.replace(old, new))


@pytest.mark.parametrize("text", ["", "a text", "[]", "- 1"])
def test_a_file_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(WordingUnfit):
        wording("xx.yaml", text)


def test_a_wheel_has_them(tmp_path: Path) -> None:
    root = FOLDER.parents[2]
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=root, check=True, capture_output=True, timeout=100)
    (wheel,) = tmp_path.glob("*.whl")
    assert {"gateway/vision/prompts/en.yaml", "gateway/vision/prompts/id.yaml"} <= set(
        zipfile.ZipFile(wheel).namelist()
    )
