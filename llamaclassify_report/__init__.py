"""A page about classify jobs, made from the marts that dbt has built; it knows no tap."""
