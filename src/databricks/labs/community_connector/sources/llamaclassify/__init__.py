"""The classify jobs of LlamaCloud, as a source of Lakeflow's community connectors."""

from databricks.labs.community_connector.sources.llamaclassify.llamaclassify import (
    LlamaclassifyLakeflowConnect,
)
from databricks.labs.community_connector.sparkpds import LakeflowSource


class LlamaclassifyDataSource(LakeflowSource):
    """What `spark.dataSource.register` takes."""

    _lakeflow_connect_cls = LlamaclassifyLakeflowConnect


__all__ = ["LlamaclassifyDataSource", "LlamaclassifyLakeflowConnect"]
