"""Load a folder of Parquet files into a DuckDB file, keyed as target-duckdb keys its tables.

`python -m benchmarks.load_files FOLDER WAREHOUSE`; a row replaces the one that has its key.
"""

import sys

import duckdb

KEYS = {
    "classify_jobs": "id",
    "classify_job_rules": "job_id, rule_index",
    "classify_job_parsing_configs": "job_id",
}


def main(folder: str, warehouse: str) -> None:
    """Make the tables, and fill them."""
    with duckdb.connect(warehouse) as connection:
        connection.execute("CREATE SCHEMA llamacloud")
        for table, keys in KEYS.items():
            name = f"llamacloud.{table}"
            files = f"read_parquet('{folder}/{table}-*.parquet')"
            connection.execute(f"CREATE TABLE {name} AS FROM {files} LIMIT 0")
            connection.execute(f"ALTER TABLE {name} ADD PRIMARY KEY ({keys})")
            connection.execute(f"INSERT OR REPLACE INTO {name} FROM {files}")


if __name__ == "__main__":
    main(*sys.argv[1:])
