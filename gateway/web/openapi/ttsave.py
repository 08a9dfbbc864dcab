"""TTSave in the OpenAPI document. Pure."""

from gateway.web.dialects.ttsave import Body, Told
from gateway.web.openapi.doc import Answer, Doc, binary, json, text
from gateway.web.openapi.failures import BODY, MEDIA, PAGE, SPEECH
from gateway.web.openapi.models.downloads import Plan

_BODY = json(
    Body,
    "urls",
    shown=({"url": "https://vm.tiktok.com/ZMabc123/", "content_type": "ORIGINAL", "quality": "720p"},),
)
_DOWNLOAD = Doc(
    (
        Answer(
            200,
            "The parts, at the client's speed. With `transcript` the words are between them.",
            binary("multipart/x-mixed-replace"),
            ("Content-Meta",),
        ),
    ),
    errors=(Told, *BODY, *PAGE, *MEDIA, *SPEECH),
    about="Each part has its type, its length where that is known, its link as `Content-Location`, and its"
    " file name. Without the closing boundary the body was cut.",
    bodies=_BODY,
)
_PLAN = Doc(
    (Answer(200, "What a download would send", json(Plan, "plan")),),
    errors=(Told, *BODY, *PAGE),
    bodies=_BODY,
)
_PING = Doc((Answer(200, "It answers", text("text/plain", "pong")),))

DOCS = {
    f"{method} {prefix}{path}": doc
    for prefix in ("", "/api/v3")
    for method, path, doc in (
        ("POST", "/download", _DOWNLOAD),
        ("POST", "/download/plan", _PLAN),
        ("POST", "/ping", _PING),
        ("GET", "/ping", _PING),
    )
}
