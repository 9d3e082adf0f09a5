"""Figures with bounds: their verdicts, the table, and the JSON that a picture is drawn from."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """A figure and its bound.

    Attributes:
        value: What was measured; the bound is the most that it may be.
    """

    name: str
    value: float
    bound: float
    unit: str

    @property
    def verdict(self) -> str:
        """Whether the bound is kept."""
        return "ok" if self.value <= self.bound else "MISSED"


def table(figures: Sequence[Figure], notes: Mapping[str, float]) -> str:
    """Write figures with their bounds, then what they were made of."""
    lines = [machine(), ""]
    lines += [
        f"{f.name:62} {f.value:10,.2f}  at most {f.bound:9,.2f} {f.unit:14} {f.verdict}"
        for f in figures
    ]
    lines += ["", *(f"{name:62} {value:10,.2f}" for name, value in notes.items()), ""]
    return "\n".join(lines)


def machine() -> str:
    """Describe the machine that the figures are of."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return (
        f"{os.cpu_count()} cores, {model}, {platform.system()}, Python {platform.python_version()}"
    )


def write_json(path: Path, figures: Sequence[Figure], notes: Mapping[str, float]) -> None:
    """Write the same for a program to read."""
    path.parent.mkdir(exist_ok=True)
    content = {
        "machine": machine(),
        "figures": [asdict(figure) | {"verdict": figure.verdict} for figure in figures],
        "notes": dict(notes),
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
