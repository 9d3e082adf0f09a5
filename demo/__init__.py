"""`make demo` and `make demo-parquet`: the sandbox, the tap and what lands, end to end."""
