from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.speech import models
from gateway.speech.messages import Job, Options, Recognised
from gateway.speech.pieces import Piece
from gateway.speech.rounds import FALLBACKS, Rounds
from gateway.speech.vad import Detector, Hearing
from gateway.speech.whisper import Whisper
from gateway.speech.windows import Cutter, Window
from tests.speech.clips import RATE, Clip, error_rate, silence


@pytest.fixture(scope="module")
def model(base_model: Path) -> Whisper:
    return Whisper(base_model, compute_type="int8", threads=1, beam_size=5)


@pytest.fixture(scope="module")
def rounds(model: Whisper) -> Rounds:
    return Rounds(model, name="base", silence_s=None)


def windows(samples: bytes) -> list[Window]:
    cutter = Cutter()
    hearing = Hearing(Detector())
    return cutter.feed(samples, hearing.hear(samples) + hearing.finish()) + cutter.finish()


def jobs(clips: list[Clip], options: Options | None = None) -> list[Job]:
    """One job per clip; all are short enough for one window."""
    found = [windows(clip.samples)[0] for clip in clips]
    return [Job(window.samples, window.marks, options or Options()) for window in found]


def recognise(rounds: Rounds, batch: list[Job]) -> list[Recognised]:
    answers = dict(rounds.recognise(batch, lambda job, language, probability: None))
    assert sorted(answers) == list(range(len(batch)))
    return [answers[i] for i in range(len(batch))]


