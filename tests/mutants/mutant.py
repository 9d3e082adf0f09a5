"""A mutant, as mutmut names it."""

from __future__ import annotations

from dataclasses import dataclass

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
