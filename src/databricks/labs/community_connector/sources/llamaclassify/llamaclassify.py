"""Joins the tap's connector to the interface of Lakeflow's community connectors."""

from databricks.labs.community_connector.interface import (
    LakeflowConnect,
    SupportsPartitionedStream,
)

from tap_llamaclassify.spark.lakeflow import LakeflowConnector


class LlamaclassifyLakeflowConnect(LakeflowConnector, LakeflowConnect, SupportsPartitionedStream):
    """Every table of the tap; all that it does is in `tap_llamaclassify.spark.lakeflow`."""
