"""How the API lists: what its documentation leaves open, as switches; knows no jobs and no HTTP."""

from dataclasses import dataclass
from typing import Literal

Order = Literal["newest", "oldest", "updated", "shuffled"]
Tokens = Literal["cursor", "position"]
AtEnd = Literal["null", "empty", "absent"]


@dataclass(kw_only=True, slots=True)
class Settings:
    """Each may be changed while the sandbox runs, but for `page_size_limit`.

    order: by creation, newest or oldest first; by update, newest first; or shuffled by the seed.
    tokens: "cursor" continues after the last job seen, "position" after so many jobs.
    page_size_limit: the largest `page_size` that is no error.
    total_size: whether the reply says how many jobs there are, or null.
    at_end: how `next_page_token` says that there are no more pages.
    empty_pages: after so many pages with jobs comes an empty one with a token; 0 for never.
    latency_ms: real milliseconds by which each reply is held back, canned ones excepted.
    """

    order: Order = "newest"
    tokens: Tokens = "cursor"
    page_size_limit: int = 500
    total_size: bool = True
    at_end: AtEnd = "null"
    empty_pages: int = 0
    latency_ms: float = 0.0
