"""The panels of JupyterLab, walked through in a browser as their users do, in French and in English.

Nothing is faked but where a test says so: the lab is that of `make lab`, with its catalogue, the browser is Chromium.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rasterio
from playwright.sync_api import Browser, Page, expect
from rasterio.warp import transform

from tests.e2e.conftest import ARTEFACTS, CHECKOUT, Lab
from tests.e2e.people import Person, open_lab, sign_in

pytestmark = pytest.mark.e2e

AXE = CHECKOUT / "lab_extension" / "node_modules" / "axe-core" / "axe.min.js"
_RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
NAME = "claire"


@pytest.fixture(scope="module")
def desk(lab: Lab, entry_link: str, browser: Browser) -> Iterator[Page]:
    """JupyterLab at the size of a small laptop, with no notebook open."""
    context = browser.new_context(viewport={"width": 1366, "height": 768}, locale="fr-FR")
    page = context.new_page()
    open_lab(page, lab.link_for(NAME))
    yield page
    context.close()


def open_fresh(page: Page, lab: Lab) -> None:
    """JupyterLab without what was open before."""
    page.goto(f"{lab.url}/user/{NAME}/lab?reset")
    page.wait_for_selector("#jp-main-dock-panel", timeout=120_000)


def open_panel(page: Page, name: str) -> None:
    """Open a panel of the side by its tab, where it is not open already."""
    panel = page.locator(f"#{name}")
    if not (panel.count() and panel.is_visible()):
        page.locator(f'[data-id="{name}"]').click()
    expect(panel).to_be_visible()


def violations_in(page: Page, selector: str) -> list[dict[str, Any]]:
    """What axe-core has against a part of the page."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("([part, rules]) => axe.run(part, rules)", [selector, _RULES])
    return [{"id": each["id"], "nodes": [node["html"] for node in each["nodes"]]} for each in found["violations"]]


def set_language(page: Page, locale: str) -> None:
    """Have JupyterLab speak another language from the next page on."""
    change_settings(page, "translation-extension:plugin", {"locale": locale})


def change_settings(page: Page, plugin: str, chosen: dict[str, Any]) -> None:
    """Have a plugin of JupyterLab's own do otherwise from the next page on."""
    page.evaluate(
        """async ([name, plugin, chosen]) => {
            const xsrf = document.cookie.match(/\\b_xsrf=([^;]+)/)[1];
            const url = `/user/${name}/lab/api/settings/@jupyterlab/${plugin}`;
            const body = JSON.stringify({ raw: JSON.stringify(chosen) });
            const answer = await fetch(url, { method: "PUT", body, headers: { "X-XSRFToken": xsrf } });
            if (!answer.ok) throw new Error(await answer.text());
        }""",
        [NAME, plugin, chosen],
    )


def shot(page: Page, name: str) -> None:
    """A screenshot as on a laptop, and one as on a phone."""
    page.screenshot(path=ARTEFACTS / f"panneaux-{name}.png")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(400)
    page.screenshot(path=ARTEFACTS / f"panneaux-{name}-telephone.png")
    page.set_viewport_size({"width": 1366, "height": 768})
    page.wait_for_timeout(200)


