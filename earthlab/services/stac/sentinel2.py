"""What Sentinel-2 measures: the names of its bands and the classes of its scenes."""

from earthlab.services.stac.raster import BandKind

# Common name and centre wavelength in micrometres (Sentinel-2A).
_BANDS = {
    "B01": ("coastal", 0.4427),
    "B02": ("blue", 0.4924),
    "B03": ("green", 0.5598),
    "B04": ("red", 0.6646),
    "B05": ("rededge071", 0.7041),
    "B06": ("rededge075", 0.7405),
    "B07": ("rededge078", 0.7828),
    "B08": ("nir", 0.8328),
    "B8A": ("nir08", 0.8647),
    "B09": ("nir09", 0.9451),
    "B11": ("swir16", 1.6137),
    "B12": ("swir22", 2.2024),
}
SCENE_CLASSES = {
    0: ("no_data", "Sans donnée / no data"),
    3: ("cloud_shadow", "Ombre de nuage / cloud shadow"),
    4: ("vegetation", "Végétation / vegetation"),
    5: ("not_vegetated", "Sol nu, bâti / bare soil, built"),
    6: ("water", "Eau / water"),
    8: ("cloud_medium_probability", "Nuage, probabilité moyenne / cloud, medium probability"),
    9: ("cloud_high_probability", "Nuage, probabilité haute / cloud, high probability"),
}
SHARED = {"constellation": "sentinel-2", "instruments": ["msi"], "gsd": 10}


def reflectance(name: str, dtype: str, nodata: int, scale: float, offset: float) -> BandKind:
    """A band of surface reflectance, named ``B2`` or ``B02``."""
    common_name, centre = _BANDS[name if len(name) == 3 else name.replace("B", "B0")]
    return BandKind(name, dtype, nodata, scale, offset, "1", name, common_name, centre)


def scene_classes(nodata: int) -> BandKind:
    """The scene classification (SCL)."""
    title = "SCL – classification de la scène / scene classification"
    return BandKind("SCL", "uint8", nodata, title=title, classes=SCENE_CLASSES)
