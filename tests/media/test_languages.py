import pytest

from gateway.media import languages
from gateway.speech.languages import CODES


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("eng-US", "en"), ("deu-DE", "de"), ("cmn-Hans-CN", "zh"), ("cmn-Hant-TW", "zh"), ("zho", "zh"),
        ("por-BR", "pt"), ("fil-PH", "tl"), ("nob-NO", "no"), ("ind-ID", "id"), ("zsm-MY", "ms"),
        ("ara-SA", "ar"), ("jav-ID", "jw"), ("yue-Hant-HK", "yue"), ("heb-IL", "he"), ("ell-GR", "el"),
        ("en", "en"), ("EN_us", "en"), ("pt-BR", "pt"), ("iw", "he"), (" fra-FR ", "fr"),
        # a language that the model does not know stays as the page has it
        ("ceb-PH", "ceb-PH"), ("zul", "zul"), ("", ""), ("-", "-"), ("english", "english"), ("e", "e"),
    ],
)  # fmt: skip
def test_the_languages_of_pages_have_our_codes(language: str, code: str) -> None:
    assert languages.code(language) == code


def test_every_language_that_the_model_knows_can_be_named_by_three_letters() -> None:
    assert set(languages._OURS.values()) == CODES
    named = {ours for name, ours in languages._OURS.items() if len(name) == 3}
    assert named == CODES


def test_no_name_is_two_languages() -> None:
    names = [name for row in languages._TABLE.split() for name in row.replace(":", ",").split(",")]
    assert len(names) == len(set(names))
