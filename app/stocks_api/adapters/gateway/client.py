"""The client library: whichever is installed, imported here and nowhere else."""

try:
    import ib_insync as ibi
except ModuleNotFoundError:  # its continuation, with the same interface: the extra `api-ib-async`
    import ib_async as ibi  # type: ignore[no-redef]

__all__ = ["ibi"]
