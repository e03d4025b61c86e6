"""stac-fastapi-geoparquet over one file, in an environment of its own: ``python peer_stac.py FILE PORT FOLDER``."""

import importlib.util
import platform
import sys
from pathlib import Path

import uvicorn
from rustac import DuckdbClient
from stac_fastapi.geoparquet.api import create
from stac_fastapi.geoparquet.settings import Settings

EXTENSIONS = ("spatial", "icu", "parquet")
_PLATFORM = f"linux_{'amd64' if platform.machine() == 'x86_64' else 'arm64'}"


def lay_out_extensions(folder: Path) -> Path:
    """duckdb's extensions, which come as packages, where duckdb looks for them."""
    for name in EXTENSIONS:
        spec = importlib.util.find_spec(f"duckdb_extension_{name}")
        for found in Path(spec.submodule_search_locations[0]).glob(f"extensions/*/{name}.duckdb_extension"):
            place = folder / found.parent.name / _PLATFORM / found.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.symlink_to(found)
    return folder


def main() -> None:
    file, port, folder = sys.argv[1:]
    client = DuckdbClient(
        extension_directory=lay_out_extensions(Path(folder)), extensions=list(EXTENSIONS), install_extensions=False
    )
    settings = Settings(
        stac_fastapi_landing_id="peer",
        stac_fastapi_title="peer",
        stac_fastapi_description="peer",
        stac_fastapi_geoparquet_href=file,
    )
    uvicorn.run(create(settings, client).app, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
