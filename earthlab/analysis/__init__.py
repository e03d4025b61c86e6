"""Science as pure functions, xarray in and xarray out, one file a theme."""
