"""The files that JupyterLab's pages are made of, from the hub for all users in place of from each user's server.

They are what anybody can download with JupyterLab, the same for everybody and named by a digest of what they hold: no
sign-in is asked for, and a browser that has one keeps it for good.
"""

import gzip
import mimetypes
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tornado.web import HTTPError, RequestHandler

ROUTE = r"/jupyterlab/([^/]+)"
"""Where the files are, below the hub's own address; pages find it in `earthlab.hub.server.STATIC`."""

_HASHED = re.compile(r"(?:.+\.)?[0-9a-f]{16,}\.(?!html)[a-z0-9]+")
_PACKED = {".css", ".html", ".js", ".json", ".map", ".svg", ".txt"}
_LEAST_PACKED = 1024


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file as it is kept: compressed by gzip, where that makes it smaller."""

    content: bytes
    kind: str
    packed: bool


def static_folder() -> Path:
    """Where the JupyterLab of this environment has its files."""
    return Path(sys.prefix).resolve() / "share" / "jupyter" / "lab" / "static"


@cache
def read_static(name: str) -> StaticFile:
    """A file whose name holds a digest of its content; kept in memory, some 6 MB for all of JupyterLab.

    Raises
    ------
    FileNotFoundError
        Where there is no such file, or its name holds no digest.
    """
    if not _HASHED.fullmatch(name):
        raise FileNotFoundError(name)
    file = static_folder() / name
    content = file.read_bytes()
    packed = file.suffix in _PACKED and len(content) >= _LEAST_PACKED
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return StaticFile(gzip.compress(content, 6) if packed else content, kind, packed)


class FrontHandler(RequestHandler):
    """Sends such a file, to be kept for a year, the longest there is."""

    def get(self, name: str) -> None:
        """One file, compressed where the browser takes that."""
        try:
            file = read_static(name)
        except FileNotFoundError:
            raise HTTPError(404) from None
        unpack = file.packed and "gzip" not in self.request.headers.get("Accept-Encoding", "")
        if file.packed and not unpack:
            self.set_header("Content-Encoding", "gzip")
        self.set_header("Content-Type", file.kind)
        self.set_header("Cache-Control", "public, max-age=31536000, immutable")
        self.set_header("Vary", "Accept-Encoding")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(gzip.decompress(file.content) if unpack else file.content)
