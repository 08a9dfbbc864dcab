"""The site's pages: pure text from values, shaped as the extractor reads them."""

import base64
import hashlib
import json
import secrets
from typing import Any

import msgspec

from tests.origin.media import Clip
from tests.origin.scenarios import Gear, Scenario

VIDEO_HOSTS = ("v16-webapp-prime.tiktok.com", "v19-webapp-prime.tiktok.com")
CAPTION_HOST = "v16-webapp.tiktok.com"
PHOTO_HOSTS = ("p16-sign.tiktokcdn-us.com", "p19-sign.tiktokcdn-us.com")
SOUND_HOST = "sf16-ies-music.tiktokcdn.com"
OTHER_HOST = "v16m.tiktokcdn.com"  # where a redirected video read is served, without any cookie
MEDIA_HOSTS = frozenset((*VIDEO_HOSTS, CAPTION_HOST, *PHOTO_HOSTS, SOUND_HOST, OTHER_HOST))

CREATED = 1_710_072_000  # 2024-03-10 12:00 UTC


class Signature(msgspec.Struct, frozen=True):
    """What a page's video links carry: for whom, until when, and from which answer."""

    token: str  # the value of the cookie that must come with them
    expire: int
    issue: int  # which page answer for this post gave them, from 1

    def query(self) -> str:
        return (
            f"a=1988&bti=ODszNWYuMDE6&mime_type=video_mp4&expire={self.expire}&issue={self.issue}"
            f"&signature={self.sign(self.token)}&tk=tt_chain_token"
        )

    def sign(self, token: str) -> str:
        """Binds a link to its cookie and time: neither can be changed, and no state is kept for it."""
        return hashlib.sha256(f"{token} {self.expire} {self.issue}".encode()).hexdigest()[:32]


def new_token() -> str:
    """Sixteen bytes in base64: the two `=` at its end are what cookie jars like to quote."""
    return base64.b64encode(secrets.token_bytes(16)).decode()


def page(scenario: Scenario, clips: dict[str, Clip], signature: Signature) -> str:
    """The whole page of a post; `clips` holds those that the scenario names."""
    code, message = scenario.status
    detail: dict[str, Any] = {"statusCode": code, "statusMsg": message}
    if code == 0:
        detail["itemInfo"] = {"itemStruct": item(scenario, clips, signature)}
    return rehydrated(
        {"webapp.app-context": {"language": "en", "region": "US"}, "webapp.video-detail": detail}
    )


def missing_page() -> str:
    """What the site says of an id that it never gave out."""
    return rehydrated({"webapp.video-detail": {"statusCode": 10204, "statusMsg": ""}})


def rehydrated(scope: dict[str, Any]) -> str:
    # the site writes every slash so; a text with </script> in it must not end the element
    data = json.dumps({"__DEFAULT_SCOPE__": scope}).replace("/", "\\u002F")
    return plain_page(
        f'<script id="__UNIVERSAL_DATA_FOR_REHYDRATION__" type="application/json">{data}</script>'
    )


def plain_page(body: str = "") -> str:
    head = "<title>TikTok - Make Your Day</title>"
    return f'<!DOCTYPE html><html lang="en"><head>{head}</head><body>{body}</body></html>'


def item(scenario: Scenario, clips: dict[str, Clip], signature: Signature) -> dict[str, Any]:
    """The post itself."""
    words = scenario.words
    made: dict[str, Any] = {
        "id": scenario.id,
        "desc": words.desc,
        "createTime": str(CREATED),
        "author": {
            "id": "6800000000000000001",
            "uniqueId": words.author,
            "nickname": words.nickname,
            "secUid": "MS4wLjABAAAAclipwireDemoAuthorInventedForTests000000000000000000",
            "avatarThumb": _photo_link(PHOTO_HOSTS[0], scenario, "cover", "image/jpeg"),
            "verified": False,
            "privateAccount": False,
        },
        "stats": {
            "playCount": 123_456, "diggCount": 7_890, "shareCount": 321, "commentCount": 45,
            "collectCount": "67",
        },
        "textExtra": [],
        "isContentClassified": scenario.without == "video",
    }  # fmt: skip
    if scenario.without == "video":
        return made
    made["video"] = _video(scenario, clips, signature)
    made["music"] = _music(scenario, clips)
    if scenario.kind == "photo":
        made["imagePost"] = _photos(scenario, clips)
    return made


