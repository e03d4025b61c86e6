"""The kernel "EarthLab": an IPython kernel with ``earthlab`` already there as ``el``."""
