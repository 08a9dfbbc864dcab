"""OpenAI's API in the OpenAPI document. Pure."""

from gateway.web.dialects.openai import ModelNotFound
from gateway.web.dialects.openai_fields import Body
from gateway.web.openapi.doc import Answer, Doc, events, json, text
from gateway.web.openapi.failures import BODY, SPEECH, STORED
from gateway.web.openapi.models import openai as models
from gateway.web.openapi.native import SRT, VTT, WORDS, form

_FORMS = {
    **json(models.Spoken | models.Verbose, "openai"),
    **text("text/plain", WORDS + "\n"),
    **text("application/x-subrip", SRT),
    **text("text/vtt", VTT),
}
_ERRORS = (*BODY, *SPEECH, *STORED, ModelNotFound)

DOCS = {
    "POST /v1/audio/transcriptions": Doc(
        (
            Answer(
                200,
                "The words; with `stream` each segment's as soon as they are known",
                _FORMS | events(models.Streamed),
            ),
        ),
        errors=_ERRORS,
        bodies={"multipart/form-data": form(Body)},
    ),
    "POST /v1/audio/translations": Doc(
        (Answer(200, "The words in English", _FORMS),),
        errors=_ERRORS,
        bodies={"multipart/form-data": form(Body, "language", "stream")},
    ),
    "GET /v1/models": Doc((Answer(200, "The model by all of its names", json(models.Models, "models")),)),
    "GET /v1/models/{model}": Doc((Answer(200, "One of them", json(models.Model)),), errors=(ModelNotFound,)),
}
