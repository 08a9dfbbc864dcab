"""What a vision model is asked, in each language: one YAML file in `prompts/` is one language.

Always: a file has every field of an analysis described, and nothing else; one that has not stops the start.
"""

import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from gateway.vision.analysis import FIELDS

FAULTS = "{faults}"
Text = Annotated[str, Field(min_length=1, max_length=4000)]


class Wording(BaseModel):
    """One language: who the model is, what it is to do, and how it is told that it did not."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", str_strip_whitespace=True)

    name: Text
    system: Text
    ask: Text
    again: Text
    fields: dict[str, Text]

    @field_validator("again")
    @classmethod
    def _says_what(cls, again: str) -> str:
        if FAULTS not in again:
            raise ValueError(f"{FAULTS} stands nowhere in it")
        return again

    @field_validator("fields")
    @classmethod
    def _all(cls, fields: dict[str, str]) -> dict[str, str]:
        if wrong := sorted(set(fields) ^ set(FIELDS)):
            raise ValueError(f"missing, or no field of an analysis: {', '.join(wrong)}")
        return fields

    @property
    def instruction(self) -> str:
        """What is said first: the task, and the fields in their order."""
        return "\n".join([self.system, "", *(f"- {name}: {self.fields[name]}" for name in FIELDS)])

    def retold(self, faults: str) -> str:
        """What is said to a reply that does not fit."""
        return self.again.replace(FAULTS, faults)

    @property
    def digest(self) -> str:
        """Another one where anything in it was changed: what was kept under the old words is not found."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


class WordingUnfit(Exception):
    """A file of prompts that is not as it should be; the text names it and says why."""


def wordings(folder: Traversable | None = None) -> dict[str, Wording]:
    """Every language that there is a file for, by its code. Raises WordingUnfit."""
    there = folder or files("gateway.vision") / "prompts"
    return {
        file.name.removesuffix(".yaml"): wording(file.name, file.read_text("utf-8"))
        for file in sorted(there.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".yaml")
    }


def wording(name: str, text: str) -> Wording:
    """One file. Raises WordingUnfit."""
    try:
        return Wording.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise WordingUnfit(f"{name} is not YAML: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise WordingUnfit(f"{name}: {faults}") from error
