"""How tests say what they have tried."""

from __future__ import annotations

from collections.abc import Callable

Tally = Callable[[str, int], None]
DIVERGENCES = "divergences"
"""How many simulated histories, or parts of a soak, ended otherwise than they had to; the last."""
