"""airbyte-cdk: a low-code connector; its manifest is `airbyte_low_code.yaml`.

Its rows of rules have no `rule_index`, which the manifest has no way to tell.
"""

import json
import sys
from pathlib import Path

from airbyte_cdk.entrypoint import launch
from airbyte_cdk.sources.declarative.yaml_declarative_source import YamlDeclarativeSource

MANIFEST = Path(__file__).with_suffix(".yaml")
STREAMS = ("classify_jobs", "classify_job_rules", "classify_job_parsing_configs")


def main(url: str, key: str, page_size: str, folder: str) -> None:
    """Read all three streams."""
    settings = {"api_url": url, "api_key": key, "page_size": int(page_size)}
    config = written(Path(folder, "config.json"), settings)
    catalog = written(Path(folder, "catalog.json"), {"streams": [read(name) for name in STREAMS]})
    arguments = ["read", "--config", config, "--catalog", catalog]
    source = YamlDeclarativeSource(
        str(MANIFEST),
        catalog=YamlDeclarativeSource.read_catalog(catalog),
        config=YamlDeclarativeSource.read_config(config),
    )
    launch(source, arguments)


def written(path: Path, content: object) -> str:
    """Write a JSON file, and tell its path."""
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def read(name: str) -> dict[str, object]:
    """Ask for a stream as a whole."""
    return {
        "stream": {"name": name, "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
        "sync_mode": "full_refresh",
        "destination_sync_mode": "overwrite",
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
