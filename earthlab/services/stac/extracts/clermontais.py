"""The Clermontais (Hérault) as tables: land cover, roads and communes, each a collection of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import pystac

from earthlab.services.stac.documents import Sheet, Shot, Source, describe_collection, kept_by, licensed_by
from earthlab.services.stac.extracts.extract import Extract
from earthlab.services.stac.extracts.observations import ring_around

SAMPLE = "fragscape"

_HOST = kept_by("FragScape (M. Chailloux, INRAE)", "https://github.com/MathieuChailloux/FragScape")


@dataclass(frozen=True, slots=True)
class _Table:
    collection: str
    file: str
    moment: datetime
    title: str
    description: str
    licence: str
    citation: str
    producer: str
    units: dict[str, str]


_TABLES = (
    _Table(
        collection="pndb-clermontais-landcover",
        file="Clermontais/CLC/CLC12_D034_RGF_clipped.gpkg",
        moment=datetime(2012, 1, 1, tzinfo=UTC),
        title="CORINE Land Cover 2012 autour du Clermontais (Hérault)",
        description=(
            "Occupation du sol en 2012, 733 polygones (unité minimale 25 ha), découpés autour de la communauté de "
            "communes "
            "du Clermontais. CODE_12 : poste de la nomenclature CORINE. Données réelles. Le millésime est 2012 ; la "
            "date de "
            "l'item est son premier jour. / Land cover in 2012, 733 polygons (minimum unit 25 ha). Real data."
        ),
        licence="other",
        citation=(
            "Union européenne, Copernicus Land Monitoring Service, CORINE Land Cover 2012 ; extrait distribué avec "
            "FragScape "
            "(M. Chailloux, INRAE)."
        ),
        producer="Copernicus Land Monitoring Service",
        units={"AREA_HA": "ha"},
    ),
    _Table(
        collection="pndb-clermontais-roads",
        file="Clermontais/BDROUTE/bdroute_troncon_route_20121123_herault_clipped.gpkg",
        moment=datetime(2012, 11, 23, tzinfo=UTC),
        title="ROUTE 500 (IGN) 2012 autour du Clermontais (Hérault)",
        description=(
            "1 101 tronçons de route avec leur vocation (VOCATION), leur état (ETAT) et leur longueur. Données "
            "réelles. "
            "/ 1,101 road sections with their vocation, state and length. Real data."
        ),
        licence="etalab-2.0",
        citation="IGN, ROUTE 500, édition du 23 novembre 2012 ; extrait distribué avec FragScape (M. Chailloux).",
        producer="IGN",
        units={"LONGUEUR": "km"},
    ),
    _Table(
        collection="pndb-clermontais-communes",
        file="Clermontais/ZoneEtude/EPCIClermontaisCommunes.shp",
        moment=datetime(2016, 1, 1, tzinfo=UTC),
        title="Communes du Clermontais (Hérault)",
        description=(
            "Limites des 20 communes de la communauté de communes du Clermontais (GEOFLA, IGN), avec leur population. "
            "Données réelles. Le fichier ne dit pas son édition ; le nom de sa région est celui de l'année 2016. / "
            "The 20 "
            "communes of the Clermontais. Real data. The file does not state its edition; its region has the name of "
            "2016."
        ),
        licence="etalab-2.0",
        citation="IGN, GEOFLA communes ; extrait distribué avec FragScape (M. Chailloux, INRAE).",
        producer="IGN",
        units={"SUPERFICIE": "ha", "Z_MOYEN": "m"},
    ),
)


def open_sources(folder: Path) -> tuple[Source, ...]:
    """The three collections, each of one table."""
    return tuple(Source(_describe(table), 1, _read_shot(table, folder)) for table in _TABLES)


EXTRACT = Extract(SAMPLE, tuple(table.collection for table in _TABLES), open_sources)


def _read_shot(table: _Table, folder: Path) -> Iterator[Shot]:
    frame = gpd.read_file(folder / table.file).set_crs(2154, allow_override=True)
    name = table.collection.removeprefix("pndb-clermontais-")
    yield Shot(
        id=f"{table.collection}-{table.moment:%Y}",
        moment=table.moment,
        footprint=ring_around(frame),
        sheets=(Sheet(name, frame, table.units, table.title),),
        properties={"title": table.title},
    )


def _describe(table: _Table) -> pystac.Collection:
    return describe_collection(
        table.collection,
        table.title,
        table.description,
        licence=table.licence,
        keywords=["Clermontais", "Hérault", "fragmentation", "paysage", "PNDB"],
        providers=[licensed_by(table.producer), _HOST],
        citation=table.citation,
    )
