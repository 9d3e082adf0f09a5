"""What jobs are billed for, day by day: usage metrics; knows no HTTP."""

from datetime import date, datetime
from typing import Any

from llamacloud_sandbox.world.dice import Dice
from llamacloud_sandbox.world.items import Item, Named
from llamacloud_sandbox.world.reading import moment_of, number_of, state_of, text_of

OWN, PARSING, OTHER = "own", "parsing", "other"
IMAGE_SHARE = 0.04
TAGGED_SHARE = 0.15
FAST_SHARE = 0.3
PARSED_BEFORE_SHARE = 0.5
OTHERS_SHARE = 0.06
MOST_PAGES = 40
MOST_DAYS_BEFORE = 5
ENDS = ("completed", "failed", "cancelled")
DOCUMENTS = {"pdf": 80, "docx": 12, "pptx": 8}
IMAGES = {"png": 60, "jpg": 40}
OTHERS = {"extraction_num_pages": "exj", "pages_split": "spl", "pages_parsed": "pjb"}
USAGE_TAGS: tuple[list[str], ...] = (["team:ap"], ["team:ap", "env:prod"], ["kunde:Müller"], [])


class Metrics:
    """Makes the usage metrics of jobs, by the seed, the job's id and what it says."""

    def __init__(self, organization_id: str, seed: int) -> None:
        self._organization_id = organization_id
        self._seed = seed

    def of_v1(self, _: str, job: Any) -> Named:
        """A v1 job's metrics; none of one that is not done."""
        bill = self._bill(job)
        if bill is None or state_of(job) != "completed":
            return ()
        bill.add(OWN, "pages_classified", job["id"], bill.credits)
        bill.add_other()
        return bill.metrics

    def of_v2(self, _: str, job: Any) -> Named:
        """A v2 job's metrics: what they cost is what its `usage` says."""
        bill = self._bill(job)
        if bill is None:
            return ()
        usage = job.get("usage")
        if not usage and state_of(job) != "completed":
            return ()
        usage = usage if isinstance(usage, dict) else {}
        parse_job_id = text_of(job.get("parse_job_id"))
        is_parsed = job.get("document_input_type") == "parse_job_id"
        total, parsed = number_of(usage.get("credits")), number_of(usage.get("parse_credits"))
        if is_parsed or parse_job_id is None:
            parsed = None
        own = total if total is None or parsed is None else total - parsed
        bill.add(OWN, bill.classified, job["id"], own)
        if parse_job_id and parsed is not None:
            bill.add(PARSING, "pages_parsed", parse_job_id, parsed)
        if is_parsed and parse_job_id:
            bill.add_parsed_before(parse_job_id)
        bill.add_other()
        return bill.metrics

    def _bill(self, job: Any) -> "_Bill | None":
        if not isinstance(job, dict) or text_of(job.get("id")) is None:
            return None
        finished = moment_of(job.get("updated_at"))
        if finished is None or state_of(job) not in ENDS:
            return None
        dice = Dice(f"usage {self._seed} {job['id']!a}")
        owner = {name: job.get(name) for name in ("user_id", "project_id")}
        return _Bill(dice, finished, owner | {"organization_id": self._organization_id})


def day_of(item: Any) -> str:
    """The text a metric is sorted by; empty where it has none."""
    value = item.get("day") if isinstance(item, dict) else None
    return value if isinstance(value, str) else ""


class _Bill:
    # One job's metrics. Whatever is drawn is drawn at once: what a job's usage says later, or no
    # longer, leaves the ids of the others as they are.

    def __init__(self, dice: Dice, finished: datetime, owner: Item) -> None:
        self.metrics: list[tuple[str, Item]] = []
        self._finished = finished
        self._owner = owner
        self._ids = {part: dice.uuid() for part in (OWN, PARSING, OTHER)}
        is_image = dice.falls(IMAGE_SHARE)
        self.classified = "image_classified" if is_image else "pages_classified"
        self.credits, self._other_credits = (dice.random.randint(1, 40) / 2 for _ in range(2))
        self._pages = 1 if is_image else dice.random.randint(1, MOST_PAGES)
        self._kind = dice.pick(IMAGES if is_image else DOCUMENTS)
        self._tags = dice.one_of(USAGE_TAGS) if dice.falls(TAGGED_SHARE) else None
        self._properties = {"mode": "FAST"} if dice.falls(FAST_SHARE) else {}
        self._days_before = dice.random.randint(1, MOST_DAYS_BEFORE)
        self._is_parsed_before = dice.falls(PARSED_BEFORE_SHARE)
        event = dice.one_of(list(OTHERS))
        self._other = (event, dice.prefixed(OTHERS[event])) if dice.falls(OTHERS_SHARE) else None

    def add(
        self, part: str, event: str, key: str, credits_: float | None, *, days_before: int = 0
    ) -> None:
        """Add what is billed for a job."""
        metric = {
            "id": self._ids[part],
            "user_id": self._owner["user_id"],
            "event_type": event,
            "project_id": self._owner["project_id"],
            "organization_id": self._owner["organization_id"],
            "value": self._pages,
            "properties": self._properties,
            "day": self._day(days_before),
            "event_aggregation_key": key,
            "event_aggregation_type": self._kind,
            "credits": credits_,
            "usage_tags": self._tags,
        }
        self.metrics.append((self._ids[part], metric))

    def add_parsed_before(self, parse_job_id: str) -> None:
        """Add, now and then, what the parse job was billed that the user ran beforehand."""
        if self._is_parsed_before:
            before = self._days_before
            self.add(PARSING, "pages_parsed", parse_job_id, self._other_credits, days_before=before)

    def add_other(self) -> None:
        """Add, now and then, what has nothing to do with classify."""
        if self._other:
            self.add(OTHER, *self._other, self._other_credits)

    def _day(self, before: int) -> str:
        return date.fromordinal(max(self._finished.toordinal() - before, 1)).isoformat()
