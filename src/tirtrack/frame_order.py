"""The order of the files of a folder as frames.

Three rules: by the numbers in the names (``natural``, the default), by the names as text
(``name``), by names that are times, dates or signed numbers (``time``). Where the default may be
wrong, it is not taken silently: names with fractions of varying length (1.5, 1.25), with signs,
with dates that end in the year or name the month, and names of equal length that are counted
otherwise than by tens (hexadecimal), are refused until the user decides.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from tirtrack.errors import FrameError
from tirtrack.read_options import Order

__all__ = ["ORDER_RULES", "in_order", "natural_key"]

_Key = Callable[[Path], tuple[Any, ...]]

ORDER_RULES: dict[Order, str] = {
    "natural": "in the order of the numbers in their names",
    "name": "in the order of their names as text",
    "time": "in the order of the times in their names",
}
"""What a rule is called in a sentence."""

_FRACTION = r"(?<![0-9.,])[0-9]+[.,][0-9]+(?![.,]?[0-9])"
_WHOLE_OR_FRACTION = re.compile(f"({_FRACTION}|[0-9]+)")
_SIGNED = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?(?:[eE][+-]?[0-9]+)?")
_SIGN_INSIDE = re.compile(  # of the last number, between what all names share
    r"(?P<head>.*?[^0-9.,+\u2212-]|)(?P<sign>[+\u2212-]?)(?P<size>[0-9]+(?:[.,][0-9]+)?)(?P<tail>[^0-9]*)"
)
_YEAR_LAST = re.compile(
    r"(?<![0-9])(?P<first>[0-3]?[0-9])(?P<between>[-_.])(?P<second>[0-3]?[0-9])(?P=between)"
    r"(?P<year>(?:19|20)[0-9]{2})(?![0-9])"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NAME = (
    "(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    "sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_MONTH = re.compile(rf"(?<=[0-9])[-_. ]?{_MONTH_NAME}[-_. ]?(?=[0-9])", re.IGNORECASE)
_MONTH_FIRST = re.compile(
    rf"(?<![a-z]){_MONTH_NAME}[-_. ]?(?P<day>[0-3]?[0-9])[-_., ]+"
    r"(?P<year>(?:19|20)[0-9]{2})(?![0-9])",
    re.IGNORECASE,
)
_TWELVE_HOURS = re.compile(
    r"(?<![0-9])(1[0-2]|0?[1-9])((?:[-_.:h ]?[0-5][0-9]){1,2})[-_ ]?([ap])\.?m(?![a-z])",
    re.IGNORECASE,
)


def natural_key(path: Path) -> tuple[Any, ...]:
    """Sort key that puts ``2.png`` before ``10.png``; never depends on the order of a folder."""
    parts = re.split(r"([0-9]+)", path.stem)
    numbers = [int(part) if place % 2 else part for place, part in enumerate(parts)]
    return (*numbers, "", path.name) if len(parts) % 2 == 0 else (*numbers, 0, path.name)


def _name_key(path: Path) -> tuple[Any, ...]:
    return path.stem, path.name


def _signed_numbers(stems: Sequence[str]) -> dict[str, Decimal]:
    """The number of each name, if all names differ only in a number that some give with a minus and
    others without; empty if a hyphen may be a mere separator.

    >>> _signed_numbers(["t-3", "t+0"]), _signed_numbers(["t-3", "t-4"])
    ({'t-3': Decimal('-3'), 't+0': Decimal('0')}, {})
    """
    found = [_SIGN_INSIDE.fullmatch(stem) for stem in stems]
    parts = [one for one in found if one is not None]
    around = {(one["head"].rstrip("_ "), one["tail"]) for one in parts}
    signs = {one["sign"].replace("\u2212", "-") for one in parts}
    if len(parts) < len(found) or len(around) > 1 or "-" not in signs or len(signs) == 1:
        return {}
    return {one.string: _signed(one["sign"], one["size"]) for one in parts}


def _signed(sign: str, size: str) -> Decimal:
    number = Decimal(size.replace(",", "."))
    return -number if sign in ("-", "\u2212") else number


def _time_key(path: Path, *, is_month_first: bool = False) -> tuple[Any, ...]:
    """As the natural key, but it reads fractions, signs and names of months, puts pm after noon,
    and sorts dates by year first.

    >>> sorted([Path("10.0.png"), Path("1.5.png"), Path("1.25.png")], key=_time_key)[0].name
    '1.25.png'
    """
    if _SIGNED.fullmatch(path.stem):
        return "", Decimal(path.stem.replace(",", ".")), path.name
    month_and_day = r"\g<first>-\g<second>" if is_month_first else r"\g<second>-\g<first>"
    stem = _TWELVE_HOURS.sub(_of_24_hours, _with_month_numbers(path.stem))
    stem = _YEAR_LAST.sub(rf"\g<year>-{month_and_day}", stem)
    parts = _WHOLE_OR_FRACTION.split(stem)
    key = [
        Decimal(part.replace(",", ".")) if place % 2 else part for place, part in enumerate(parts)
    ]
    return (*key, path.name)


def _is_month_first(stems: Sequence[str]) -> bool:
    """Whether dates that end in the year begin with the month: their second number is no month."""
    dates = [found for stem in stems if (found := _YEAR_LAST.search(stem))]
    return any(int(date["second"]) > 12 for date in dates)


def _with_month_numbers(stem: str) -> str:
    """A name with numbers for the months of its dates, behind the day where the year is last.

    >>> _with_month_numbers("7Feb2024"), _with_month_numbers("Feb-07-2024")
    ('7-02-2024', '07-02-2024')
    """
    stem = _MONTH_FIRST.sub(r"\g<day>-\g<month>-\g<year>", stem)
    return _MONTH.sub(lambda found: f"-{_MONTHS.index(found['month'][:3].lower()) + 1:02}-", stem)


def _of_24_hours(found: re.Match[str]) -> str:
    hour = int(found[1]) % 12 + (12 if found[3].lower() == "p" else 0)
    return f"{hour}{found[2]}"


def _time_keys(paths: Sequence[Path]) -> _Key:
    """The key that sorts these names as times, all of which have one form."""
    stems = [path.stem for path in paths]
    signed = _signed_numbers(stems)
    if signed:
        return lambda path: (signed[path.stem], path.name)
    return partial(_time_key, is_month_first=_is_month_first(stems))


_KEYS: dict[Order, _Key] = {"natural": natural_key, "name": _name_key}


def in_order(paths: Sequence[Path], order: Order | None, where: object) -> list[Path]:
    """The files in the order that the user names, or by the numbers in their names.

    Args:
        paths: files of one source, in any order.
        order: the rule; ``None``: natural, unless another rule may be meant.
        where: name of the source, for messages.

    Raises:
        FrameError: the names do not fit the rule, or two rules give them another order and either
            may be meant.
    """
    if order is not None:
        return _sorted(paths, order, where)
    found = _sorted(paths, "natural", where)
    rival = _rival(found)
    if rival is not None:
        other = _sorted(paths, rival, where)
        place = next(k for k, path in enumerate(found) if path != other[k])
        raise FrameError(
            f"the order of the frames is not clear: by the numbers in their names "
            f"{found[place].name} is frame {place}, {_CLAIMS[rival]} {other[place].name}",
            where,
            f"give --order natural or --order {rival}",
        )
    return found


_CLAIMS: dict[Order, str] = {"time": "as times", "name": "by the names as text"}


def _sorted(paths: Sequence[Path], order: Order, where: object) -> list[Path]:
    try:
        return sorted(paths, key=_time_keys(paths) if order == "time" else _KEYS[order])
    except TypeError as error:  # keys of different types
        raise FrameError(
            f"the names do not all have the same form ({paths[0].name}, {paths[-1].name})",
            where,
            "give --order name, or rename the files",
        ) from error


def _rival(natural: list[Path]) -> Order | None:
    """The rule that is as plausible as the natural one and gives another order."""
    stems = [path.stem for path in natural]
    clocks = (_TWELVE_HOURS, _YEAR_LAST, _MONTH, _MONTH_FIRST)
    has_clock = any(clock.search(stem) for stem in stems for clock in clocks)
    if has_clock or _have_fractions(stems) or _signed_numbers(stems):
        try:
            if _sorted(natural, "time", "") != natural:
                return "time"
        except FrameError:
            return None
    if _are_hexadecimal(stems) and sorted(natural, key=_name_key) != natural:
        return "name"
    return None


def _are_hexadecimal(stems: Sequence[str]) -> bool:
    """Whether what differs between names of equal length is a number with the digits a to f."""
    begin = _common_length(stems)
    rests = [stem[begin:] for stem in stems]
    end = _common_length([rest[::-1] for rest in rests])
    counts = [rest[: len(rest) - end] for rest in rests]
    is_padded = len({len(count) for count in counts}) == 1
    return is_padded and all(re.fullmatch(r"[0-9a-fA-F]+", count) for count in counts)


def _common_length(texts: Sequence[str]) -> int:
    """Length of the common beginning of all texts."""
    return len(os.path.commonprefix(list(texts)))  # noqa: RUF071  letter by letter


def _have_fractions(stems: Sequence[str]) -> bool:
    return all(_SIGNED.fullmatch(stem) for stem in stems) or any(
        re.search(_FRACTION, stem) for stem in stems
    )
