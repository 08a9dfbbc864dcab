"""The failures that many routes share, by what brings them about. Pure."""

from gateway import errors
from gateway.web.params import Invalid

# what a JSON body may be wrong with
BODY = (Invalid, errors.BodyTooLarge, errors.BodyTooSlow, errors.UnsupportedBody)
# what may come of reading a post's page
PAGE = (
    errors.InvalidUrl, errors.VideoUnavailable, errors.VideoPrivate, errors.GeoBlocked, errors.LoginRequired,
    errors.VideoTooLong, errors.NotVideoContent, errors.ExtractionFailed, errors.UpstreamRateLimited,
    errors.IpBlocked, errors.ProxyFailed, errors.UpstreamTimeout, errors.Busy,
)  # fmt: skip
MEDIA = (errors.UpstreamFailed, errors.MediaUndecodable)
# what may become of a transcript
SPEECH = (
    errors.MediaUndecodable, errors.VideoTooLong, errors.SpeechFailed, errors.Cancelled, errors.Interrupted,
    errors.Busy,
)  # fmt: skip
STORED = (errors.StoreUnavailable,)
