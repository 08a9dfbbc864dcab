"""Whatever a model says, an analysis holds only what it said."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.vision.analysis import FIELDS, Analysis, schema
from gateway.vision.reply import REPLY_CHARS_MAX, Unfit, read
from tests.vision.stand_in import ANALYSIS, GOOD
from tests.wire.sampling import SAMPLE

ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=400),
    st.lists(st.text(max_size=20), max_size=25), st.just({}), st.sampled_from(["2", "0.5", "true", " "]),
)  # fmt: skip
WRAPPED = st.sampled_from(
    ["{}", "```json\n{}\n```", "Well: {} - so.", '{{"analysis": {}}}', '[{{"a": [{}]}}]', "{{ {}", "{} }}"]
)


@given(
    changes=st.dictionaries(st.sampled_from(FIELDS), ODD, max_size=3),
    missing=st.sets(st.sampled_from(FIELDS), max_size=1),
    wrapping=WRAPPED,
)
@SAMPLE
def test_a_reply_is_taken_as_it_stands_or_not_at_all(
    changes: dict[str, Any], missing: set[str], wrapping: str
) -> None:
    said = {field: value for field, value in (ANALYSIS | changes).items() if field not in missing}
    reply = wrapping.format(json.dumps(said))
    try:
        found = read(reply)
    except Unfit:
        return
    assert not missing
    for field, value in found.model_dump().items():
        told = said[field]
        trimmed = (
            told.strip()
            if isinstance(told, str)
            else [one.strip() for one in told]
            if isinstance(told, list)
            else told
        )
        assert value == trimmed
        assert isinstance(value, bool) == isinstance(told, bool)


@given(st.text() | st.text(alphabet='{}[]",:\\ntrue01.e-').map(lambda text: text))
@SAMPLE
def test_no_text_raises_anything_else(text: str) -> None:
    with pytest.raises(Unfit):
        read(text)


@given(at=st.integers(min_value=0, max_value=len(GOOD) - 1), letter=st.characters())
@SAMPLE
def test_a_reply_with_one_letter_changed_is_read_or_refused(at: int, letter: str) -> None:
    reply = GOOD[:at] + letter + GOOD[at + 1 :]
    try:
        found = read(reply)
    except Unfit:
        return
    assert found.model_dump_json()  # it can be written down, whatever the letter is


@pytest.mark.parametrize("end", range(0, len(GOOD), 7))
def test_a_cut_reply_is_no_analysis(end: int) -> None:
    with pytest.raises(Unfit):
        read(GOOD[:end])


@pytest.mark.parametrize(
    ("field", "value"),
    [("people_count", 21), ("people_count", -1), ("people_count", "2"), ("people_count", 2.5),
     ("people_count", True), ("confidence_score", 1.01), ("confidence_score", -0.1),
     ("confidence_score", "high"),
     ("hook_elements", ["x"] * 11), ("hook_elements", "x"), ("hook_elements", [""]), ("props_objects", [1]),
     ("call_to_action_visible", "yes"), ("call_to_action_visible", 1), ("setting", ""), ("setting", "  "),
     ("setting", None), ("setting", "x" * 301), ("setting", ["kitchen"])],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_named_and_not_bent(field: str, value: Any) -> None:
    with pytest.raises(Unfit, match=f"^{field}"):
        read(json.dumps(ANALYSIS | {field: value}))


@pytest.mark.parametrize("field", FIELDS)
def test_no_field_may_be_left_out(field: str) -> None:
    with pytest.raises(Unfit, match=f"^{field}: Field required"):
        read(json.dumps({name: value for name, value in ANALYSIS.items() if name != field}))


def test_the_whole_one_is_taken_and_not_a_part_of_it() -> None:
    assert read('An example: {"setting": "none"} and now ' + GOOD) == Analysis.model_validate(ANALYSIS)
    assert read(f"{GOOD}\n{GOOD}") == Analysis.model_validate(ANALYSIS)


def test_two_that_differ_are_none() -> None:
    with pytest.raises(Unfit, match="differ"):
        read(GOOD + json.dumps(ANALYSIS | {"people_count": 3}))


@pytest.mark.parametrize(
    "reply",
    [
        "{" * REPLY_CHARS_MAX,
        '{"a":' * (REPLY_CHARS_MAX // 5),
        "[" * 9_000 + GOOD,
        GOOD.replace("0.85", "NaN"),
        GOOD.replace("0.85", "1e999"),
        GOOD.replace("kitchen", "\\ud800"),
        GOOD.replace('"people_count": 2', f'"people_count": {"9" * 5000}'),
        GOOD + " " * REPLY_CHARS_MAX,
    ],
    ids=["braces", "deep", "brackets", "not a number", "endless", "half a letter", "a long number", "long"],
)
def test_hostile_replies(reply: str) -> None:
    if reply.startswith("["):
        assert read(reply)  # the object is found in any rubbish
        return
    with pytest.raises(Unfit):
        read(reply)


def test_the_schema_is_one_that_structured_outputs_take() -> None:
    told = schema()
    assert told["required"] == list(told["properties"]) == list(FIELDS)
    assert told["additionalProperties"] is False
    assert told["properties"]["people_count"] == {"type": "integer", "minimum": 0, "maximum": 20}
    assert told["properties"]["confidence_score"] == {"type": "number", "minimum": 0, "maximum": 1}
    assert told["properties"]["hook_elements"] == {
        "type": "array", "items": {"type": "string"}, "maxItems": 10,
    }  # fmt: skip