def tried(model: Whisper, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The temperatures of all decoding from now on."""
    temperatures: list[float] = []
    decode = model.decode

    def counted(pieces: Sequence[Piece], encoded: Any, temperature: float) -> None:
        temperatures.append(temperature)
        decode(pieces, encoded, temperature)

    monkeypatch.setattr(model, "decode", counted)
    return temperatures


def text(recognised: Recognised) -> str:
    return " ".join(segment.text for segment in recognised.segments)


def test_a_batch_gives_what_each_window_gives_alone(rounds: Rounds, debian_clips: list[Clip]) -> None:
    equal = [clip for clip in debian_clips if clip.seconds < 5]
    assert len(equal) > 1
    together = recognise(rounds, jobs(equal))
    alone = [recognise(rounds, [job])[0] for job in jobs(equal)]
    assert [text(r) for r in together] == [text(r) for r in alone]
    for clip, recognised in zip(equal, together, strict=True):
        assert error_rate(clip, text(recognised)) < 0.3
        assert recognised.language == "en"


def test_the_language_is_told_before_the_text(rounds: Rounds, debian_clips: list[Clip]) -> None:
    told: list[tuple[int, str]] = []
    for number, answer in rounds.recognise(jobs(debian_clips[:1]), lambda n, code, _: told.append((n, code))):
        assert told == [(number, answer.language)] == [(0, "en")]


def test_a_wished_language_is_not_doubted(rounds: Rounds, debian_clips: list[Clip]) -> None:
    (answer,) = recognise(rounds, jobs(debian_clips[:1], Options(language="de")))
    assert (answer.language, answer.probability) == ("de", None)


def test_words_lie_inside_their_segment(rounds: Rounds, debian_clips: list[Clip]) -> None:
    clip = debian_clips[0]
    (answer,) = recognise(rounds, jobs([clip], Options(words=True)))
    for segment in answer.segments:
        assert segment.words
        assert "".join(word.word for word in segment.words).strip() == segment.text
        times = [time for word in segment.words for time in (word.start, word.end)]
        assert times == sorted(times)
        assert segment.start <= times[0]
        assert times[-1] <= segment.end


def test_a_prompt_reaches_the_model(rounds: Rounds, debian_clips: list[Clip]) -> None:
    clip = debian_clips[0]
    (plain,) = recognise(rounds, jobs([clip]))
    (prompted,) = recognise(rounds, jobs([clip], Options(prompt="Mister Jon Dashwode")))
    assert "Dashwode" not in text(plain)
    assert "Dashwode" in text(prompted)


def test_hotwords_reach_the_model(rounds: Rounds, debian_clips: list[Clip]) -> None:
    clip = debian_clips[0]
    (hot,) = recognise(rounds, jobs([clip], Options(hotwords="Mister Jon Dashwode")))
    assert "Dashwode" in text(hot)


def test_hotwords_and_a_prompt_may_be_of_any_length(rounds: Rounds, debian_clips: list[Clip]) -> None:
    clip = debian_clips[0]
    for words in ("the old house ", "Dashwode, Norland, Barton "):
        long = words * 200
        (answer,) = recognise(rounds, jobs([clip], Options(hotwords=long, prompt=long, language="en")))
        assert answer.language == "en"


def test_a_temperature_is_that_of_the_first_try_and_those_after_it_are_above(
    rounds: Rounds, model: Whisper, debian_clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    temperatures = tried(model, monkeypatch)
    (answer,) = recognise(rounds, jobs(debian_clips[:1], Options(language="en", temperature=0.2)))
    assert error_rate(debian_clips[0], text(answer)) < 0.5  # it is sampled, each time anew
    assert temperatures[0] == 0.2

    monkeypatch.setattr("gateway.speech.pieces.REPETITIVE", 0.1)  # no text is good
    for first, above in ((0.3, [step + 0.3 for step in FALLBACKS]), (0.9, [0.9, 1.0])):
        temperatures.clear()
        recognise(rounds, jobs(debian_clips[1:2], Options(language="en", temperature=first)))
        assert temperatures == pytest.approx([first, *above])


def test_a_language_heard_before_is_doubted_where_it_makes_bad_text(
    rounds: Rounds, debian_clips: list[Clip]
) -> None:
    for before, clips in (("fr", debian_clips), ("ru", debian_clips[:2])):
        for clip, job in zip(clips, jobs(clips), strict=True):
            (answer,) = recognise(rounds, [msgspec.structs.replace(job, before=before)])
            assert error_rate(clip, text(answer)) < 0.3
            assert answer.language == "en" or before == "ru"  # in which it may come out right too
            assert answer.probability is None


def test_a_language_heard_before_is_not_doubted_without_reason(
    rounds: Rounds, model: Whisper, debian_clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    temperatures = tried(model, monkeypatch)
    for job in jobs(debian_clips):
        recognise(rounds, [msgspec.structs.replace(job, before="en")])
    assert temperatures == [0] * len(debian_clips)


def test_speech_after_the_models_last_time_is_heard_again(rounds: Rounds, debian_clips: list[Clip]) -> None:
    # a pause of several seconds makes the model stop at its beginning
    parts = [debian_clips[1], debian_clips[4]]
    samples = parts[0].samples + silence(6) + parts[1].samples
    first, second = len(parts[0].samples) // 2, len(parts[1].samples) // 2
    marks = ((0, first), (len(samples) // 2 - second, len(samples) // 2))
    (answer,) = recognise(rounds, [Job(samples, marks, Options(language="en"))])
    assert error_rate(Clip("both", b"", " ".join(p.text for p in parts)), text(answer)) < 0.3
    assert answer.segments[-1].start > (len(samples) // 2 - second) / RATE - 1.5


def test_a_looping_answer_is_tried_again_and_never_told_whole(
    rounds: Rounds, model: Whisper, debian_clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    # every answer counts as a loop, so every try is made and none is good
    monkeypatch.setattr("gateway.speech.pieces.REPETITIVE", 0.1)
    temperatures = tried(model, monkeypatch)
    (answer,) = recognise(rounds, jobs(debian_clips[:1], Options(language="en")))
    assert answer.segments == ()
    assert temperatures == [0, *FALLBACKS]


def test_the_registry_model_is_heard_with_its_whole_context(data_dir: Path, debian_clips: list[Clip]) -> None:
    folder = models.find("tiny.en", data_dir)
    if folder is None:
        pytest.skip("tiny.en is not in the data folder of the tests")
    errors = {}
    for silence_s in (None, 5.0):
        tiny = Rounds(
            Whisper(folder, compute_type="int8", threads=1, beam_size=5), name="tiny.en", silence_s=silence_s
        )
        answers = [recognise(tiny, [job])[0] for job in jobs(debian_clips)]
        pairs = zip(debian_clips, answers, strict=True)
        errors[silence_s] = sum(error_rate(clip, text(answer)) for clip, answer in pairs)
    print("tiny.en, word error rates with its own and with 5 s of silence:", errors)
    assert errors[None] < 1
