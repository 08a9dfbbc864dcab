"""What was said, and when."""

import re
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from gateway.commands import asking, ending, plain
from gateway.commands.asking import Access
from gateway.commands.out import Out
from gateway.commands.telling import Telling

if TYPE_CHECKING:  # it takes a while to load: `--help` does without
    from clipwire import Client
    from clipwire.records import Hit

PAGE_MAX = 200


def search(
    words: Annotated[
        list[str], typer.Argument(metavar="WORDS", help="All of them are in a segment that is found.")
    ],
    limit: Annotated[int, typer.Option(min=1, metavar="NUMBER", help="How many segments at the most.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, for machines.")] = False,
    server: asking.Server = None,
    key: asking.Key = None,
    quiet: asking.Quiet = False,
    verbose: asking.Verbose = False,
) -> None:
    """Find what was said in the transcripts that are kept, and when; of the newest first.

    In a pipe a line is the transcript's id, start and end in seconds, its title and the text, with tabs
    between.
    """
    access = Access(server=server or None, key=asking.secret(key, "--key"), verbose=verbose)
    ending.end(_found(" ".join(words), limit, access, Telling(quiet=quiet), as_json=as_json))


async def _found(query: str, limit: int, access: Access, telling: Telling, *, as_json: bool) -> int:
    out = Out()
    async with asking.asked(access, telling) as client:

        async def show(query: str) -> None:
            count = await _shown(client, query, limit, telling, out, as_json=as_json)
            if not count:
                telling.note("Nothing was found.")

        return await asking.each([query], show, telling)


async def _shown(
    client: "Client", query: str, limit: int, telling: Telling, out: Out, *, as_json: bool
) -> int:
    """Writes the hits, page by page; how many there were."""
    hits, after, count = Hits(query, out, as_json=as_json), None, 0
    while count < limit:
        asked = min(limit - count, PAGE_MAX)
        page = await asking.again(
            lambda asked=asked, after=after: client.transcripts.search(query, limit=asked, after=after),  # type: ignore[misc]
            telling,
        )
        await out.write("".join(map(hits.line, page.hits)).encode())
        count, after = count + len(page.hits), page.next
        if after is None or not page.hits:
            break
    return count


class Hits:
    """Hits as lines: on a terminal below the titles of their transcripts."""

    def __init__(self, query: str, out: Out, *, as_json: bool) -> None:
        self._terms = re.compile("|".join(map(re.escape, query.split())), re.I)
        self._out = out
        self._as_json = as_json
        self._id = ""  # of the transcript whose title was told last

    def line(self, hit: "Hit") -> str:
        if self._as_json:
            return plain.document(msgspec.json.encode(hit).decode()) + "\n"
        if not self._out.terminal:
            times = (f"{hit.start:.3f}", f"{hit.end:.3f}")
            return "\t".join(map(plain.line, (hit.id, *times, hit.title or "", hit.text))) + "\n"
        head, self._id = "" if hit.id == self._id else self._title(hit), hit.id
        text = self._terms.sub(lambda found: self._out.bold(found[0]), plain.line(hit.text))
        return f"{head}{self._out.dim(plain.clock(hit.start).rjust(7))}  {text}\n"

    def _title(self, hit: "Hit") -> str:
        title = plain.line(hit.title or "") or "(no title)"
        return f"{self._out.bold(title)}  {self._out.dim(plain.line(hit.id))}\n"
