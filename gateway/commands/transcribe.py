"""The words of posts and files, while they are recognised."""

from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
import typer

from gateway.commands import asking, ending, inputs
from gateway.commands.asking import Access
from gateway.commands.telling import Telling

Format = Literal["txt", "srt", "vtt", "json"]
Task = Literal["transcribe", "translate"]
Source = Literal["auto", "captions", "speech"]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """How words are to be made out, and for which code."""

    language: str | None
    task: Task
    words: bool
    source: Source | None
    prompt: str | None
    hotwords: str | None
    code: str | None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where transcripts go: to standard output without a `path`, which may be a folder or one file."""

    form: Format
    path: Path | None
    folder: bool
    replace: bool


def transcribe(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="URL|FILE",
            help="Addresses of posts, texts with one in them, or audio and video files; a dash reads them "
            "from standard input.",
        ),
    ],
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            "-f",
            case_sensitive=False,
            help="Else as the ending of --output says, or txt: a line a segment.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A file; or a folder, if it is one, ends with a slash, or there are several inputs.",
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option(metavar="CODE", help="What is spoken, such as en; else it is heard.")
    ] = None,
    task: Annotated[Task, typer.Option(case_sensitive=False, help="translate: into English.")] = "transcribe",
    words: Annotated[
        bool, typer.Option("--words", help="The time of each word; vtt and json have a place for it.")
    ] = False,
    source: Annotated[
        Source | None,
        typer.Option(case_sensitive=False, help="A post's own captions, its speech, or what fits best."),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What came before, for names and spelling.")
    ] = None,
    hotwords: Annotated[str | None, typer.Option(metavar="TEXT", help="Words to expect.")] = None,
    replace: asking.Replace = False,
    code: Annotated[
        str | None,
        typer.Option(
            envvar="CLIPWIRE_CODE", metavar="CODE", help="A code that pays for one file, at a --server."
        ),
    ] = None,
    server: asking.Server = None,
    key: asking.Key = None,
    quiet: asking.Quiet = False,
    verbose: asking.Verbose = False,
) -> None:
    """Write down what is said in posts and files, each segment as soon as it is recognised."""
    access = Access(
        server=server or None, key=asking.secret(key, "--key"), verbose=verbose, speech=source != "captions"
    )  # fmt: skip
    given = inputs.words(what)
    wish = Wish(
        language=language, task=task, words=words, source=source, prompt=prompt, hotwords=hotwords,
        code=asking.secret(code, "--code"),
    )  # fmt: skip
    target = _target(output, form, several=len(given) > 1, replace=replace)
    if wish.code is not None:
        _payable(wish, access, given)
    ending.end(_heard(given, wish, target, access, Telling(quiet=quiet)))


async def _heard(given: list[str], wish: Wish, target: Target, access: Access, telling: Telling) -> int:
    from gateway.commands.hearing import heard  # it takes a while to load: `--help` does without

    return await heard(given, wish, target, access, telling)


def _target(output: str | None, form: Format | None, *, several: bool, replace: bool) -> Target:
    if output is None and several and form in ("srt", "vtt"):
        raise typer.BadParameter(f"several inputs are several {form} files: name a folder by --output")
    path = Path(output) if output is not None else None
    folder = path is not None and (several or path.is_dir() or str(output).endswith("/"))
    ending = path.suffix[1:].lower() if path is not None and not folder else ""
    known: dict[str, Format] = {one: one for one in get_args(Format)}
    return Target(form=form or known.get(ending, "txt"), path=path, folder=folder, replace=replace)


def _payable(wish: Wish, access: Access, given: list[str]) -> None:
    if access.server is None:
        raise typer.BadParameter("a code is for a gateway that runs: name it by --server")
    if len(given) > 1 or not Path(given[0]).is_file():
        raise typer.BadParameter("a code pays for one file")
    if wish.words or wish.source is not None:
        raise typer.BadParameter("--words and --source do not go with a code")
