"""A mutant, and the text that a finding is about."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.mutants.modules import ROOT

MARK = "__mutmut_"


@dataclass(frozen=True)
class Mutant:
    """A small change of a function.

    Attributes:
        name: As mutmut has it: `package.module.x_function__mutmut_7`.
        module: Its module, below the package and without `.py`.
        text: A hash of the function as it is in the checkout.
    """

    name: str
    module: str
    text: str

    @property
    def function(self) -> str:
        """The function that it changes, as mutmut names it."""
        return self.name.partition(MARK)[0]


@cache
def hash_of(path: str | Path) -> str:
    """Return a short hash of a file in the checkout, as it was when first asked for."""
    return hashlib.sha256((ROOT / path).read_bytes()).hexdigest()[:16]