def _video(scenario: Scenario, clips: dict[str, Clip], signature: Signature) -> dict[str, Any]:
    cover = _photo_link(PHOTO_HOSTS[0], scenario, "cover", "image/jpeg")
    video: dict[str, Any] = {
        "id": scenario.id, "height": 1024, "width": 576, "ratio": "576p", "format": "mp4",
        "codecType": "h264", "duration": 0, "cover": cover, "originCover": cover, "dynamicCover": cover,
        "playAddr": "", "downloadAddr": "", "bitrateInfo": [], "subtitleInfos": [],
    }  # fmt: skip
    if scenario.kind == "photo":  # the site says 0 here, and has no addresses
        return video
    clip = clips[scenario.clips[0]]
    video["duration"] = round(clip.duration_s) if scenario.duration_s is None else scenario.duration_s
    video["subtitleInfos"] = _subtitles(scenario)
    if scenario.without == "urls":
        video["bitrateInfo"] = [_gear("h264_540p_812345", [], len(clip.data), 0)]
        return video

    def link(host: str, role: str) -> str:
        ours = f"https://{host}/video/tos/useast5/{scenario.id}/{role}/?{signature.query()}"
        return scenario.video_url or ours

    if scenario.gears:
        roles = [f"gear-{number}" for number in range(1, len(scenario.gears) + 1)]
        roles = [
            role + ("/media-video-hvc1" if gear.mute else "")
            for role, gear in zip(roles, scenario.gears, strict=True)
        ]
        video["bitrateInfo"] = [
            _gear(
                _gear_name(gear),
                [link(host, role) for host in VIDEO_HOSTS],
                len(clips[gear.clip].data),
                number,
            )
            for number, (gear, role) in enumerate(zip(scenario.gears, roles, strict=True))
        ]
        video["playAddr"] = link(VIDEO_HOSTS[0], roles[0])
        video["downloadAddr"] = link(VIDEO_HOSTS[0], "download")
        return video
    # the third alternate of the site asks for a login; the extractor drops it
    api = f"https://www.tiktok.com/aweme/v1/play/?item_id={scenario.id}&ratio=540p"
    video["bitrateInfo"] = [
        # looks the best and is not there: whoever prefers HEVC finds out
        _gear("bytevc1_720p_998877", [link(host, "hevc") for host in VIDEO_HOSTS], len(clip.data) * 2, 1),
        _gear("h264_540p_812345", [*(link(host, "play") for host in VIDEO_HOSTS), api], len(clip.data), 0),
    ]
    video["playAddr"] = link(VIDEO_HOSTS[0], "play")
    video["downloadAddr"] = link(VIDEO_HOSTS[0], "download")
    return video


def _gear_name(gear: Gear) -> str:
    return f"{gear.codec}_{gear.lines}p_{gear.lines * 1000}"


def _gear(name: str, urls: list[str], size: int, quality: int) -> dict[str, Any]:
    codec, _, bitrate = name.split("_")
    return {
        "GearName": f"adapt_{quality}", "Bitrate": int(bitrate), "QualityType": 28 - quality,
        "CodecType": codec,
        "PlayAddr": {
            "Uri": "v0f00gclipwire", "UrlKey": f"v0f00gclipwire_{name}", "UrlList": urls, "DataSize": size,
            "Width": 576, "Height": 1024, "FileHash": "",
        },
    }  # fmt: skip


def _music(scenario: Scenario, clips: dict[str, Clip]) -> dict[str, Any]:
    """The named track. A video's own sound is something else; a photo post is heard with this one."""
    music: dict[str, Any] = {
        "id": "6900000000000000001", "title": scenario.words.music, "authorName": scenario.words.nickname,
        "album": "", "original": scenario.kind == "photo", "duration": 0, "playUrl": "",
    }  # fmt: skip
    sound = clips.get("sound" if scenario.kind == "photo" else "music")
    if sound is not None and not scenario.without:
        music["duration"] = round(sound.duration_s)
        music["playUrl"] = (
            f"https://{SOUND_HOST}/obj/ies-music-useast5/{scenario.id}/sound.mp3?mime_type=audio_mpeg"
        )
    return music


def _photos(scenario: Scenario, clips: dict[str, Clip]) -> dict[str, Any]:
    images = []
    for number, name in enumerate((n for n in scenario.clips if n != "sound"), start=1):
        mime = clips[name].mime
        links = [_photo_link(host, scenario, f"slide-{number}", mime) for host in PHOTO_HOSTS]
        size = (360, 640) if name.startswith("slide35") else (576, 1024) if "webp" in mime else (720, 1280)
        images.append({"imageURL": {"urlList": links}, "imageWidth": size[0], "imageHeight": size[1]})
    return {
        "images": images, "cover": images[0], "shareCover": images[0], "title": scenario.words.desc[:60],
    }  # fmt: skip


def _photo_link(host: str, scenario: Scenario, role: str, mime: str) -> str:
    suffix = mime.removeprefix("image/")
    return (
        f"https://{host}/tos-useast5-i-photomode-tx/{scenario.id}/{role}~tplv-photomode-image.{suffix}"
        f"?x-expires={CREATED + 10**9}&x-signature=aW52ZW50ZWQ%3D"
    )


def _subtitles(scenario: Scenario) -> list[dict[str, Any]]:
    return [
        {
            "LanguageID": number, "LanguageCodeName": one.language, "Format": one.format,
            "Version": "4" if one.source == "MT" else "1:whisper_lid", "Size": 512,
            "UrlExpire": CREATED + 10**9,
            "Url": f"https://{CAPTION_HOST}/captions/{scenario.id}/caption-{number}/",
        } | ({"Source": one.source} if one.source else {})
        for number, one in enumerate(scenario.captions, start=1)
    ]  # fmt: skip


class Challenge:
    """A page that wants a small sum done before it shows itself."""

    number = 4711  # found in milliseconds; the site's are up to a million

    def __init__(self) -> None:
        self._prefix = secrets.token_bytes(24)
        self._original = secrets.token_hex(8)

    def page(self) -> str:
        digest = hashlib.sha256(self._prefix + str(self.number).encode()).digest()
        values = {"a": _base64(self._prefix), "b": 0, "c": _base64(digest)}
        task = _base64(json.dumps({"v": values, "s": secrets.token_hex(8)}).encode())
        return plain_page(
            f'<p id="cs" class="{task}"></p><p id="wci" class="_wafchallengeid"></p>'
            f'<p id="rci" class="waforiginalreid"></p><p id="rs" class="{self._original}"></p>Please wait...'
        )

    def solved_by(self, cookies: dict[str, str]) -> bool:
        try:
            answer = json.loads(base64.b64decode(cookies.get("_wafchallengeid", "").strip('"')))
            number = base64.b64decode(answer["d"]).decode()
            same = answer["v"]["a"] == _base64(self._prefix)
        except (ValueError, KeyError, TypeError):
            return False
        return same and number == str(self.number) and cookies.get("waforiginalreid") == self._original


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
