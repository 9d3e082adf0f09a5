"""The definition for `meltano add --from-ref` is meltano.yml's; `UPDATE_GOLDEN=1` writes it."""

from __future__ import annotations

import json
import os
import re
import textwrap
from typing import Any

import pytest
import yaml

from tests.support.commands import ROOT, Command

DEFINITION = ROOT / "plugins" / "extractors" / "tap-llamaclassify.yml"
PROJECT_FILE = ROOT / "meltano.yml"

# The fields that the hub's schema of extractors allows, of those that this definition has use for.
HUB_FIELDS = {
    *("name", "namespace", "variant", "label", "description", "keywords", "domain_url", "quality"),
    *("maintenance_status", "pip_url", "executable", "supported_python_versions", "capabilities"),
    *("select", "commands", "settings_group_validation", "settings"),
}


ACRONYMS = {"api", "http", "id", "url"}


@pytest.fixture
def about(command: Command) -> Any:
    return json.loads(command("--about", "--format=json").stdout)


@pytest.fixture
def definition() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(DEFINITION.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture
def entry() -> dict[str, Any]:
    (extractor,) = yaml.safe_load(PROJECT_FILE.read_bytes())["plugins"]["extractors"]
    found: dict[str, Any] = extractor
    return found


def test_definition_is_meltano_ymls_entry_with_a_label_for_each_setting(about: Any) -> None:
    head, shown = DEFINITION.read_text(encoding="utf-8").split("puts here.\n")
    if "UPDATE_GOLDEN" in os.environ:
        shown = labelled_entry(about)
        DEFINITION.write_text(f"{head}puts here.\n{shown}", encoding="utf-8")
    assert shown == labelled_entry(about)


def labelled_entry(about: Any) -> str:
    """Return the entry's text from its capabilities on."""
    text = PROJECT_FILE.read_text(encoding="utf-8").split("  loaders:\n")[0]
    shared = textwrap.dedent(text[text.index("    capabilities:\n") :])
    titles = {name: it.get("title") for name, it in about["settings"]["properties"].items()}
    return re.sub(
        r"^- name: (\w+)\n",
        lambda found: f"{found[0]}  label: {titles[found[1]] or label(found[1])}\n",
        shared,
        flags=re.MULTILINE,
    )


def label(name: str) -> str:
    """Make a label of a setting's name: API key, Project ID."""
    first, *others = name.split("_")
    words = [first.capitalize(), *others]
    return " ".join(it.upper() if it.lower() in ACRONYMS else it for it in words)


def test_definition_has_what_meltano_yml_has_in_the_hubs_fields(
    definition: dict[str, Any], entry: dict[str, Any]
) -> None:
    assert definition.keys() == HUB_FIELDS
    assert entry.keys() <= definition.keys()
    for setting in definition["settings"]:
        assert setting.pop("label")
    for name in entry.keys() - {"pip_url"}:
        assert definition[name] == entry[name], name


def test_definition_names_the_pythons_that_the_tap_names(
    definition: dict[str, Any], about: Any
) -> None:
    assert definition["supported_python_versions"] == about["supported_python_versions"]
    assert definition["name"] == about["name"]


def test_groups_name_the_settings_that_hold_keys(definition: dict[str, Any]) -> None:
    sensitive = [it["name"] for it in definition["settings"] if it.get("sensitive")]
    assert definition["settings_group_validation"] == [[name] for name in sensitive]
