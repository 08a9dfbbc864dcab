"""What can be asked of the origin: a table of frozen values, one row for each behaviour.

A name never changes its meaning; a new behaviour is a new row.
"""

from typing import Literal

import msgspec

PageManner = Literal[
    "plain", "expired", "waf", "waf_hard", "403", "429", "503", "hangs", "trickles", "login_redirect",
    "redirect", "detour", "circles", "huge", "members",
]  # fmt: skip
CdnManner = Literal[
    "plain", "slow", "dies", "dies_end", "dies_once", "dies_expired", "changes", "ignores_range", "short",
    "hangs", "untold", "untold_cut", "silent", "403", "404", "empty", "html",
    "redirect", "redirect_evil", "first_link_404", "chunked", "untagged",
]  # fmt: skip

PAGE = "https://www.tiktok.com"
AUTHOR = "clipwire.demo"
MEMBER = "invented-login"  # the cookie that a signed-in viewer has


class Words(msgspec.Struct, frozen=True):
    """The text of a post, all of it the author's choice and therefore not to be trusted."""

    desc: str = "A red kite over a quiet harbour #clipwire #demo"
    author: str = AUTHOR
    nickname: str = "Clipwire Demo"
    music: str = "Four notes"


class Gear(msgspec.Struct, frozen=True):
    """One encoding of a video beside others; `mute` ones have no sound, which their link tells."""

    codec: Literal["h264", "bytevc1"]  # the site's word for HEVC
    lines: Literal[360, 540, 720, 1080]
    mute: bool = False

    @property
    def clip(self) -> str:
        return f"{self.codec}-{self.lines}{'-mute' if self.mute else ''}"


