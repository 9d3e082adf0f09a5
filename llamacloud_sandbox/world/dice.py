"""Repeatable chance, and the shapes that the histories draw with it; knows no jobs."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import TypeVar
from uuid import UUID

Face = TypeVar("Face")


class Dice:
    """What falls depends on the name alone, and on what fell before."""

    def __init__(self, name: str) -> None:
        self.random = Random(name)  # noqa: S311 - must be repeatable, not secret

    def falls(self, share: float) -> bool:
        """Whether something happens that happens in this share of cases, 0 to 1."""
        return self.random.random() < share

    def one_of(self, faces: Sequence[Face]) -> Face:
        """Any of these."""
        return self.random.choice(faces)

    def pick(self, weights: Mapping[str, int]) -> str:
        """Any of these, each as often as its weight has it."""
        return self.random.choices(list(weights), list(weights.values()))[0]

    def uuid(self) -> str:
        """Make an id as v1 and projects have them."""
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def prefixed(self, prefix: str) -> str:
        """Make an id as v2 has them: `clj-` and 24 hexadecimal digits."""
        return f"{prefix}-{self.random.getrandbits(96):024x}"
