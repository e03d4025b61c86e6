"""Rasters inside a zipped product, local or remote, found without downloading or unpacking it.

MAJA products of Theia (MUSCATE, Sentinel-2 levels 2A and 3A) are known by the names of their files, after the format
description of Theia: ``…_FRE_B4.tif`` is surface reflectance corrected for slopes, ``…_SRE_B4.tif`` without that
correction, ``…_FRC_B4.tif`` that of a monthly synthesis, each as integers of 1/10000 with -10000 for no data;
``MASKS/…_CLM_R1.tif`` is the mask of clouds and their shadows on the grid of 10 m, ``R2`` that of 20 m.
"""

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import rasterio
from rasterio.errors import RasterioError

from earthlab.catalog.itemset import Band
from earthlab.catalog.signing import sign, unsigned
from earthlab.cube.readers.gridded import reading, shown
from earthlab.cube.readers.ranged import is_remote, local_path, open_remote
from earthlab.cube.readers.raster import gdal_env
from earthlab.errors import ReadFault

MOST_MEMBERS = 20_000
MOST_RASTERS = 512
MOST_DIRECTORY = 2**24
"""Bytes read to learn what an archive holds, at most."""

_MAJA = re.compile(r"_(?P<what>FRE|SRE|FRC)_(?P<band>B(?:\d{1,2}|8A))\.tif$|_(?P<mask>[A-Z0-9]{3}_(?:R[123]|XS))\.tif$")
_MEMBER = re.compile(r"^[^/\\{}\x00-\x1f][^\\{}\x00-\x1f]*\.(?:tif|tiff|jp2)$", re.IGNORECASE)
_COARSE = {"B5", "B6", "B7", "B8A", "B11", "B12"}
_REFLECTANCE = {"scale": 0.0001, "offset": 0.0, "nodata": -10000.0, "unit": "1"}
_TWO_LAYERS = {"ATB": ("WVC", "AOT")}
"""Files of two bands: water vapour and aerosols."""


@dataclass(frozen=True, slots=True)
class _Member:
    path: str
    asset: str
    name: str
    index: int = 1
    of: int = 1
    reflectance: bool = False
    grid: str = ""
    """Members of one grid have one header read for all; empty: read its own."""


def list_members(href: str) -> tuple[str, ...]:
    """The paths of the rasters in a zip archive, of which only the directory at its end is read.

    Raises
    ------
    ReadFault
        Where it is no zip archive, cannot be read, or has more members or a longer directory than any product.
    """
    with reading(href), _open_archive(href) as file, zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        if len(names) > MOST_MEMBERS:
            raise ValueError(f"it has {len(names)} members, more than {MOST_MEMBERS}")
        rasters = tuple(name for name in names if _MEMBER.match(name) and ".." not in name.split("/"))
    if not rasters:
        raise ReadFault(f"{shown(href)} holds no GeoTIFF and no JPEG 2000 among its {len(names)} members.")
    if len(rasters) > MOST_RASTERS:
        raise ReadFault(f"{shown(href)} holds {len(rasters)} rasters, more than {MOST_RASTERS}: it is no product.")
    return rasters


def expand_archive(href: str, template: Band) -> tuple[Band, ...]:
    """One band a raster of a zipped product, each with its grid, ready for GDAL.

    Parameters
    ----------
    href : str
        The archive: a path, or an http(s) or s3 address; unsigned.
    template : Band
        What the catalogue says of the asset; its key stands before a raster's name where no product is recognised.

    Returns
    -------
    tuple of Band
        Of a MAJA product ``B4`` (flat reflectance), ``SRE_B4``, ``CLM_R1`` and so on; of another the files' own names.

    Raises
    ------
    ReadFault
        As `list_members`, and where a raster's header cannot be read.
    """
    paths = list_members(href)
    members = list(_maja_members(paths)) or [_plain_member(path, template.asset) for path in paths]
    headers: dict[str, dict[str, Any]] = {}
    bands = []
    for member in members:
        key = member.grid or member.path
        if key not in headers:
            headers[key] = _header(href, member.path)
        bands.append(_band(href, template, member, headers[key]))
    return tuple(bands)