def test_from_a_theme_to_a_cube_and_a_cell_that_runs(lab: Lab, desk: Page) -> None:
    page, problems = desk, []
    page.on("pageerror", lambda error: problems.append(str(error)))
    open_fresh(page, lab)
    open_panel(page, "earthlab-catalogue")
    page.get_by_role("tab", name="Par thème").click()
    page.locator(".el-Themes").get_by_role("button", name="végétation", exact=True).click()
    total = page.locator(".el-Total strong")
    expect(total).to_have_text(re.compile(r"^\d+ produits$"))
    assert int(total.inner_text().split()[0]) > 100
    expect(page.locator(".el-Result").first).to_be_visible()
    assert violations_in(page, "#earthlab-catalogue") == []
    shot(page, "resultats")

    page.locator(".el-Catalogue .el-OpenCube").click()
    collections = page.locator(".el-Drawer select").first
    collections.select_option(label=re.search(r"[^\n]*Bouconne[^\n]*", collections.inner_text())[0].strip())
    expect(page.locator(".el-Plan")).to_be_visible()
    page.locator(".el-Bands").get_by_label("red", exact=True).check()
    page.locator(".el-Bands").get_by_label("nir", exact=True).check()
    expect(page.locator(".el-Plan")).to_contain_text(re.compile(r"Bandes\s*red, nir"))
    assert violations_in(page, "#earthlab-catalogue") == []
    shot(page, "cube")

    page.locator(".el-Drawer .el-OpenCube").click()
    notebook = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    expect(notebook).to_be_visible()
    cell = notebook.locator(".jp-CodeCell").first
    expect(cell).to_contain_text("el.open(items, bands=")
    expect(page.locator("#jp-main-statusbar")).to_contain_text("EarthLab | Inactif")
    cell.locator(".jp-InputArea-editor").click()
    page.keyboard.press("Shift+Enter")
    expect(cell.locator(".jp-OutputArea-output").last).to_contain_text("xarray.Dataset")
    shot(page, "cellule")

    # Said anew, the same cell is written over, and no other.
    open_panel(page, "earthlab-catalogue")
    page.locator(".el-Bands").get_by_label("nir", exact=True).uncheck()
    expect(page.locator(".el-Plan")).to_contain_text(re.compile(r"Bandes\s*red\s*Grille"))
    page.locator(".el-Drawer .el-OpenCube").click()
    expect(cell).to_contain_text("bands=['red'])")
    expect(notebook.locator(".jp-CodeCell").filter(has_text="el.open")).to_have_count(1)
    assert not problems


def test_by_place_and_keyboard_alone(lab: Lab, desk: Page) -> None:
    page = desk
    open_fresh(page, lab)
    open_panel(page, "earthlab-catalogue")
    page.get_by_role("tab", name="Par lieu").focus()
    page.keyboard.press("Tab")
    page.keyboard.type("Bouconne", delay=20)
    page.keyboard.press("Enter")  # at once, before anything was suggested
    expect(page.locator(".el-Total strong")).to_have_text(re.compile(r"^\d+ produits$"))
    expect(page.locator(".el-Chips")).to_contain_text("Bouconne")
    page.get_by_role("tab", name="Par lieu").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Par thème")).to_have_attribute("aria-selected", "true")


def test_a_search_is_kept_and_shared_by_a_link(lab: Lab, desk: Page, browser: Browser) -> None:
    page = desk
    open_fresh(page, lab)
    open_panel(page, "earthlab-catalogue")
    page.get_by_role("tab", name="Par thème").click()
    page.locator(".el-Themes").get_by_role("button", name="neige", exact=True).click()
    expect(page.locator(".el-Total strong")).to_have_text(re.compile(r"produits$"))
    count = page.locator(".el-Total strong").inner_text()
    page.locator(".el-Saved summary").click()
    page.get_by_label("Nom", exact=True).fill("ma neige")
    page.get_by_role("button", name="Enregistrer cette recherche").click()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copier le lien").click()
    link = page.evaluate("() => navigator.clipboard.readText()")
    assert "earthlab-search=" in link
    assert "token" not in link
    page.goto(link)
    page.wait_for_selector("#jp-main-dock-panel", timeout=120_000)
    expect(page.locator(".el-Total strong")).to_have_text(count)
    page.locator(".el-Chips").get_by_role("button", name="Tout effacer").click()
    page.locator(".el-Saved summary").click()
    page.locator(".el-Saved").get_by_role("button", name="ma neige", exact=True).click()
    expect(page.locator(".el-Total strong")).to_have_text(count)
    page.goto(f"{lab.url}/user/{NAME}/lab?earthlab-search=!!")
    expect(page.get_by_text("Ce lien ne contient pas de recherche lisible.").first).to_be_visible()


HOSTILE = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>\'"); import os #'


def constructed_rows(count: int) -> str:
    """Lines of an answer as the server would give them; constructed, since no catalogue here holds so many."""
    rows = [
        {
            "id": f"{HOSTILE if at == 0 else ''}item-{at:05}",
            "collection": f"c{at % 7}{HOSTILE if at % 7 == 0 else ''}", "endpoint": "lab",
            "start": f"{2000 + at % 20}-{at % 12 + 1:02}-01T00:00:00+00:00", "end": "",
            "bbox": [at % 300 - 150, at % 100 - 50, at % 300 - 149, at % 100 - 49], "ring": None,
            "platform": f"p{at % 5}", "instruments": ["i"], "cloud": at % 100, "licence": "CC0-1.0", "title": HOSTILE,
            "thumbnail": None, "simulated": False,
        }
        for at in range(count)
    ]  # fmt: skip
    lines = [{"rows": rows[at : at + 25]} for at in range(0, count, 25)]
    return "".join(json.dumps(line) + "\n" for line in [*lines, {"done": count}])


