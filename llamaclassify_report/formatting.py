"""Numbers, instants and names as a person reads them."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable
from datetime import datetime

LONGEST_LABEL = 22
UNKNOWN = "-"
FEW = 2
UNSEEN = {"Cc", "Cf", "Zl", "Zp", "Cs"}
NOT_XML = "\ufffe\uffff"
"""Characters that XML forbids: one of them in a chart ends the process that draws it."""
UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def count(number: float, name: str = "", plural: str = "") -> str:
    """`1,234 jobs`, `1 job`."""
    text = f"{number:,.0f}"
    return f"{text} {name if text == '1' else plural or name + 's'}" if name else text


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
    return f"{time:%Y-%m-%d %H:%M} UTC" if time else UNKNOWN


def plain(text: str | None, longest: int = 300) -> str:
    """A text from outside on one line: without control characters, and not too long."""
    visible = "".join(
        " " if unicodedata.category(char) in UNSEEN or char in NOT_XML else char
        for char in text or ""
    )
    words = " ".join(visible.split())
    return words if len(words) <= longest else f"{words[: longest - 1]}…"


def labels(names: Iterable[str | None]) -> list[str]:
    """Short labels for names from outside, of which no two are alike."""
    found: list[str] = []
    for name in names:
        label = plain(name, LONGEST_LABEL) or "(empty)"
        alike = (f"{label} ({number})" for number in itertools.count(2))
        found.append(label if label not in found else next(a for a in alike if a not in found))
    return found
