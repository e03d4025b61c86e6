"""How a layer comes into QGIS, in words."""

from datetime import UTC, datetime

from earthlab.services.tiles.links import Link


def write_steps(link: Link, xyz: str, capabilities: str, zoom: int) -> dict[str, list[str]]:
    """The steps, one after another, by language.

    Parameters
    ----------
    link : Link
        The layer.
    xyz, capabilities : str
        Its addresses: of its tiles, and of its WMTS.
    zoom : int
        The last that there is.
    """
    day = datetime.fromtimestamp(link.expires, UTC)
    french, english = f"{day:%d/%m/%Y}", f"{day:%Y-%m-%d}"
    return {
        "fr": [
            "Dans QGIS : Couche › Ajouter une couche › Ajouter une couche WMS/WMTS… › Nouveau.",
            f"Nom : {link.title}. URL : {capabilities} ; laissez l’authentification vide, puis OK.",
            "Connexion, choisissez la couche dans l’onglet Tuiles, puis Ajouter.",
            f"Ou en tuiles XYZ : Explorateur › XYZ Tiles › Nouvelle connexion…, URL : {xyz}, zoom max. : {zoom}.",
            f"Jusqu’au {french}, quiconque a cette adresse voit la couche, sans mot de passe : ne la publiez pas.",
            "La carte du laboratoire révoque cette adresse, aussitôt.",
        ],
        "en": [
            "In QGIS: Layer › Add Layer › Add WMS/WMTS Layer… › New.",
            f"Name: {link.title}. URL: {capabilities}; leave the authentication empty, then OK.",
            "Connect, choose the layer in the tab Tilesets, then Add.",
            f"Or as XYZ tiles: Browser › XYZ Tiles › New Connection…, URL: {xyz}, max. zoom: {zoom}.",
            f"Until {english} whoever has this address sees the layer, without a password: do not publish it.",
            "The lab's map takes this address back, at once.",
        ],
    }
