"""Points, stations and profiles as tables: GeoParquet, delimited text and NetCDF, in one form."""

from earthlab.cube.tables.opening import table

__all__ = ["table"]
