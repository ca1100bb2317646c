"""What of an address may be said: never who asks, nor by which password or token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tirtrack.addresses import address_name, without_secrets

SHOWN = {
    "login": ("http://admin:Secret@127.0.0.1:80/a.mp4", "http://user:***@127.0.0.1:80/a.mp4"),
    "user alone": ("rtsp://admin@cam/a", "rtsp://user:***@cam/a"),
    "@ and : inside": ("rtsp://admin:p@s:w@10.0.0.1/a", "rtsp://user:***@10.0.0.1/a"),
    "/ inside": ("rtsp://admin:p/s@cam/a", "rtsp://user:***@cam/a"),
    "/ after digits": ("rtsp://admin:12/34@cam/a", "rtsp://user:***@cam/a"),
    "? inside": ("rtsp://admin:p?s@cam/a", "rtsp://user:***@cam/a"),
    "blank inside": ("rtsp://admin:my word@cam/a", "rtsp://user:***@cam/a"),
    "quote inside": ("see http://admin:p'w@cam/a", "see http://user:***@cam/a"),
    "percent": ("rtsp://admin%3ASecret%40@cam/a", "rtsp://user:***@cam/a"),
    "one slash": ("http:/admin:Secret@cam/a", "http:/user:***@cam/a"),
    "no scheme": ("admin:Secret@10.0.0.1/a", "user:***@10.0.0.1/a"),
    "nested": ("cache:http://admin:Secret@cam/a", "cache:http://user:***@cam/a"),
    "token": ("https://h/a.m3u8?token=abc", "https://h/a.m3u8?token=***"),
    "signature": ("https://h/a?Policy=x~y&Signature=a/b==", "https://h/a?Policy=***&Signature=***"),
    "unknown key": ("http://h/a?loginpas=x", "http://h/a?loginpas=***"),
    "no key": ("http://h/a?SECRET", "http://h/a?***"),
    "harmless keys": ("rtsp://h/a?channel=1&pwd=x", "rtsp://h/a?channel=1&pwd=***"),
    "fragment": ("http://h/a#token=x", "http://h/a#token=***"),
    "in the path": (
        "rtsp://h/user=admin_password=pw_channel=1.sdp",
        "rtsp://h/user=***_password=***_channel=1.sdp",
    ),
    "in an address": ("http://h/a?url=rtsp%3A%2F%2Fu%3Ap%40h", "http://h/a?url=***"),
    "in a sentence": (
        "rtsp://u:p@h/a?token=x: no route (rtsp://u:p@h); check it",
        "rtsp://user:***@h/a?token=***: no route (rtsp://user:***@h); check it",
    ),
    "in a command": (
        "tirtrack track 'rtsp://u:p@h/a?b=c' --box 1,2,3,4",
        "tirtrack track 'rtsp://user:***@h/a?b=***' --box 1,2,3,4",
    ),
}


@pytest.mark.parametrize(("text", "shown"), SHOWN.values(), ids=SHOWN)
def test_logins_and_tokens_are_left_out(text, shown):
    assert without_secrets(text) == shown
    assert without_secrets(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://localhost:8080/a@2x.mp4",
        "udp://@239.0.0.1:5000",
        "udp://239.0.0.1:5000?fifo_size=1000",
        "file:///night/a@b.mp4",
        "C:/night/a@b.mp4",
        "night.mp4, frame 3: the video ends early (after 1.20 s of 3.00 s); copy it again",
        "tirtrack track night.mp4 --box van=50,181,101,48 --out runs/12:30",
        "",
    ],
)
def test_text_without_secrets_stays(text):
    assert without_secrets(text) == text


USER = st.from_regex(r"[A-Za-z0-9_-]{1,9}", fullmatch=True)
PASSWORD = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1)


@given(user=USER, password=PASSWORD, path=st.sampled_from(["", "/a", "/a?channel=1", "/a/b.mp4"]))
def test_no_password_is_shown_whatever_its_signs(user, password, path):
    shown = without_secrets(f"rtsp://{user}:{password}@10.0.0.1{path}")
    assert shown == f"rtsp://user:***@10.0.0.1{path}"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("rtsp://bob:pw@cam.local/live/a.sdp?token=1", "a.sdp"),
        ("rtsp://bob:pw@cam.local", "cam.local"),
        ("rtsp://bob:p/w@cam.local/", "cam.local"),
        ("rtsp://h/user=bob_password=pw.sdp", "user=***_password=***"),
        ("http://", "stream"),
    ],
)
def test_the_name_of_an_address_says_no_login(address, name):
    assert address_name(address) == name
