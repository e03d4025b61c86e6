"""Shared cubes as pictures and numbers over HTTP: tiles, series, statistics, and layers that a GIS can open."""
