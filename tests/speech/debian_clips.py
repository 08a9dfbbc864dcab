"""Real speech from Debian's pocketsphinx-testdata: LibriVox readers, with what they say."""

from pathlib import Path

from tests import debian


def librivox() -> dict[Path, str]:
    """Clips and their words, in lower case without punctuation. Raises as `debian.unpacked`."""
    where = debian.unpacked("pocketsphinx-testdata") / "usr/share/pocketsphinx/test/data/librivox"
    clips = {}
    for line in (where / "transcription").read_text().splitlines():
        words, _, name = line.rpartition("(")
        text = words.replace("<s>", "").replace("</s>", "").strip()
        clips[where / f"{name.rstrip(')').strip()}.wav"] = text.lower()
    return clips