FRAMES = """async () => {
    const list = document.querySelector('.el-Results');
    const times = [];
    let last = performance.now();
    for (let at = 0; at < 90; at++) {
        list.scrollTop += 900;
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        times.push(now - last);
        last = now;
    }
    return times.sort((a, b) => a - b);
}"""


def test_ten_thousand_results_scroll_and_hostile_names_are_text(lab: Lab, desk: Page) -> None:
    page = desk
    open_fresh(page, lab)
    page.route("**/earthlab/search", lambda route: route.fulfill(body=constructed_rows(10_000), status=200))
    try:
        open_panel(page, "earthlab-catalogue")
        page.get_by_role("tab", name="Par thème").click()
        page.locator(".el-Themes").get_by_role("button", name="neige", exact=True).click()
        expect(page.locator(".el-Total strong")).to_have_text(re.compile(r"10.000 produits"))
        page.wait_for_timeout(1000)
        assert page.locator(".el-Results li").count() < 60
        times = page.evaluate(FRAMES)
        (ARTEFACTS / "panneaux-images.json").write_text(json.dumps(times))
        page.locator(".el-Facets summary").click()
        page.locator(".el-Facets input[type=search]").fill("item-00000")
        expect(page.locator(".el-Total strong")).to_have_text(re.compile(r"^1 produits sur 10.000"))
        expect(page.locator(".el-Result").first).to_contain_text("<script>")
        assert page.evaluate("() => window.hurt") is None
        assert page.locator(".el-Panel script, .el-Panel img[src='x']").count() == 0
    finally:
        page.unroute("**/earthlab/search")


def test_a_catalogue_that_is_away_is_said_and_asked_again(lab: Lab, desk: Page) -> None:
    page = desk
    page.route("**/earthlab/vocabulary*", lambda route: route.abort())
    open_fresh(page, lab)
    open_panel(page, "earthlab-catalogue")
    expect(page.locator(".el-Refusal")).to_contain_text("Votre serveur ne répond pas.")
    page.unroute("**/earthlab/vocabulary*")
    page.get_by_role("button", name="Réessayer").click()
    expect(page.locator(".el-Refusal")).to_have_count(0)
    page.get_by_role("tab", name="Par thème").click()
    expect(page.locator(".el-Themes button").first).to_be_visible()


def test_in_english_every_word_is(lab: Lab, desk: Page) -> None:
    page = desk
    set_language(page, "en")
    open_fresh(page, lab)
    open_panel(page, "earthlab-catalogue")
    expect(page.get_by_role("tab", name="By theme")).to_be_visible()
    page.get_by_role("tab", name="By theme").click()
    page.locator(".el-Themes").get_by_role("button", name="snow", exact=True).click()
    expect(page.locator(".el-Total strong")).to_have_text(re.compile(r"^\d+ items$"))
    shot(page, "english")


_FRENCH = re.compile(r"\b(aucune?|avec|dans|des|est|les|pas|pour|sur|une|vos|votre|vous)\b", re.IGNORECASE)
"""Small words that no English sentence has, nor a name of ours."""


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_every_panel_is_english_and_accessible_in_both_themes(lab: Lab, desk: Page, theme: str) -> None:
    page, shade = desk, theme.rpartition(" ")[2].lower()
    set_language(page, "en")
    change_settings(page, "apputils-extension:themes", {"theme": theme})
    try:
        open_fresh(page, lab)
        for panel in ("earthlab-catalogue", "earthlab-clusters"):
            open_panel(page, panel)
            page.wait_for_timeout(1500)
            assert violations_in(page, f"#{panel}") == [], panel
            assert _FRENCH.findall(page.locator(f"#{panel}").inner_text()) == [], panel
            shot(page, f"{panel.removeprefix('earthlab-')}-{shade}")
        for card, panel in (("Notebooks", "earthlab-gallery"), ("Map", "earthlab-map")):
            page.locator(".jp-LauncherCard:visible").filter(has_text=re.compile(f"^{card}$")).first.click()
            expect(page.locator(f"#{panel}")).to_be_visible()
            page.wait_for_timeout(3000)
            assert violations_in(page, f"#{panel}") == [], panel
            shot(page, f"{panel.removeprefix('earthlab-')}-{shade}")
            open_fresh(page, lab)
    finally:
        set_language(page, "fr_FR")
        change_settings(page, "apputils-extension:themes", {"theme": "JupyterLab Light"})


