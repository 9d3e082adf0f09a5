"""Where values stand on a chart, in percent of its height or width, and what its axes say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

STEPS = (1, 2, 5, 10)
MOST_STEPS = 5
MOST_DAYS = 5
FEW = 2
NEAREST = 9
"""How many percent of an axis lie between two marks at least, so that both can be read."""
SPREAD = 20
"""Durations that differ by more than this factor stand on a logarithmic scale."""
DURATIONS = (
    *((0.001, "1 ms"), (0.01, "10 ms"), (0.1, "0.1 s"), (1, "1 s"), (10, "10 s"), (60, "1 min")),
    *((600, "10 min"), (3_600, "1 h"), (36_000, "10 h"), (86_400, "1 d"), (864_000, "10 d")),
    *((8_640_000, "100 d"), (86_400_000, "1,000 d")),
)
"""Where durations are marked on a logarithmic scale, in seconds."""
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, in percent from the left or the bottom, and what it says."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Places values between a lowest, at 0, and a highest, at 100."""

    lowest: float
    highest: float
    marks: Sequence[tuple[float, str]]
    measure: Callable[[float], float] = float

    def at(self, value: float) -> float:
        """Return the place of a value; what is beyond an end stands at that end."""
        low, high = self.measure(self.lowest), self.measure(self.highest)
        inside = min(max(value, self.lowest), self.highest)
        return 100 * (self.measure(inside) - low) / (high - low)

    @property
    def ticks(self) -> list[Tick]:
        """The marks at their places, but none too near to the one before."""
        found: list[Tick] = []
        for value, label in self.marks:
            place = self.at(value)
            if all(abs(place - tick.at) >= NEAREST for tick in found[-1:]):
                found.append(Tick(place, label))
        return found


def of_counts(highest: float) -> Scale:
    """From 0 to at least `highest`, in round steps of at least 1."""
    step = max(1, _step(highest))
    top = max(1, math.ceil(highest / step)) * step
    return Scale(
        lowest=0,
        highest=top,
        marks=[(value, f"{value:,.0f}") for value in _multiples(step, 0, top)],
    )


def of_shares(lowest: float) -> Scale:
    """From a round share below `lowest`, 90 % at most, to 100 %."""
    bottom = min(0.9, math.floor(lowest * 10) / 10)
    step = _step(1 - bottom)
    values = [1 - number * step for number in range(math.floor((1 - bottom) / step + 1e-9) + 1)]
    marks = [(value, f"{value * 100:.0f} %") for value in values]
    return Scale(lowest=bottom, highest=1, marks=marks)


def of_durations(lowest: float, highest: float) -> Scale:
    """Seconds, all more than 0: logarithmic where they differ much, else from 0."""
    if highest > SPREAD * lowest:
        bottom = max((mark for mark, _ in DURATIONS if mark <= lowest), default=lowest)
        top = min((mark for mark, _ in DURATIONS if mark >= highest), default=highest)
        marks = [(mark, label) for mark, label in DURATIONS if bottom <= mark <= top]
        return Scale(lowest=bottom, highest=top, marks=marks, measure=math.log10)
    unit, name = next((unit for unit in UNITS if highest >= FEW * unit[0]), UNITS[-1])
    step = _step(highest / unit) * unit
    top = math.ceil(highest / step) * step
    marks = [(value, f"{value / unit:.4g} {name}") for value in _multiples(step, 0, top)]
    return Scale(lowest=0, highest=top, marks=marks)


def of_days(days: Sequence[date]) -> list[Tick]:
    """Mark some days of a row without gaps, in the middle of the slot that each has."""
    mondays = [day for day in days if day.weekday() == 0]
    ways = (days, mondays, mondays[::2], [day for day in days if day.day == 1])
    marked = next((way for way in ways if len(way) <= MOST_DAYS), [])
    marked = marked or [days[0]]
    return [
        Tick(100 * ((day - days[0]).days + 0.5) / len(days), f"{day.day} {day:%b}")
        for day in marked
    ]


def of_weeks(weeks: Sequence[date]) -> list[Tick]:
    """Mark some weeks of a row, the last among them, in the middle of the slot that each has."""
    every = math.ceil(len(weeks) / MOST_DAYS)
    marked = [*enumerate(weeks)][::-every][::-1]
    return [
        Tick(100 * (number + 0.5) / len(weeks), f"{week.day} {week:%b}") for number, week in marked
    ]


def _step(span: float) -> float:
    """Return the smallest round step of which `MOST_STEPS` reach as far as the span."""
    if span <= 0:
        return 1
    power = 10.0 ** math.floor(math.log10(span / MOST_STEPS))
    return next(step * power for step in STEPS if step * power * MOST_STEPS >= span * (1 - 1e-9))


def _multiples(step: float, first: float, last: float) -> list[float]:
    return [first + number * step for number in range(round((last - first) / step) + 1)]
