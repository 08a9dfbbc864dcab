"""Request bodies of media: fields to values, the file into a spool, both while they arrive.

Always: a body is read by one task at a time, and by none once its request is answered; it is never in
memory but for what one read gives; one that breaks off breaks its spool.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.http import HttpProcessingError

from gateway.errors import BadRequest, BodyTooLarge, BodyTooSlow
from gateway.media.spool import Spool
from gateway.settings import Settings
from gateway.speech.transcripts import Place
from gateway.web import params
from gateway.web.keys import GATEWAY
from gateway.web.params import Invalid, fault
from gateway.wire import formdata
from gateway.wire.formdata import FormReader, Malformed, Part, PartEnd

FILE = "file"  # the field with the media
FIELDS_MAX = 64
FIELDS_BYTES_MAX = 128 << 10  # of all that are kept; the end of a long prompt may count
MEDIA_TYPE = "application/octet-stream"  # the decoder looks for itself
_CUT = "The body was cut short."


def sent(request: web.Request) -> bool:
    """Whether the body is media or a form with some; anything else is JSON, whatever it is called."""
    kind = _kind(request)
    return (
        is_form(request) or kind.startswith(("audio/", "video/")) or kind in (MEDIA_TYPE, "application/ogg")
    )


def is_form(request: web.Request) -> bool:
    """Whether the body has fields."""
    return _kind(request) == "multipart/form-data"


def _kind(request: web.Request) -> str:
    """The media type as it was sent: aiohttp's is application/octet-stream where there is none."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def check(request: web.Request) -> None:
    """Raises UnsupportedBody or BodyTooLarge for a body that says so before it comes."""
    params.check_encoding(request)
    if (request.content_length or 0) > request.app[GATEWAY].settings.upload_bytes_max:
        raise BodyTooLarge


@asynccontextmanager
async def received(
    request: web.Request, names: Collection[str], *, placed: bool = True
) -> AsyncIterator["Upload"]:
    """The body, once its file has begun to arrive; of its fields, those of these names are kept.

    Not `placed` is one of who has not shown yet that a transcript is due: room for it is seen to later.
    Raises BodyTooLarge, BodyTooSlow, Invalid, BadRequest, UnsupportedBody; and NotReady or Busy, where no
    transcript would be accepted, before the client has sent the body.
    """
    gateway = request.app[GATEWAY]
    check(request)
    place = gateway.transcripts.place() if placed else Place(set())
    upload = Upload(request, names, gateway.settings, place)
    try:
        await upload.begin()
        async with gateway.spools.upload(upload.key, upload.fill) as upload.spool:
            yield upload
    finally:
        await upload.end()


class Upload:
    """The media of one request, and what its fields say."""

    spool: Spool

    def __init__(
        self, request: web.Request, names: Collection[str], settings: Settings, place: Place
    ) -> None:
        self.place = place  # left when the transcript begins
        self.key = object()  # nobody else's, and unlike the request it may be kept
        self.fields: dict[str, list[str]] = {}  # those that have come, by name
        self._request = request
        self._names = names
        self._settings = settings
        self._until = asyncio.get_running_loop().time() + settings.upload_s
        self._seen = 0
        self._first = b""
        self._file = self._of_form() if is_form(request) else self._raw()
        self._sealed = False
        self._filling: asyncio.Task[None] | None = None
        self._over = False

    async def begin(self) -> None:
        """Reads to the first bytes of the file."""
        await params.go_on(self._request)
        self._first = await anext(self._file, b"")
        if not self._first:
            at = (FILE,) if is_form(self._request) else ()
            raise Invalid([fault(at, "The media are missing or empty.", "missing")])

    async def fill(self, spool: Spool) -> None:
        """Pours the file into a spool, then reads what fields come after it."""
        if self._filling is not None:
            self.spool.check()  # it broke before the transcript asked for it: there is no second time
        if self._filling is not None or self._over:
            raise BadRequest(_CUT)
        self._filling = asyncio.current_task()
        if not is_form(self._request):
            spool.length = self._request.content_length  # told, not reserved: it costs nothing to announce
        spool.begin(MEDIA_TYPE)
        spool.append(self._first)
        self._first = b""
        async for data in self._file:
            spool.append(data)

    async def whole(self) -> None:
        """Waits for the end of the body: then all fields are known. Raises what broke it."""
        await self.spool.grown(sys.maxsize)
        self.spool.check()

    def seal(self) -> None:
        """From here on a field that would change what was begun is refused."""
        self._sealed = True

    async def end(self) -> None:
        """Reads no more: what is left of the body is aiohttp's."""
        self._over = True
        self.place.leave()
        if self._filling is not None and not self._filling.done():
            self._filling.cancel()
            await asyncio.wait([self._filling])
        await self._file.aclose()
        self.fields = {}  # whoever still knows of this holds nothing of the caller's

    async def _raw(self) -> AsyncGenerator[bytes, None]:
        while data := await self._read():
            yield data

    async def _of_form(self) -> AsyncGenerator[bytes, None]:
        """The file's bytes; fields are put down as they pass."""
        try:
            form = FormReader(formdata.boundary(self._request.headers["Content-Type"]))
            name, value, count, files, kept = "", bytearray(), 0, 0, 0
            while not form.ended:
                data = await self._read()
                if not data:
                    form.finish()
                for piece in form.feed(data):
                    match piece:
                        case Part(name):
                            count += 1
                            files += name == FILE
                            if count > FIELDS_MAX or files > 1:
                                raise BadRequest("The form has more than one file, or too many fields.")
                        case PartEnd() if name in self._names:
                            self._field(name, value)
                            value = bytearray()
                        case bytes() if name == FILE:
                            yield piece
                        case bytes() if name in self._names:
                            value += piece
                            kept += len(piece)
                            if kept > FIELDS_BYTES_MAX:
                                raise BodyTooLarge("The form's fields are too long.")
        except Malformed as failure:
            raise BadRequest(str(failure)) from None

    def _field(self, name: str, value: bytearray) -> None:
        if self._sealed:
            raise BadRequest(f"{name}: this field came after the file. Send it before, or the file first.")
        try:
            self.fields.setdefault(name, []).append(value.decode())
        except UnicodeDecodeError:
            raise BadRequest(f"{name}: this field is not UTF-8.") from None

    async def _read(self) -> bytes:
        """What has come of the body, b"" at its end."""
        soon = asyncio.get_running_loop().time() + self._settings.upload_stall_s
        try:
            async with asyncio.timeout_at(min(soon, self._until)):
                data = await self._request.content.readany()
        except TimeoutError:
            raise BodyTooSlow from None
        except (web.RequestPayloadError, HttpProcessingError):
            raise BadRequest(params.FRAMING) from None
        except (OSError, RuntimeError):
            raise BadRequest(_CUT) from None  # the client has left: nobody reads this
        self._seen += len(data)
        if self._seen > self._settings.upload_bytes_max:
            raise BodyTooLarge
        return data
