"""The saved configurations of each project, those of other products among them; knows no HTTP."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from llamacloud_sandbox.world.catalogue import LANGUAGES
from llamacloud_sandbox.world.clock import stamp
from llamacloud_sandbox.world.dice import Dice
from llamacloud_sandbox.world.history import History, Project
from llamacloud_sandbox.world.items import Item, Named

CONFIGURED_SHARE = 0.6
CHANGED_SHARE = 0.3
LONGEST_BEFORE = 25.0
"""Days by which the first of them may be older than the history."""
NAMES = (
    "Accounts payable invoices",
    "Mailroom",
    "HR onboarding",
    "Claims intake",
    "Büro Zürich: Posteingang",
    "請求書の仕分け",
    'Contracts ("legal")',
    "KYC documents",
    "Month-end close",
)
OTHERS: tuple[tuple[str, str, Item], ...] = (
    (
        "extract_v2",
        "Invoice fields",
        {"data_schema": {"type": "object", "properties": {"total": {"type": "number"}}}},
    ),
    ("extract_v2", "Invoice fields", {"data_schema": {"type": "object", "properties": {}}}),
    ("extract_v2", "Mailroom", {"data_schema": {"type": "object", "properties": {}}}),
    ("parse_v2", "Agentic parsing", {"tier": "agentic", "version": "latest"}),
    ("parse_v2", "Fast parsing", {"tier": "fast", "version": "latest"}),
)


def saved_configurations(
    history: History,
    projects: Sequence[Project],
    ids: Mapping[str, Sequence[str]],
    *,
    start: datetime,
) -> dict[str, Named]:
    """Each project's saved configurations: one of each id, for each rule set, and some others.

    A name may be that of two: then one is an older version, under an id of its own.
    """
    dice = Dice(f"configurations {history.seed}")
    begin = start - timedelta(days=history.days)
    made: dict[str, Named] = {}
    for project in projects:
        items = [*_of_classify(dice, project, ids[project.id]), *_of_others(dice)]
        made[project.id] = [(item["id"], _dated(dice, item, begin)) for item in items]
    return made


def latest_ids(items: Sequence[Any]) -> frozenset[str]:
    """The ids of the latest version of each name, among the configurations of a project."""
    latest: dict[tuple[str, str], tuple[str, str]] = {}
    for item in items:
        if isinstance(item, dict):
            product, name, version, id_ = (
                str(item.get(field)) for field in ("product_type", "name", "version", "id")
            )
            known = latest.get((product, name))
            latest[product, name] = max(filter(None, ((version, id_), known)))
    return frozenset(id_ for _, id_ in latest.values())


def _of_classify(dice: Dice, project: Project, ids: Sequence[str]) -> Iterator[Item]:
    # Every name once, in any order, then some of them once more.
    names = [*dice.random.sample(NAMES, len(NAMES)), *dice.random.sample(NAMES, len(NAMES))]
    for id_, rules, name in zip(ids, project.rule_sets, names, strict=False):
        parsing = {"lang": dice.pick(LANGUAGES), "max_pages": None, "target_pages": None}
        yield {
            "id": id_,
            "name": name,
            "product_type": "classify_v2",
            "parameters": {
                "rules": rules,
                "mode": "FAST",
                "parsing_configuration": parsing if dice.falls(CONFIGURED_SHARE) else None,
                "product_type": "classify_v2",
            },
        }


def _of_others(dice: Dice) -> Iterator[Item]:
    for product, name, parameters in OTHERS:
        yield {
            "id": dice.prefixed("cfg"),
            "name": name,
            "product_type": product,
            "parameters": {**parameters, "product_type": product},
        }


def _dated(dice: Dice, item: Item, begin: datetime) -> Item:
    created = begin - timedelta(days=dice.random.uniform(1.0, LONGEST_BEFORE))
    changed = created + (begin - created) * dice.random.uniform(0.1, 0.9)
    updated = stamp(changed if dice.falls(CHANGED_SHARE) else created)
    return {**item, "version": updated, "created_at": stamp(created), "updated_at": updated}
