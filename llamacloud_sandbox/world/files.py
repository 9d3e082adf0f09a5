"""The files that jobs were about: their names, and which of them are gone; knows no HTTP."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from llamacloud_sandbox.world.clock import stamp
from llamacloud_sandbox.world.dice import Dice
from llamacloud_sandbox.world.items import Item, Named
from llamacloud_sandbox.world.reading import moment_of, text_of

GONE_SHARE = 0.02
UNTYPED_SHARE = 0.05
CORRELATED_SHARE = 0.2
EXPIRING_SHARE = 0.1
LONGEST_BEFORE = 900.0
"""Seconds by which a file may be older than its job."""
KEPT_FOR = timedelta(days=365)
TYPES = {"pdf": 80, "docx": 8, "png": 6, "jpg": 4, "heic": 2}
NAMES = {
    "invoice_{number:04}.{type}": 40,
    "scan {number}.{type}": 20,
    "Übersicht März {number}.{type}": 8,
    "請求書_{number}.{type}": 6,
    '"signed" contract {number}.{type}': 5,
    "O'Neill & Söhne, #{number} (50%).{type}": 4,
    "{number}": 2,
}
PURPOSES = ("classify", "classify", "classify", "user_data", "parse", None)


class Files:
    """Makes the files of jobs, by the seed and the file's id; `results` are those of a v1 job."""

    def __init__(self, seed: int, results: Callable[[Item], list[Any]]) -> None:
        self._seed = seed
        self._results = results

    def of_v1(self, _: str, job: Any) -> Named:
        """The files that a v1 job's results name."""
        if not isinstance(job, dict) or text_of(job.get("id")) is None:
            return ()
        results = (result for result in self._results(job) if isinstance(result, dict))
        ids = filter(None, (text_of(result.get("file_id")) for result in results))
        return [named for id_ in ids for named in self._named(id_, job)]

    def of_v2(self, _: str, job: Any) -> Named:
        """The file that a v2 job was given."""
        if not isinstance(job, dict) or job.get("document_input_type") != "file_id":
            return ()
        id_ = text_of(job.get("file_input"))
        return self._named(id_, job) if id_ else ()

    def _named(self, id_: str, job: Item) -> Named:
        dice = Dice(f"files {self._seed} {id_!a}")
        if dice.falls(GONE_SHARE):
            return ()
        number, type_ = dice.random.randrange(10_000), dice.pick(TYPES)
        is_correlated = dice.falls(CORRELATED_SHARE)
        item = {
            "id": id_,
            "name": dice.pick(NAMES).format(number=number, type=type_),
            "external_file_id": f"erp-{number}" if is_correlated else None,
            "file_type": None if dice.falls(UNTYPED_SHARE) else type_,
            "project_id": job.get("project_id"),
            **_times(dice, job),
            "purpose": dice.one_of(PURPOSES),
            "download_url": None,
        }
        return ((id_, item),)


def modified_at(item: Any) -> str:
    """The text a file is sorted by; empty where it has none."""
    value = item.get("last_modified_at") if isinstance(item, dict) else None
    return value if isinstance(value, str) else ""


def _times(dice: Dice, job: Item) -> Item:
    before = timedelta(seconds=dice.random.uniform(1.0, LONGEST_BEFORE))
    is_expiring = dice.falls(EXPIRING_SHARE)
    created = moment_of(job.get("created_at"))
    try:
        modified = created - before if created else None
        expires = modified + KEPT_FOR if modified and is_expiring else None
    except OverflowError:
        modified = expires = None
    return {
        "last_modified_at": stamp(modified) if modified else None,
        "expires_at": stamp(expires) if expires else None,
    }
