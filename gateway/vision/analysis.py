"""What is to be seen in a thumbnail: the documented fields, as a value that holds nothing else."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

WORDS_CHARS_MAX = 300  # a sentence or two; more is a model that does not stop
THINGS_MAX = 20
PEOPLE_MAX, HOOKS_MAX = 20, 10  # as documented

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=WORDS_CHARS_MAX)]
Things = Annotated[list[Words], Field(max_length=THINGS_MAX)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Analysis(BaseModel):
    """An analysis, each field of it said by the model: none has a default, and no type is bent to fit."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    visual_style: Words
    setting: Words
    people_count: Annotated[int, Field(ge=0, le=PEOPLE_MAX)]
    camera_angle: Words
    text_overlay_style: Words
    color_scheme: Words
    hook_elements: Annotated[list[Words], Field(max_length=HOOKS_MAX)]
    confidence_score: Share
    composition_type: Words
    focal_point: Words
    lighting_quality: Words
    mood_emotion: Words
    brand_elements: Things
    story_stage: Words
    call_to_action_visible: bool
    product_prominence: Words
    production_quality: Words
    background_complexity: Words
    props_objects: Things
    visual_interest_level: Words
    scroll_stopping_power: Words
    target_demographic: Words
    content_category: Words
    pacing_indicator: Words
    transition_style: Words


FIELDS = tuple(Analysis.model_fields)

# what structured outputs may be told of a value; the rest is checked here
_TOLD = ("type", "items", "minimum", "maximum", "maxItems")


def schema() -> dict[str, Any]:
    """The fields as a JSON schema in the strict form that structured outputs want."""
    properties = Analysis.model_json_schema()["properties"]
    return {
        "type": "object",
        "properties": {name: _told(properties[name]) for name in FIELDS},
        "required": list(FIELDS),
        "additionalProperties": False,
    }


def _told(value: dict[str, Any]) -> dict[str, Any]:
    return {key: _told(told) if key == "items" else told for key, told in value.items() if key in _TOLD}
