"""Numbers, instants and names as a person reads them."""

from __future__ import annotations

import math
import unicodedata
from datetime import date, datetime

UNKNOWN = "-"
FEW = 2
UNSEEN = {"Cc", "Cf", "Zl", "Zp", "Cs"}
JOINERS = "\u200c\u200d"
"""Of the unseen, what emoji and some scripts are written with."""
NOT_XML = "\ufffe\uffff"
"""Characters that XML forbids, and that no font shows."""
UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def count(number: float, name: str = "", plural: str = "") -> str:
    """`1,234 jobs`, `1 job`."""
    text = f"{number:,.0f}"
    return f"{text} {name if text == '1' else plural or name + 's'}" if name else text


def amount(number: float | None, name: str = "") -> str:
    """`1,234.5 credits`, `1 credit`, `0.1`."""
    if number is None:
        return UNKNOWN
    text = f"{number:,.1f}".removesuffix(".0")
    return f"{text} {name if text == '1' else name + 's'}" if name else text


def price(number: float | None) -> str:
    """`12.3`, `1.25`, `0.00123`: what one of many costs, with three digits that count."""
    if number is None:
        return UNKNOWN
    places = max(1, 2 - math.floor(math.log10(number))) if number > 0 else 1
    return f"{number:,.{places}f}".rstrip("0").rstrip(".")


def share(part: float | None) -> str:
    """`82 %`, and `99.7 %` where whole percents would hide what is missing."""
    if part is None:
        return UNKNOWN
    whole = round(part * 100)
    hides = whole in {0, 100} and not part.is_integer()
    return f"{part * 100:.1f} %" if hides else f"{whole} %"


def lasting(seconds: float | None) -> str:
    """`3 days`, `4 hours`, `12 seconds`, `0.4 seconds`: the largest unit of which there are two."""
    if seconds is None:
        return UNKNOWN
    for name, length in UNITS:
        if seconds >= FEW * length:
            return count(seconds // length, name)
    return f"{seconds:,.0f} seconds" if seconds >= FEW else f"{seconds:,.1f} seconds"


def instant(time: datetime | None) -> str:
    """`2026-11-24 12:00 UTC`."""
    return f"{minute(time)} UTC" if time else UNKNOWN


def minute(time: datetime | None) -> str:
    """`2026-11-24 12:00`, where the page says once that all times are UTC."""
    return f"{time:%Y-%m-%d %H:%M}" if time else UNKNOWN


def weekday(day: date) -> str:
    """`Tue 24 Nov 2026`."""
    return f"{day:%a} {short(day)}"


def short(day: date) -> str:
    """`24 Nov 2026`: unlike 2026-11-24, it has no hyphens at which a line may break."""
    return f"{day.day} {day:%b} {day.year}"


def plain(text: str | None, longest: int = 300) -> str:
    """A text from outside on one line: without control characters, and not too long."""
    visible = "".join(" " if _is_unseen(char) or char in NOT_XML else char for char in text or "")
    words = " ".join(visible.split())
    return words if len(words) <= longest else f"{words[: longest - 1]}…"


def _is_unseen(char: str) -> bool:
    return unicodedata.category(char) in UNSEEN and char not in JOINERS
