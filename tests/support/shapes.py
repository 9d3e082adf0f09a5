"""What selection, stream maps and flattening are tried with."""

from __future__ import annotations

from typing import Any

from tests.support.builders import Output

CASES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "deselected columns": {"deselect": ["user_id", "description", "lang", "additional_fields"]},
    "a renamed stream": {"stream_maps": {"classify_jobs": {"__alias__": "jobs"}}},
    "a removed stream": {"stream_maps": {"classify_job_rules": None}},
    "only one stream": {"stream_maps": {"classify_jobs": {}, "__else__": None}},
    "removed and added columns": {
        "stream_maps": {
            "classify_jobs": {"user_id": None, "hash": "md5(id)", "day": "str(updated_at)[:10]"},
        }
    },
    "only some columns": {
        "stream_maps": {
            "classify_job_rules": {
                "__else__": None,
                "job_id": "job_id",
                "rule_index": "rule_index",
                "type": "type",
            }
        }
    },
    "other keys": {"stream_maps": {"classify_jobs": {"key": "id", "__key_properties__": ["key"]}}},
    "filters": {
        "stream_maps": {
            "classify_jobs": {"__filter__": "status == 'SUCCESS'"},
            "classify_job_rules": {"__filter__": "rule_index > 1"},
        }
    },
    "two streams of one": {
        "stream_maps": {"copies": {"__source__": "classify_jobs", "n": "rule_count + 1"}}
    },
    "all streams by a pattern": {"stream_maps": {"*": {"updated_at": "updated_at"}}},
    "flattening": {"flattening_enabled": True, "flattening_max_depth": 3},
    "flattening of depth 0": {"flattening_enabled": True, "flattening_max_depth": 0},
    "flattening with short names": {
        "flattening_enabled": True,
        "flattening_max_depth": 1,
        "flattening_max_key_length": 8,
    },
    "flattening of selected columns": {
        "flattening_enabled": True,
        "flattening_max_depth": 1,
        "deselect": ["target_pages", "mode"],
    },
    "flattening and maps": {
        "flattening_enabled": True,
        "flattening_max_depth": 1,
        "stream_maps": {"classify_jobs": {"copy": "additional_fields"}},
    },
}


def schemas(output: Output) -> dict[str, Any]:
    return {message["stream"]: message for message in output.of_type("SCHEMA")}