def test_the_panels_weigh_what_was_promised(lab: Lab) -> None:
    import gzip

    folder: Path = CHECKOUT / "lab_extension" / "earthlab_lab" / "labextension" / "static"
    scripts = [file for file in folder.iterdir() if file.suffix == ".js"]
    assert scripts
    assert sum(len(gzip.compress(file.read_bytes())) for file in scripts) <= 300_000


@pytest.fixture(scope="module")
def kernel(lab: Lab, desk: Page) -> Iterator[tuple[Person, str]]:
    """A kernel of the same person's, driven without the page."""
    with sign_in(lab.url, lab.link_for(NAME), NAME) as person:
        yield person, person.start_kernel()


OPENED = """
import earthlab as el
bouconne = el.open(el.search("theia-n3a", time="2018"), bands=["red", "nir"])
print(dict(bouconne.sizes))
"""

THERE = """
import pyproj
x, y = pyproj.Transformer.from_crs(4326, bouconne.odc.crs, always_xy=True).transform({lon}, {lat})
column = bouconne["nir"].sel(x=x, y=y, method="nearest").compute()
print([None if value != value else round(float(value), 4) for value in column.values])
"""


def test_a_cube_of_a_kernel_is_on_the_map_two_dates_compared_and_a_pixel_read(
    lab: Lab, desk: Page, kernel: tuple[Person, str]
) -> None:
    page, (person, name) = desk, kernel
    set_language(page, "fr_FR")
    assert "'time': 7" in person.run(name, OPENED)
    open_fresh(page, lab)
    page.locator(".jp-LauncherCard").filter(has_text="Carte").first.click()
    offer = page.locator(".el-Offers").get_by_role("button").filter(has_text="bouconne")
    expect(offer).to_be_visible()
    with page.expect_response(lambda answer: "/tiles/live/" in answer.url and answer.status == 200, timeout=120_000):
        offer.click()
    settings = page.locator(".el-Layers").get_by_role("button", name=re.compile("^Réglages"))
    settings.first.click()
    with page.expect_response(lambda answer: "band=nir" in answer.url and answer.status == 200, timeout=120_000):
        page.locator(".el-LayerSettings").get_by_label("Bande").select_option(value="nir")
    page.wait_for_timeout(1500)
    canvas = page.locator(".ol-viewport").bounding_box()
    assert canvas
    page.mouse.click(canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2)
    here = page.locator(".el-Place")
    expect(here.locator("svg[role=img]")).to_be_visible()
    assert violations_in(page, ".el-MapPanel") == []
    shot(page, "pixel")
    place = here.locator("h2").inner_text()
    lat, lon = (float(each.replace(",", ".")) for each in re.findall(r"(\d+[,.]\d+)°", place))
    said = person.run(name, THERE.format(lat=lat, lon=lon))
    expected = [value for value in json.loads(said.replace("None", "null")) if value is not None]
    here.locator("summary").click()
    shown = [float(each.replace(",", ".")) for each in re.findall(r"\d,\d+", here.locator("table").inner_text())]
    assert len(shown) == len(expected) == 7
    # A place is told to a thousandth of a degree: some ten pixels around it count.
    assert min(shown) > 0.02
    assert abs(sum(shown) / 7 - sum(expected) / 7) < 0.15

    page.locator(".el-LayerSettings").get_by_role("button", name="Comparer deux dates").click()
    swipe = page.get_by_role("slider", name=re.compile("^Limite entre"))
    expect(swipe).to_be_visible()
    before = swipe.get_attribute("aria-valuenow")
    swipe.focus()
    page.keyboard.press("ArrowLeft")
    assert swipe.get_attribute("aria-valuenow") != before
    page.wait_for_timeout(1500)
    shot(page, "deux-dates")

    after, layers = swipe.get_attribute("aria-valuenow"), page.locator(".el-Layers .el-Name").all_inner_texts()
    page.reload()
    expect(swipe).to_be_visible()
    assert swipe.get_attribute("aria-valuenow") == after
    assert page.locator(".el-Layers .el-Name").all_inner_texts() == layers != []


