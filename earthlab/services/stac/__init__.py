"""The embedded catalogue: `archive` builds it, `app` serves it as a STAC API; neither imports the other."""