class Subtitles(msgspec.Struct, frozen=True):
    """Captions of a post as its page lists them; without a `source` they are the creator's own."""

    clip: str
    language: str = "eng-US"
    source: Literal["ASR", "MT", ""] = "ASR"
    format: str = "webvtt"


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One post, or one short link to a post."""

    id: str
    kind: Literal["video", "photo", "short"] = "video"
    clips: tuple[str, ...] = ("video",)  # the original parts in order: the video, or photos and then a sound
    gears: tuple[Gear, ...] = ()  # the video's encodings; without: H.264 of the clip, and HEVC that is 404
    page: PageManner = "plain"
    cdn: CdnManner = "plain"
    faulty: tuple[int, ...] = ()  # the parts that `cdn` is about; empty means all
    status: tuple[int, str] = (0, "")  # statusCode and statusMsg of the page
    duration_s: int | None = None  # what the page says; None: the truth
    captions: tuple[Subtitles, ...] = ()
    caption_cdn: CdnManner = "plain"  # how their files are sent, whatever `cdn` says of the post's parts
    without: Literal["", "video", "urls"] = ""  # what the page leaves out
    video_url: str = ""  # where the page sends for the video, instead of our CDN
    words: Words = Words()
    address: str = ""  # of a short link
    target: str = ""  # where a short link or a page leads: the name of a post, or an absolute URL

    @property
    def url(self) -> str:
        """The address that a person would paste."""
        return self.address or f"{PAGE}/@{AUTHOR}/{self.kind}/{self.id}"


HOSTILE = Words(
    desc='../../etc/passwd\r\nX-Injected: yes\r\n\r\n"quoted" \\ </script><b>bold</b> '
    "\u202eright-to-left\u202c \x00\x1b[31m é \u65e5\u672c\u8a9e \U0001f9e1\U0001f469\u200d\U0001f680 "
    "${HOME} %s {0} " + "long " * 1980,
    author='../..\\"evil"\r\nX-Author: yes',
    nickname='\u202e"; rm -rf /\r\n\U0001f47b',
    music='--simple_boundary\r\nContent-Type: text/html\r\n\r\n"',
)
SLIDES = tuple(f"slide-{n}" for n in range(1, 4))
SLIDES_35 = tuple(f"slide35-{n:02}" for n in range(1, 36))
SLIDES_WEBP = tuple(f"webp-{n}" for n in range(1, 4))
VM, VT = "https://vm.tiktok.com", "https://vt.tiktok.com"
RECOGNISED = Subtitles("captions-asr")
TRANSLATED = Subtitles("captions-mt", "spa-ES", "MT")
WRITTEN = Subtitles("captions-creator", source="")


def captioned(number: int, *captions: Subtitles, cdn: CdnManner = "plain") -> Scenario:
    """A spoken post with captions of which the page knows this."""
    return Scenario(id=_id(number), clips=("speech",), captions=captions, caption_cdn=cdn)


def _id(number: int) -> str:
    return f"7400000000000000{number:03}"


SCENARIOS: dict[str, Scenario] = {
    # posts as they should be
    "video": Scenario(id=_id(1)),
    "video_moov_last": Scenario(id=_id(2), clips=("video_moov_last",)),
    "video_fragmented": Scenario(id=_id(3), clips=("video_fragmented",)),
    "speech": Scenario(
        id=_id(4), clips=("speech",), words=Words(desc="The keeper of the lighthouse #story #clipwire")
    ),
    "big": Scenario(id=_id(5), clips=("big",), duration_s=60),
    "big64": Scenario(id=_id(6), clips=("big64",), duration_s=600),
    "photo3": Scenario(
        id=_id(10), kind="photo", clips=(*SLIDES, "sound"), words=Words(desc="Three pictures #garden")
    ),
    "photo35": Scenario(id=_id(11), kind="photo", clips=(*SLIDES_35, "sound")),
    "photo_silent": Scenario(id=_id(12), kind="photo", clips=SLIDES),
    "photo_webp": Scenario(id=_id(13), kind="photo", clips=(*SLIDES_WEBP, "sound")),
    "long": Scenario(id=_id(14), duration_s=3661),
    "captions": captioned(15, RECOGNISED, TRANSLATED),
    "qualities": Scenario(
        id=_id(16),
        clips=("h264-1080",),
        gears=(
            *(Gear("h264", lines) for lines in (540, 360, 1080, 720)),
            *(Gear("bytevc1", lines) for lines in (720, 540)),
        ),
    ),
    "hevc_mute": Scenario(
        id=_id(17), clips=("h264-540",), gears=(Gear("h264", 540), Gear("bytevc1", 720, mute=True))
    ),
    # captions: the creator's beside others, in other formats, and with files that cannot be had
    "captions_creator": captioned(100, WRITTEN, TRANSLATED),
    "captions_both": captioned(101, RECOGNISED, WRITTEN),
    "captions_foreign": captioned(102, Subtitles("captions-mt", "spa-ES", ""), RECOGNISED),
    "captions_translated": captioned(103, TRANSLATED),
    "captions_json": captioned(104, Subtitles("captions-json", source="", format="creator_caption")),
    "captions_empty": captioned(105, Subtitles("captions-empty")),
    "captions_huge": captioned(106, Subtitles("captions-huge")),
    "captions_huge_untold": captioned(107, Subtitles("captions-huge"), cdn="chunked"),
    "captions_404": captioned(108, RECOGNISED, cdn="404"),
    "captions_html": captioned(109, RECOGNISED, cdn="html"),
    "captions_dies": captioned(110, RECOGNISED, cdn="dies"),
    "captions_dies_once": captioned(111, RECOGNISED, cdn="dies_once"),
    "captions_silent": captioned(112, RECOGNISED, cdn="silent"),
    # short links
    "short_vm": Scenario(id=_id(20), kind="short", address=f"{VM}/ZMclip001/", target="video"),
    "short_vt": Scenario(id=_id(21), kind="short", address=f"{VT}/ZSclip002/", target="video"),
    "short_t": Scenario(id=_id(22), kind="short", address=f"{PAGE}/t/ZTclip003/", target="video"),
    "short_photo": Scenario(id=_id(23), kind="short", address=f"{VM}/ZMclip004/", target="photo3"),
    "short_away": Scenario(
        id=_id(24), kind="short", address=f"{VM}/ZMclip005/", target="https://example.com/"
    ),
    "short_broken": Scenario(id=_id(26), kind="short", address=f"{VM}/ZMclip007/", target="https://[bad/"),
    "short_dead": Scenario(id=_id(25), kind="short", address=f"{VM}/ZMclip006/", target=f"{PAGE}/"),
    # posts that are not to be had; the site prefixes some of its messages, so compare with `in`
    "private": Scenario(id=_id(30), status=(10222, "user_private")),
    "private_self": Scenario(id=_id(31), status=(10204, "item_check.status_self_see")),
    "deleted": Scenario(id=_id(32), status=(10204, "item_check.status_deleted")),
    "geo": Scenario(id=_id(33), status=(10204, "person_geo_fencing")),
    "geo_border": Scenario(id=_id(908), status=(10204, "item_check.cross_border_violation_x")),
    "geo_copyright": Scenario(id=_id(909), status=(10204, "copyright_geo_filter")),
    "geo_status": Scenario(id=_id(910), status=(10231, "")),
    "login": Scenario(id=_id(34), without="video"),
    "login_status": Scenario(id=_id(35), status=(10204, "content_classification")),
    "login_redirect": Scenario(id=_id(36), page="login_redirect"),
    "no_formats": Scenario(id=_id(37), without="urls"),
    # a CDN with faults
    "cdn_slow": Scenario(id=_id(40), cdn="slow"),
    "cdn_dies": Scenario(id=_id(41), cdn="dies"),
    "cdn_dies_end": Scenario(id=_id(42), cdn="dies_end"),
    "cdn_dies_once": Scenario(id=_id(43), cdn="dies_once"),
    "cdn_dies_expired": Scenario(id=_id(44), cdn="dies_expired"),
    "cdn_changes": Scenario(id=_id(45), cdn="changes"),
    "cdn_ignores_range": Scenario(id=_id(46), cdn="ignores_range"),
    "cdn_short": Scenario(id=_id(47), cdn="short"),
    "cdn_hangs": Scenario(id=_id(48), cdn="hangs"),
    "cdn_untold": Scenario(id=_id(60), cdn="untold"),
    "cdn_untold_cut": Scenario(id=_id(61), cdn="untold_cut"),
    "cdn_silent": Scenario(id=_id(49), cdn="silent"),
    "cdn_403": Scenario(id=_id(50), cdn="403"),
    "cdn_404": Scenario(id=_id(51), cdn="404"),
    "cdn_empty": Scenario(id=_id(52), cdn="empty"),
    "cdn_html": Scenario(id=_id(53), cdn="html"),
    "redirect_media": Scenario(id=_id(54), cdn="redirect"),
    "redirect_evil": Scenario(id=_id(55), cdn="redirect_evil"),
    "evil_media": Scenario(id=_id(56), video_url="https://127.0.0.1/video.mp4"),
    "evil_metadata": Scenario(id=_id(57), video_url="http://169.254.169.254/latest/meta-data/"),
    "photo_dies": Scenario(id=_id(58), kind="photo", clips=(*SLIDES, "sound"), cdn="dies", faulty=(1,)),
    "photo_alternate": Scenario(id=_id(59), kind="photo", clips=(*SLIDES, "sound"), cdn="first_link_404"),
    "cdn_chunked": Scenario(id=_id(90), clips=("big",), cdn="chunked", duration_s=60),
    "cdn_untagged": Scenario(id=_id(91), clips=("big",), cdn="untagged", duration_s=60),
    # pages with faults
    "expired": Scenario(id=_id(70), page="expired"),
    "waf": Scenario(id=_id(71), page="waf"),
    "waf_hard": Scenario(id=_id(72), page="waf_hard"),
    "page_403": Scenario(id=_id(73), page="403"),
    "page_429": Scenario(id=_id(74), page="429"),
    "page_503": Scenario(id=_id(75), page="503"),
    "page_hangs": Scenario(id=_id(76), page="hangs"),
    "page_trickles": Scenario(id=_id(77), page="trickles"),
    "page_to_loopback": Scenario(id=_id(900), page="redirect", target="https://127.0.0.1/@x/video/1"),
    "page_to_metadata": Scenario(id=_id(901), page="redirect", target="http://169.254.169.254/latest/"),
    "page_to_look_alike": Scenario(
        id=_id(902), page="redirect", target="https://www.tiktok.com.evil.example/@x/video/1"
    ),
    "page_to_plain_http": Scenario(id=_id(903), page="redirect", target="http://www.tiktok.com/login"),
    "page_detour": Scenario(id=_id(904), page="detour"),
    "page_circles": Scenario(id=_id(905), page="circles"),
    "page_huge": Scenario(id=_id(906), page="huge"),
    # only for who is signed in: sends the cookie `sessionid=MEMBER`
    "members": Scenario(id=_id(907), page="members"),
    "hostile_text": Scenario(id=_id(78), words=HOSTILE),
    "hostile_photos": Scenario(id=_id(79), kind="photo", clips=(*SLIDES, "sound"), words=HOSTILE),
    # half a character, as a description that was cut between its two UTF-16 units arrives
    "hostile_surrogate": Scenario(
        id=_id(80), words=Words(desc="half a smile \ud83d", nickname="\ude00 half")
    ),
}


def spoken(suffix: str) -> Scenario:
    """The video post made of an extra clip; its id ends in `suffix`."""
    if not (suffix.isdigit() and len(suffix) <= 12):
        raise ValueError(f"a post id's suffix is at most 12 digits, not {suffix!r}")
    return Scenario(id=f"75{0:017}"[: 19 - len(suffix)] + suffix, clips=(f"speech:{suffix}",))
