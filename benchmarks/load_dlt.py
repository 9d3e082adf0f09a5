"""Load a history into DuckDB with the dlt source of this package.

`python -m benchmarks.load_dlt URL KEY FOLDER PAGE_SIZE [--in-parts]` makes `FOLDER/loaded.duckdb`;
all that is dlt's own stays in the folder, too.
"""

import os
import sys

WAREHOUSE = "loaded.duckdb"
DATASET = "llamacloud"


def stay_in(folder: str) -> None:
    """Let dlt keep what is its own in a folder, and tell nobody of it; to be called before it."""
    os.environ["DLT_DATA_DIR"] = f"{folder}/dlt"
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"


def main(url: str, key: str, folder: str, page_size: str, *options: str) -> None:
    """Load the tables that are selected by default."""
    stay_in(folder)
    if "--in-parts" in options:
        # As docs/dlt.md has it where memory is short.
        os.environ["LOAD__WORKERS"] = "1"
    import dlt  # noqa: PLC0415 - it reads the environment when it is imported

    from tap_llamaclassify.dlt_source import llamaclassify, load  # noqa: PLC0415 - imports dlt

    pipeline = dlt.pipeline(
        "classify",
        pipelines_dir=f"{folder}/pipelines",
        destination=dlt.destinations.duckdb(f"{folder}/{WAREHOUSE}"),
        dataset_name=DATASET,
    )
    source = llamaclassify(api_url=url, api_key=key, page_size=int(page_size))
    if "--in-parts" in options:
        load(pipeline, source)
    else:
        pipeline.run(source)


if __name__ == "__main__":
    main(*sys.argv[1:])
