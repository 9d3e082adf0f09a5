"""Job history of LlamaCloud classify: a Singer tap, and for Python the same rows as Arrow.

Offers `History`, `record_batches` and `read_table`, and imports nothing until it is asked for.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tap_llamaclassify.python_api import History, read_table, record_batches

__all__ = ["History", "read_table", "record_batches"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from tap_llamaclassify import python_api  # noqa: PLC0415 - pyarrow takes its time

        return getattr(python_api, name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