def member_href(href: str, path: str) -> str:
    """What GDAL opens for a raster in an archive; the braces let the archive's address be any."""
    return f"/vsizip/{{{_vsi(unsigned(href))}}}/{path}"


def _maja_members(paths: Sequence[str]) -> Iterator[_Member]:
    for path in paths:
        found = _MAJA.search(path)
        if found is None:
            continue
        if found["band"]:
            band, what = found["band"], found["what"]
            name = band if what != "SRE" else f"SRE_{band}"
            grid = "R2" if band in _COARSE else "R1"
            yield _Member(path, f"{what}_{band}", name, reflectance=True, grid=grid)
            continue
        mask = found["mask"]
        layers = _TWO_LAYERS.get(mask[:3], (mask[:3],))
        for index, layer in enumerate(layers, start=1):
            yield _Member(path, mask, f"{layer}_{mask[4:]}", index, len(layers), grid=mask[4:])


def _plain_member(path: str, asset: str) -> _Member:
    stem = path.rpartition("/")[2].rpartition(".")[0]
    return _Member(path, f"{asset}/{path}", stem)


def _band(href: str, template: Band, member: _Member, header: dict[str, Any]) -> Band:
    own: dict[str, Any] = {} if member.grid else {"nodata": header["nodata"], "dtype": header["dtype"]}
    about = {**_REFLECTANCE, "dtype": header["dtype"]} if member.reflectance else own
    return replace(
        template,
        asset=member.asset,
        name=member.name,
        href=member_href(href, member.path),
        index=member.index,
        of=member.of,
        common_name=None,
        media_type="image/jp2" if member.path.lower().endswith("jp2") else "image/tiff",
        crs=header["crs"],
        transform=header["transform"],
        shape=header["shape"],
        kind="raster",
        **{"scale": None, "offset": None, "unit": None, "nodata": None, "dtype": None, **about},
    )


def _header(href: str, path: str) -> dict[str, Any]:
    signed = sign(href)
    address = f"/vsizip/{{{_vsi(signed.href)}}}/{path}"
    try:
        with gdal_env(signed), rasterio.open(address, sharing=False) as source:
            code = source.crs.to_epsg() if source.crs else None
            return {
                "crs": f"EPSG:{code}" if code else source.crs.to_wkt() if source.crs else None,
                "transform": tuple(source.transform)[:6],
                "shape": (source.height, source.width),
                "dtype": source.dtypes[0],
                "nodata": source.nodata,
            }
    except RasterioError as exc:
        raise ReadFault(f"{shown(href)}: its raster {path!r} cannot be read ({type(exc).__name__}).") from None


def _vsi(href: str) -> str:
    scheme = urlsplit(href).scheme
    if scheme in {"http", "https"}:
        return f"/vsicurl/{href}"
    if is_remote(href):
        clouds = {"s3": "s3", "s3a": "s3", "gs": "gs", "az": "az", "abfs": "adls", "abfss": "adls"}
        return f"/vsi{clouds[scheme]}/{href.partition('://')[2]}"
    return str(local_path(href).resolve())


def _open_archive(href: str) -> "_Rationed":
    return _Rationed(open_remote(sign(href)) if is_remote(href) else cast("BinaryIO", local_path(href).open("rb")))


class _Rationed(io.BufferedIOBase):
    """A file of which only so much may be read: what a hostile directory claims to hold is not believed."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self._file, self._left = file, MOST_DIRECTORY

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def read(self, size: int | None = -1) -> bytes:
        most = self._left + 1
        data = bytes(self._file.read(most if size is None or size < 0 else min(size, most)))
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"its directory is longer than {MOST_DIRECTORY >> 20} MiB")
        return data

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
