"""Addresses of streams: how they are recognised and named, and which parts may be shown.

Whatever is printed or written passes :func:`without_secrets`. This module opens nothing.
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["address_name", "address_stem", "is_address", "without_secrets"]

_LOGIN = "user:***@"
_HIDDEN = "***"
_BEGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/+")
_LOGIN_WITH_BLANKS = re.compile(rf"^({_BEGIN.pattern})[^/?#]*\s[^/?#]*@")
_IN_TEXT = re.compile(_BEGIN.pattern + r"(?:\S*@)?[^\s'\"<>]*")
_HOST_AND_PORT = re.compile(r"(?:localhost|[\w-]+(?:\.[\w-]+)+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
# A login without the scheme before it, as in a mistyped address.
_BARE_LOGIN = re.compile(r"(?<![\w/:@.*])[^\s:/@'\"=]+:[^\s/'\"]+@(?=[\w\[])")
_SECRET_IN_PATH = re.compile(
    r"(?i)(?<![a-z0-9])((?:auth|hash|key|login|pass|passwd|password|pwd|secret|sign|signature|token|"
    r"user|username|usr)=)(?!\*\*\*)(.*?)(?=[&;/]|_[a-z]+=|$)"
)
_PARTS = re.compile(r"([^?#]*)([?#]?)(.*)", re.DOTALL)
_QUERY_ITEM = re.compile(r"([^&;=?#]*)(=?)([^&;?#]*)")
_AFTER_ADDRESS = ":,.;)]"  # punctuation of the sentence around it
# Keys whose values describe the transport and not the user; all other values are hidden.
_PLAIN_KEYS = frozenset({
    "buffer_size", "camera", "channel", "codec", "fifo_size", "fps", "framerate", "height",
    "overrun_nonfatal", "pkt_size", "profile", "quality", "resolution", "size", "stream",
    "subtype", "timeout", "transport", "ttl", "unicast", "width",
})  # fmt: skip
_PLAIN_VALUE = re.compile(r"[\w.-]{1,12}")


def is_address(source: object) -> bool:
    """Whether a source is the address of a stream.

    >>> is_address("rtsp://camera.local/a"), is_address("night/clip.mp4")
    (True, False)
    """
    return isinstance(source, str) and "://" in source


def address_name(address: str) -> str:
    """The last part of the path without login and query, or the host.

    >>> address_name("rtsp://bob:pw@camera.local/live/a.sdp?token=1")
    'a.sdp'
    >>> address_name("udp://@239.0.0.1:5000")
    '239.0.0.1:5000'
    """
    return _place(address).rsplit("/", 1)[-1] or "stream"


def address_stem(address: str) -> str:
    """As :func:`address_name`, for the names of files: without a suffix of the path.

    >>> address_stem("http://camera.local:80/a.mp4"), address_stem("http://camera.local:80")
    ('a', 'camera.local-80')
    """
    name = address_name(address)
    return (Path(name).stem if "/" in _place(address) else name).replace(":", "-")


def _place(address: str) -> str:
    """Host and path, without what is secret."""
    place = re.split(r"[?#]", _safe(address).split("://", 1)[-1])[0]
    return place.removeprefix(_LOGIN).removeprefix("@").rstrip("/")


def without_secrets(text: str) -> str:
    """A text whose addresses have lost their user names, passwords and tokens.

    A text that begins like an address is taken for one, even with blanks in its login; in other
    text an address ends at a blank or a quote. A secret that is a plain part of a path stays.

    >>> without_secrets("rtsp://bob:p@ss:w@10.0.0.1/a?channel=1&token=abc: no route")
    'rtsp://user:***@10.0.0.1/a?channel=1&token=***: no route'
    >>> without_secrets("see rtsp://10.0.0.1/user=bob_password=pw_channel=1.sdp")
    'see rtsp://10.0.0.1/user=***_password=***_channel=1.sdp'
    """
    text = _LOGIN_WITH_BLANKS.sub(rf"\1{_LOGIN}", text)
    return _BARE_LOGIN.sub(_LOGIN, _IN_TEXT.sub(lambda found: _safe(found.group()), text))


def _safe(address: str) -> str:
    """One address, without its login and the values of its query."""
    shown = _without_login(address)
    bare = shown.rstrip(_AFTER_ADDRESS)
    place, mark, query = _PARTS.fullmatch(bare).groups()  # type: ignore[union-attr]
    hidden = _SECRET_IN_PATH.sub(rf"\1{_HIDDEN}", place)
    return hidden + mark + _QUERY_ITEM.sub(_item, query) + shown[len(bare) :]


def _without_login(address: str) -> str:
    """A login may contain any character, even ``@``, ``:`` and ``/``, so it extends to the last
    ``@``; if there is none before the path, only where no host stands there.
    """
    begin = _BEGIN.match(address)
    if begin is None or begin.group().endswith("///"):  # a path and no host
        return address
    scheme, rest = begin.group(), address[begin.end() :]
    before_path = re.split(r"[/?#]", rest)[0]
    is_open = "@" not in rest or not before_path or before_path.startswith("@")
    if is_open or _HOST_AND_PORT.fullmatch(before_path):
        return address
    return scheme + _LOGIN + rest[rest.rindex("@") + 1 :]


def _item(found: re.Match[str]) -> str:
    key, equals, value = found.groups()
    if not key and not value:
        return ""
    is_plain = key.lower() in _PLAIN_KEYS and _PLAIN_VALUE.fullmatch(value)
    return f"{key}={value if is_plain else _HIDDEN}" if equals else _HIDDEN
