"""The lines of the analyzer's batches, as models. Pure."""

from gateway.web.dialects.analyzer import models as analyzer_models
from gateway.web.openapi.models.numbers import Count


class ProcessedLine(analyzer_models.Processed):
    """One url of a streamed batch that went well, with its place."""

    index: Count


class FailedLine(analyzer_models.Failed):
    """One that did not."""

    index: Count
