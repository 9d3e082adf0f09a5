"""A data source for Spark, by its Python Data Source API; whoever registers it needs pyspark.

Offers `register` and `LlamaClassify`, and imports nothing until it is asked for.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tap_llamaclassify.spark.source import LlamaClassify, register

__all__ = ["LlamaClassify", "register"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from tap_llamaclassify.spark import source  # noqa: PLC0415 - what plans needs no pyspark

        return getattr(source, name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
