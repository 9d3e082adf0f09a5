"""How the API lists: what its documentation leaves open, as switches; knows no jobs and no HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Order = Literal["newest", "oldest", "updated", "shuffled"]
Tokens = Literal["cursor", "position"]
AtEnd = Literal["null", "empty", "absent"]
PendingResults = Literal["empty", "404"]
Bounds = Literal["exact", "exclusive", "by the hour", "by the day", "to the day", "ignored"]
InputName = Literal["file_input", "document_input_value"]

DataPointsReach = Literal["hours", "bounds"]
FileIds = Literal["any", "uuid", "ignored"]


@dataclass(kw_only=True, slots=True)
class Settings:
    """Each may be changed while the sandbox runs, but for `page_size_limit`.

    order: by creation, newest or oldest first; by update, newest first; or shuffled by the seed.
    tokens: "cursor" continues after the last job seen, "position" after so many jobs.
    page_size_limit: the largest `page_size` that is no error; of v2 jobs it is 100, of files 1000.
    total_size: whether the reply says how many items there are, or null.
    at_end: how `next_page_token` says that there are no more pages.
    empty_pages: after so many pages with jobs comes an empty one with a token; 0 for never.
    latency_ms: real milliseconds by which each reply is held back, canned ones excepted.
    requests_per_minute: the most requests in any minute of the world's clock, canned ones and
        refused ones not counted; 0 for no limit.
    retry_after: whether a refusal over that limit says when to come again.
    token_seconds: the world seconds after a listing began at which its tokens are refused with
        400; 0 for never.
    token_requests: the number of pages the API has made for anybody since a listing began, from
        which on the listing's tokens are refused with 400; 0 for never.
    refuse_seconds: real seconds for which the fault `refused` keeps the listener closed.
    usage_in_list: whether a listing of v2 jobs has their `usage`, too.
    pending_results: what the results of a v1 job are that is PENDING: none, or not found.
    bounds: what a v2 listing makes of the bounds of `created_at`: each instant as it is, and part
        of the window or not; its hour or day, whole; the beginning of its day; or nothing.
    input_name: what v2 replies call `file_input`.
    data_points_reach: how far back data points are listed: by `hours` at most, which the bounds of
        `created_at` narrow further; or as far as `created_at_on_or_after` says, where it is given.
    file_ids: what a listing of files makes of `file_ids`: looks for any; refuses those that are
        no UUIDs with 422; or nothing.
    longest_url: the most bytes of a path and its query, longer ones are answered 414; 0 for no
        limit. Canned replies come before.
    date: whether replies have a `Date`.
    gone: the status by which each path with this beginning is answered, from whoever it comes.
    """

    order: Order = "newest"
    tokens: Tokens = "cursor"
    page_size_limit: int = 500
    total_size: bool = True
    at_end: AtEnd = "null"
    empty_pages: int = 0
    latency_ms: float = 0.0
    requests_per_minute: int = 0
    retry_after: bool = False
    token_seconds: float = 0.0
    token_requests: int = 0
    refuse_seconds: float = 1.0
    usage_in_list: bool = False
    pending_results: PendingResults = "empty"
    bounds: Bounds = "exact"
    input_name: InputName = "file_input"
    data_points_reach: DataPointsReach = "hours"
    file_ids: FileIds = "any"
    longest_url: int = 8192
    date: bool = True
    gone: Mapping[str, int] = field(default_factory=dict)
