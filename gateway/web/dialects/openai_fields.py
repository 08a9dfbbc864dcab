"""The documented fields of OpenAI's audio API beside the file, as a value."""

from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from gateway.speech.languages import CODES, NAMES
from gateway.speech.messages import Task
from gateway.speech.transcripts import Options

PROMPT_CHARS_MAX = 2000  # the end of a prompt counts, and the model takes fewer
GRANULARITIES = "timestamp_granularities"

_CODES_BY_NAME = {name: code for code, name in NAMES.items()}


class Body(BaseModel):
    """The documented fields but the file; others are passed over."""

    model_config = ConfigDict(extra="ignore")

    model: str = Field(description="The server's own model, or a name of OpenAI's that is served by it.")
    language: str | None = Field(None, description="A code such as en, or its English name.")
    prompt: str | None = Field(None, description="Text that came before; its end counts.")
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt"] = "json"
    temperature: float = Field(0, ge=0, le=1, allow_inf_nan=False)
    timestamp_granularities: tuple[Literal["word", "segment"], ...] = Field(
        (), validation_alias=AliasChoices(f"{GRANULARITIES}[]", GRANULARITIES)
    )
    stream: bool = Field(False, description="The text as it is recognised, with `json` or `text` only.")

    @field_validator("language")
    @classmethod
    def _known(cls, named: str | None) -> str | None:
        name = (named or "").strip().lower()
        if name and name not in CODES and name not in _CODES_BY_NAME:
            raise PydanticCustomError("language", "The language is not known. Give its code, such as en.")
        return _CODES_BY_NAME.get(name, name) or None

    @field_validator("prompt")
    @classmethod
    def _heeded(cls, prompt: str | None) -> str | None:
        return prompt and prompt[-PROMPT_CHARS_MAX:]

    @field_validator("timestamp_granularities")
    @classmethod
    def _verbose(cls, wanted: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if wanted and info.data.get("response_format", "verbose_json") != "verbose_json":
            raise PydanticCustomError("granularities", "Only response_format verbose_json has timestamps.")
        return wanted

    @field_validator("stream")
    @classmethod
    def _streamed(cls, stream: bool, info: ValidationInfo) -> bool:
        if stream and info.data.get("response_format", "json") not in ("json", "text"):
            raise PydanticCustomError("stream", "A stream is had with response_format json or text.")
        return stream

    def options(self, task: Task) -> Options:
        """What of it matters to the model."""
        return Options(
            language=self.language,
            task=task,
            words="word" in self.timestamp_granularities,
            prompt=self.prompt,
            temperature=self.temperature,
        )


FIELDS = frozenset(Body.model_fields) | {f"{GRANULARITIES}[]"}
