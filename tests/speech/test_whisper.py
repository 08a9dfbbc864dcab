from pathlib import Path

import pytest
from faster_whisper.tokenizer import _LANGUAGE_CODES

from gateway.speech.languages import CODES
from gateway.speech.messages import Job, Options, Recognised
from gateway.speech.vad import Detector, Hearing
from gateway.speech.whisper import FALLBACKS, Whisper
from gateway.speech.windows import Cutter, Window
from tests.speech.clips import RATE, Clip, error_rate, silence


@pytest.fixture(scope="module")
def whisper(base_model: Path) -> Whisper:
    return Whisper(base_model, name="base", compute_type="int8", threads=1, beam_size=5)


def windows(samples: bytes) -> list[Window]:
    cutter = Cutter()
    hearing = Hearing(Detector())
    return cutter.feed(samples, hearing.hear(samples) + hearing.finish()) + cutter.finish()


def jobs(clips: list[Clip], options: Options | None = None) -> list[Job]:
    """One job per clip; all are short enough for one window."""
    found = [windows(clip.samples)[0] for clip in clips]
    return [Job(window.samples, window.marks, options or Options()) for window in found]


def recognise(whisper: Whisper, batch: list[Job]) -> list[Recognised]:
    answers = dict(whisper.recognise(batch, lambda job, language, probability: None))
    assert sorted(answers) == list(range(len(batch)))
    return [answers[i] for i in range(len(batch))]


def text(recognised: Recognised) -> str:
    return " ".join(segment.text for segment in recognised.segments)


def test_the_languages_are_whispers() -> None:
    assert set(_LANGUAGE_CODES) == CODES


def test_a_batch_gives_what_each_window_gives_alone(whisper: Whisper, debian_clips: list[Clip]) -> None:
    equal = [clip for clip in debian_clips if clip.seconds < 5]
    assert len(equal) > 1
    together = recognise(whisper, jobs(equal))
    alone = [recognise(whisper, [job])[0] for job in jobs(equal)]
    assert [text(r) for r in together] == [text(r) for r in alone]
    for clip, recognised in zip(equal, together, strict=True):
        assert error_rate(clip, text(recognised)) < 0.3
        assert recognised.language == "en"


def test_the_language_is_told_before_the_text(whisper: Whisper, debian_clips: list[Clip]) -> None:
    told: list[tuple[int, str]] = []
    for number, answer in whisper.recognise(
        jobs(debian_clips[:1]), lambda n, code, _: told.append((n, code))
    ):
        assert told == [(number, answer.language)] == [(0, "en")]


def test_a_wished_language_is_not_doubted(whisper: Whisper, debian_clips: list[Clip]) -> None:
    (answer,) = recognise(whisper, jobs(debian_clips[:1], Options(language="de")))
    assert (answer.language, answer.probability) == ("de", None)


def test_words_lie_inside_their_segment(whisper: Whisper, debian_clips: list[Clip]) -> None:
    clip = debian_clips[0]
    (answer,) = recognise(whisper, jobs([clip], Options(words=True)))
    for segment in answer.segments:
        assert segment.words
        assert "".join(word.word for word in segment.words).strip() == segment.text
        times = [time for word in segment.words for time in (word.start, word.end)]
        assert times == sorted(times)
        assert segment.start <= times[0]
        assert times[-1] <= segment.end


def test_a_prompt_reaches_the_model(whisper: Whisper, debian_clips: list[Clip]) -> None:
    clip = debian_clips[0]
    (plain,) = recognise(whisper, jobs([clip]))
    (prompted,) = recognise(whisper, jobs([clip], Options(prompt="Mister Jon Dashwode")))
    assert "Dashwode" not in text(plain)
    assert "Dashwode" in text(prompted)


def test_speech_after_the_models_last_time_is_heard_again(whisper: Whisper, debian_clips: list[Clip]) -> None:
    # a pause of several seconds makes the model stop at its beginning
    parts = [debian_clips[1], debian_clips[4]]
    samples = parts[0].samples + silence(6) + parts[1].samples
    first, second = len(parts[0].samples) // 2, len(parts[1].samples) // 2
    marks = ((0, first), (len(samples) // 2 - second, len(samples) // 2))
    (answer,) = recognise(whisper, [Job(samples, marks, Options(language="en"))])
    assert error_rate(Clip("both", b"", " ".join(p.text for p in parts)), text(answer)) < 0.3
    assert answer.segments[-1].start > (len(samples) // 2 - second) / RATE - 1.5


def test_a_looping_answer_is_tried_again_and_never_told_whole(
    whisper: Whisper, debian_clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    # every answer counts as a loop, so every try is made and none is good
    monkeypatch.setattr("gateway.speech.pieces.REPETITIVE", 0.1)
    temperatures: list[float] = []
    decode = whisper._decode

    def counted(pieces: object, encoded: object, temperature: float = 0) -> None:
        temperatures.append(temperature)
        decode(pieces, encoded, temperature)  # type: ignore[arg-type]

    monkeypatch.setattr(whisper, "_decode", counted)
    (answer,) = recognise(whisper, jobs(debian_clips[:1], Options(language="en")))
    assert answer.segments == ()
    assert temperatures == [0, *FALLBACKS]
