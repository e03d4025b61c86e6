"""Logs without secrets: at their finest level other libraries write addresses with the signatures in them."""

import logging
import re

_LOGGERS = (
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.util.retry",
    "rasterio",
    *(f"rasterio.{part}" for part in ("_base", "_env", "_err", "_features", "_io", "_vsiopener", "_warp", "env", "io")),
)
_QUERY = re.compile(r"\?[^\s'\"{}]*=[^\s'\"{}]*")


class _WithoutQueries(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        if "?" in said:
            record.msg, record.args = _QUERY.sub("?…", said), ()
        return True


def hide_signatures_in_logs() -> None:
    """Have the loggers of urllib3 and rasterio leave out the queries of addresses."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, _WithoutQueries) for known in logger.filters):
            logger.addFilter(_WithoutQueries())
