"""Each column of a row is the field of its name: whole rows of items whose fields all differ."""

from __future__ import annotations

from collections.abc import Callable

from tap_llamaclassify.api.models import JOB, Json
from tap_llamaclassify.tables import rows, v2_rows
from tests.support.builders import cases


def fields(*names: str, of: str = "") -> Json:
    """Make an object in which each field is a text of its own."""
    return {name: f"{of}{name}!" for name in names}


JOB_COLUMNS = (
    *("id", "project_id", "user_id", "status", "mode", "error_message", "job_record_id"),
    *("created_at", "effective_at", "updated_at"),
)
RULES = [fields("type", "description", of="0 "), None, fields("type", "description", of="2 ")]
PARSING = fields("lang", "max_pages", "target_pages")
V1_JOB = fields(*JOB_COLUMNS) | {"rules": RULES, "parsing_configuration": PARSING}
V2_COLUMNS = (
    *("id", "project_id", "user_id", "status", "configuration_id", "document_input_type"),
    *("file_input", "parse_job_id", "transaction_id", "error_message", "created_at", "updated_at"),
)
V2_JOB = fields(*V2_COLUMNS) | {
    "configuration": {"mode": "mode!", "rules": RULES, "parsing_configuration": PARSING},
    "result": fields("type", "confidence", "reasoning", of="result "),
    "usage": fields("credits", "parse_credits", of="usage "),
}
OF_JOB = {"job_id": "id!", "project_id": "project_id!", "updated_at": "updated_at!"}
RULE_ROWS = [
    OF_JOB | {"rule_index": index, "additional_fields": None} | fields("type", "description", of=of)
    for index, of in ((0, "0 "), (2, "2 "))
]
CONFIG_ROWS = [OF_JOB | PARSING | {"additional_fields": None}]
RESULT = {
    **fields("id", "file_id", "created_at", "updated_at", of="own "),
    "classify_job_id": "id!",
    "result": fields("type", "confidence", "reasoning"),
    JOB: fields("id", "project_id", "updated_at"),
}
RESULT_ROW = {
    **fields("id", "file_id", "created_at", "updated_at", of="own "),
    **fields("type", "confidence", "reasoning"),
    "job_id": "id!",
    "project_id": "project_id!",
    "job_updated_at": "updated_at!",
    "additional_fields": None,
}
V2_JOB_ROW = {
    **fields(*V2_COLUMNS, "mode"),
    **{f"result_{name}": f"result {name}!" for name in ("type", "confidence", "reasoning")},
    **{f"usage_{name}": f"usage {name}!" for name in ("credits", "parse_credits")},
    "rule_count": 3,
    "additional_fields": None,
}


@cases(
    "rows_of, item, expected",
    {
        "v1 jobs": (
            rows.job_rows,
            V1_JOB,
            [fields(*JOB_COLUMNS) | {"rule_count": 3, "additional_fields": None}],
        ),
        "v1 rules": (rows.rule_rows, V1_JOB, RULE_ROWS),
        "v1 parsing configurations": (rows.parsing_config_rows, V1_JOB, CONFIG_ROWS),
        "v1 results": (rows.result_rows, RESULT, [RESULT_ROW]),
        "v2 jobs": (v2_rows.v2_job_rows, V2_JOB, [V2_JOB_ROW]),
        "v2 rules": (v2_rows.v2_rule_rows, V2_JOB, RULE_ROWS),
        "v2 parsing configurations": (v2_rows.v2_parsing_config_rows, V2_JOB, CONFIG_ROWS),
    },
)
def test_each_column_is_the_field_of_its_name(
    rows_of: Callable[[list[Json]], list[rows.Row]], item: Json, expected: list[rows.Row]
) -> None:
    assert rows_of([item, item]) == [*expected, *expected]


def test_item_that_has_but_an_id_has_nulls_and_no_rules_and_no_parsing_configuration() -> None:
    bare: Json = {"id": "a"}
    empty: Json = {"configuration": None, "result": None, "usage": None}
    for row, full in (
        (rows.job_rows([bare]), rows.job_rows([V1_JOB])),
        (v2_rows.v2_job_rows([bare]), [V2_JOB_ROW]),
        (v2_rows.v2_job_rows([bare | empty]), [V2_JOB_ROW]),
        (rows.result_rows([bare | {JOB: bare, "result": None}]), [RESULT_ROW]),
    ):
        more: Json = {"rule_count": 0} if "rule_count" in full[0] else {"job_id": "a"}
        assert row == [dict.fromkeys(full[0]) | {"id": "a"} | more]
    for none in (bare, bare | empty, bare | {"rules": None, "parsing_configuration": None}):
        assert rows.rule_rows([none]) == v2_rows.v2_rule_rows([none]) == []
        assert rows.parsing_config_rows([none]) == v2_rows.v2_parsing_config_rows([none]) == []