def test_a_cluster_of_a_notebook_is_seen_and_stopped(lab: Lab, desk: Page, kernel: tuple[Person, str]) -> None:
    page, (person, name) = desk, kernel
    open_fresh(page, lab)
    open_panel(page, "earthlab-clusters")
    assert "1" in person.run(name, "import earthlab as el\nours = el.cluster(workers=1)\nprint(ours.workers)")
    seen = page.locator(".el-Cluster")
    expect(seen).to_have_count(1)
    expect(seen).to_contain_text(re.compile(r"Workers\s*1"))
    assert violations_in(page, "#earthlab-clusters") == []
    shot(page, "grappe")
    seen.get_by_role("button", name=re.compile("^Tableau de bord")).click()
    board = page.locator(".el-Dashboard")
    expect(board.locator("svg[role=img]")).to_have_count(3)
    assert "12497500" in person.run(
        name, "held = ours.client.map(int, range(5000))\nprint(sum(ours.client.gather(held)))"
    )
    expect(board.locator(".el-TaskRows")).to_contain_text("int")
    expect(board.locator(".el-TaskRows")).to_contain_text(re.compile(r"5.000 / 5.000"))
    expect(board.locator("tbody tr")).to_have_count(1)
    assert violations_in(page, ".el-Dashboard") == []
    shot(page, "tableau-de-bord")
    seen.get_by_role("button", name=re.compile("^Arrêter la grappe")).click()
    page.locator(".jp-Dialog").get_by_role("button", name=re.compile("^Arrêter")).click()
    expect(seen).to_have_count(0)
    expect(board).to_contain_text("Cette grappe n’est plus en marche.")
    gone = person.run(name, "import time\ntime.sleep(3)\nprint(ours.client.status)")
    assert "running" not in gone
    person.run(name, "ours.close()")


SHARED = """
import earthlab as el
el.open(el.search("theia-n3a", time="2018-07"), bands=["red", "nir"], share=True)
print("shared")
"""


def test_a_shared_cube_is_opened_by_gdal_until_its_link_is_revoked(
    lab: Lab, desk: Page, kernel: tuple[Person, str], tmp_path: Path
) -> None:
    page, (person, name) = desk, kernel
    set_language(page, "fr_FR")
    assert "shared" in person.run(name, SHARED)
    open_fresh(page, lab)
    page.locator(".jp-LauncherCard").filter(has_text="Carte").first.click()
    offer = page.locator(".el-Offers h3", has_text="Cubes partagés").locator("xpath=following-sibling::ul[1]//button")
    for _ in range(5):  # the catalogue looks at the store every few seconds
        page.get_by_role("button", name="Actualiser").click()
        page.wait_for_timeout(3000)
        if offer.count():
            break
    with page.expect_response(lambda answer: "/tiles/" in answer.url and answer.status == 200, timeout=120_000):
        offer.first.click()
    page.locator(".el-Layers").get_by_role("button", name=re.compile("^Réglages")).click()
    page.get_by_role("button", name="Copier cette couche pour QGIS").click()
    page.get_by_role("button", name="Créer le lien").click()
    addresses = page.locator(".el-LinkDialog input")
    expect(addresses).to_have_count(2)
    assert violations_in(page, ".el-LinkDialog") == []
    shot(page, "qgis")
    wmts = addresses.nth(1).input_value()
    assert wmts.startswith(f"{lab.url}/services/tiles/layer/")
    words = {
        "GDAL_HTTP_MAX_RETRY": "0",
        "GDAL_WMS_CACHE_PATH": str(tmp_path),
        "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/http",
    }
    with rasterio.Env(**words):
        with rasterio.open(f"WMTS:{wmts}") as source:
            x, y = transform("EPSG:4326", source.crs, [1.229], [43.649])
            row, column = source.index(x[0], y[0])
            alpha = source.read(4, window=rasterio.windows.Window(column - 20, row - 20, 40, 40))
            assert (alpha == 255).mean() > 0.9
        page.get_by_role("button", name="Fermer").last.click()
        page.locator("summary", has_text="Mes liens").click()
        page.get_by_role("button", name=re.compile("^Révoquer le lien")).first.click()
        expect(page.get_by_text("Aucun lien en cours.")).to_be_visible()
        with pytest.raises(rasterio.RasterioIOError):
            rasterio.open(f"WMTS:{wmts}")
