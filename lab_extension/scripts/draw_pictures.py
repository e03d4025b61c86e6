#!/usr/bin/env python3
"""Pictures of the gallery's cards: each notebook is run, and what its chosen cell draws is kept, small.

python scripts/draw_pictures.py [NOTEBOOK…]

Which cell that is, a notebook's metadata say: ``earthlab.picture`` is the cell's id.
"""

import base64
import io
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image, ImageChops

from earthlab.testing.notebooks import notebook_surroundings
from earthlab_lab.gallery import PICTURES, SIZE, encode_picture, picture_name

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
_CELL_SECONDS = 300


def draw_picture(path: Path) -> bytes:
    """What the chosen cell of a notebook draws."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=_CELL_SECONDS, resources={"metadata": {"path": str(path.parent)}})
    client.execute()
    (cell,) = (cell for cell in notebook.cells if cell.id == notebook.metadata.earthlab.picture)
    drawn = next(output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {}))
    return shrink(base64.b64decode(drawn))


def shrink(drawn: bytes) -> bytes:
    """A figure without its white border, as small as a card shows it."""
    with Image.open(io.BytesIO(drawn)) as found:
        page = Image.new("RGB", found.size, "white")
        page.paste(found, mask=found.convert("RGBA").getchannel("A"))
    inside = ImageChops.difference(page, Image.new("RGB", page.size, "white")).getbbox()
    page = page.crop(inside)
    page.thumbnail(SIZE)
    encoded = encode_picture(page)
    assert encoded is not None, "the figure does not become small enough: choose another"
    return encoded


def main(arguments: list[str]) -> None:
    """Draw those that were named, or all."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, notebook_surroundings(Path(folder)):
        for path in map(Path, arguments) if arguments else sorted(NOTEBOOKS.glob("*/*.ipynb")):
            name = f"{path.parent.name}/{path.stem}"
            (PICTURES / picture_name(name)).write_bytes(draw_picture(path.resolve()))
            print(name)  # noqa: T201 - a command


if __name__ == "__main__":
    main(sys.argv[1:])
