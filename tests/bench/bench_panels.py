"""JupyterLab's panels in the system's Chromium, at a lab as `make lab` starts it: how soon, how fluent, how heavy.

- *usable after Lab*: from when JupyterLab's splash goes until the themes can be pressed, with the catalogue open from
  the visit before, as everybody has it who used it yesterday; below zero where they can be before. The way by theme is
  pressed as soon as it is there. The first visit fills the browser's cache.
- *scroll*, *filter*: a frame of a list of 10,000 results while it scrolls a screen and a half a frame, and from a key
  pressed in its filter to the total that it leaves. The rows are constructed and put in place of a catalogue's.

Bars: 1 s; 60 frames a second; the filter has none of its own and is held to a tenth of a second. The figures go to
``bench/panels.json`` too.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.e2e.conftest import BROWSER, Lab, find_chromium, running_lab
from tests.e2e.people import open_lab
from tests.e2e.test_panels import FRAMES, constructed_rows, open_fresh, open_panel

NAME = "claire"
FILTERS = ("item-01", "item-012", "item-0123", "item-0", "item-09", "c3", "item-00", "")
"""Typed one after another; each leaves another number of results than the one before."""

SIZE = {"width": 1366, "height": 768}

_WATCH = """() => {
    const seen = window.earthlabSeen = {};
    const look = () => {
        const splash = document.querySelector('#jupyterlab-splash');
        const stands = document.querySelector('#jp-main-dock-panel')?.offsetHeight > 0;
        if (!seen.lab && stands && (!splash || splash.classList.contains('splash-fade'))) {
            seen.lab = performance.now();
        }
        const ways = document.querySelectorAll('#earthlab-catalogue [role=tab]');
        if (!seen.pressed && ways.length > 1 && ways[1].offsetHeight > 0) {
            seen.pressed = performance.now();
            ways[1].click();
        }
        if (!seen.panel && document.querySelector('.el-Themes button')?.offsetHeight > 0) {
            seen.panel = performance.now();
        }
        requestAnimationFrame(look);
    };
    look();
}"""

_FILTER = """async words => {
    const total = document.querySelector('.el-Total strong');
    const box = document.querySelector('.el-Facets input[type=search]');
    const before = total.textContent;
    const began = performance.now();
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(box, words);
    box.dispatchEvent(new Event('input', { bubbles: true }));
    while (total.textContent === before) {
        if (performance.now() > began + 10000) throw new Error(`${words}: still ${before}`);
        await new Promise(requestAnimationFrame);
    }
    return performance.now() - began;
}"""


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("bench/panels.json"))
    asked = parser.parse_args()
    with running_lab() as lab, sync_playwright() as player:
        lab.start()
        chromium = player.chromium.launch(executable_path=find_chromium(), args=BROWSER)
        found = {**measure_visits(lab, chromium, asked.visits), **measure_list(lab, chromium)}
        chromium.close()
    text = json.dumps({"cpus": os.cpu_count(), **found}, indent=2)
    print(text)
    asked.out.parent.mkdir(exist_ok=True)
    asked.out.write_text(text + "\n")


def measure_visits(lab: Lab, chromium: Browser, visits: int) -> dict[str, Any]:
    """Milliseconds from navigation to Lab, and from Lab to a catalogue that can be used."""
    page = chromium.new_context(viewport=SIZE, locale="fr-FR").new_page()
    open_lab(page, lab.link_for(NAME))
    open_panel(page, "earthlab-catalogue")
    page.get_by_role("tab", name="Par thème").click()
    expect(page.locator(".el-Themes button").first).to_be_visible(timeout=30_000)
    page.wait_for_timeout(3000)  # the layout is kept a second or so after it changed
    page.add_init_script(f"({_WATCH})()")
    lab_ready, after = [], []
    for _ in range(visits):
        page.reload()
        page.wait_for_function("() => window.earthlabSeen?.lab && window.earthlabSeen?.panel", timeout=120_000)
        seen = page.evaluate("() => window.earthlabSeen")
        lab_ready.append(seen["lab"])
        after.append(seen["panel"] - seen["lab"])
        page.wait_for_timeout(1000)
    page.context.close()
    return {"lab ready, ms": told(lab_ready), "usable after Lab, ms": told(after)}


def measure_list(lab: Lab, chromium: Browser) -> dict[str, Any]:
    """Milliseconds of a frame, and of a filter, with 10,000 results."""
    page = chromium.new_context(viewport=SIZE, locale="fr-FR").new_page()
    open_lab(page, lab.link_for(NAME))
    fill_list(page, lab)
    frames = [time for _ in range(5) for time in page.evaluate(FRAMES)]
    page.locator(".el-Facets summary").click()
    filters = [page.evaluate(_FILTER, words) for words in FILTERS]
    page.context.close()
    return {"scroll, a frame, ms": told(frames), "filter, ms": told(filters)}


def fill_list(page: Page, lab: Lab) -> None:
    """Have 10,000 results in the list."""
    open_fresh(page, lab)
    page.route("**/earthlab/search", lambda route: route.fulfill(body=constructed_rows(10_000), status=200))
    open_panel(page, "earthlab-catalogue")
    page.get_by_role("tab", name="Par thème").click()
    page.locator(".el-Themes").get_by_role("button", name="neige", exact=True).click()
    expect(page.locator(".el-Total strong")).to_have_text(re.compile(r"10.000 produits"), timeout=60_000)
    page.wait_for_timeout(1000)


def told(values: list[float]) -> dict[str, float]:
    """The middle, the slow end and the slowest."""
    return {
        "p50": round(median(values), 1),
        "p95": round(quantiles(values, n=20)[-1], 1),
        "max": round(max(values), 1),
        "n": len(values),
    }


if __name__ == "__main__":
    main()
