"""From a sign-in link to a map and a curve that gateway workers computed; and what a neighbour must not reach.

Nothing is faked: the lab is the one of `make lab`, the browser is Chromium, the data are the real N3A stack of Bouconne
and the simulated archive. The tests run in this order and share one lab.
"""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from playwright.sync_api import Page, expect

from earthlab.hub.parts import classify
from tests.e2e.conftest import ARTEFACTS, Lab
from tests.e2e.people import Person, open_lab, run_notebook, scroll_to, sign_in, text_of
from tests.patience import eventually

pytestmark = pytest.mark.e2e

MEDIANS = [0.902, 0.934, 0.916, 0.895, 0.879, 0.876, 0.704]
N3A = "theia/n3a-phenologie-bouconne.ipynb"
TOUR = "start/premiers-pas.ipynb"
FIRST = "earthlab"


@pytest.fixture(scope="module")
def first_link(lab: Lab) -> str:
    ARTEFACTS.mkdir(exist_ok=True)
    return lab.start()


@pytest.fixture(scope="module")
def neighbours(lab: Lab, first_link: str) -> Iterator[tuple[Person, Person]]:
    with (
        sign_in(lab.url, lab.link_for("amina"), "amina") as amina,
        sign_in(lab.url, lab.link_for("bruno"), "bruno") as bruno,
    ):
        yield amina, bruno


def test_a_newcomer_signs_in_and_sees_map_and_curve_computed_by_gateway_workers(
    lab: Lab, first_link: str, page: Page
) -> None:
    errors: list[str] = []
    outside: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: _note_outside(request.url, lab, outside))
    open_lab(page, first_link)
    with _watched(lab, _workers) as seen:
        document = run_notebook(page, lab.url, FIRST, N3A, ARTEFACTS / "n3a")
    said = text_of(document)
    found = [float(value) for value in re.search(r"médianes / medians: ([\d. ]+)", said)[1].split()]
    assert found == pytest.approx(MEDIANS, abs=0.001)
    assert "calculé par / computed by: tls://" in said
    assert seen, "no worker of the gateway ran while the notebook computed"
    _shows(page, ".leaflet-container img.leaflet-image-layer", ARTEFACTS / "n3a-carte.png")
    _shows(page, "iframe.earthlab-curve", ARTEFACTS / "n3a-courbe.png")
    assert page.frame_locator("iframe.earthlab-curve").first.locator("canvas").count(), "the curve has not been drawn"
    assert not errors
    assert not outside, f"the page asked outside of the lab: {outside[:3]}"


def test_the_tour_runs_in_the_browser_too(lab: Lab, first_link: str, page: Page) -> None:
    open_lab(page, lab.link_for(FIRST))
    document = run_notebook(page, lab.url, FIRST, TOUR, ARTEFACTS / "premiers-pas")
    assert "calculé par / computed by: tls://" in text_of(document)
    _shows(page, ".leaflet-container img.leaflet-image-layer", ARTEFACTS / "premiers-pas-carte.png")


def test_a_sign_in_link_works_once(lab: Lab, first_link: str) -> None:
    again = httpx.get(first_link, follow_redirects=True)
    assert again.status_code == 403
    assert "lien" in again.text
    assert "link" in again.text


def test_signing_in_without_a_link_leads_nowhere(lab: Lab, first_link: str) -> None:
    for path in (
        "/hub/home",
        f"/user/{FIRST}/lab",
        "/services/stac/collections",
        "/services/dask-gateway/api/v1/clusters/",
    ):
        answer = httpx.get(lab.url + path, follow_redirects=True)
        assert "login" in str(answer.url) or answer.status_code in {401, 403}, path


def test_the_first_steps_need_no_import(neighbours: tuple[Person, Person]) -> None:
    amina, _ = neighbours
    kernel = amina.start_kernel()
    said = amina.run(kernel, "print(len(el.search('theia-n3a', place='Bouconne', time='2018', max_cloud=40)))")
    assert said.strip() == "7"


def test_a_beginner_s_mistakes_end_in_a_sentence(neighbours: tuple[Person, Person]) -> None:
    amina, _ = neighbours
    kernel = amina.start_kernel()
    mistakes = {
        "el.search('theia-n3b')": "theia-n3a",
        "el.search('theia-n3a', time='2018/2017')": "Turn it round",
        "el.search('theia-n3a', bbox=(43.6, 1.2, 43.7, 1.3))": "empties the search",
        "el.search('theia-n3a', time='1999')": "time=",
        "el.plan(el.search('theia-n3a'), bands=['rouge'])": "red",
        "relief = el.open(el.search('dinamis-dem-srtm'), bands=['elevation']).elevation.isel(time=0)\n"
        "from earthlab.analysis.terrain import slope; slope(relief)": "degrees",
        "import pandas as pd; from earthlab.analysis.trends import theil_sen\n"
        "theil_sen(pd.Series([1.0], pd.to_datetime(['2020-01-01'])))": "found 1",
        "from earthlab.analysis.vegetation import ndvi; ndvi(el.open(el.search('theia-n3a'), bands=['red']))": "nir",
    }
    for code, expected in mistakes.items():
        said = amina.run(kernel, code)
        assert re.match(r"(BadRequest|NothingFound): ", said), said
        assert expected in said


@pytest.mark.skipif(os.getuid() != 0, reason="without root all users share one account, and the hub's page says so")
def test_a_neighbour_reaches_neither_files_nor_server_nor_clusters_nor_kernels(
    lab: Lab, neighbours: tuple[Person, Person]
) -> None:
    amina, bruno = neighbours
    mine, theirs = amina.start_kernel(), bruno.start_kernel()
    secret = "le secret d'Amina"
    place = amina.run(
        mine, f"import os, pathlib; p = pathlib.Path.home() / 's.txt'; p.write_text({secret!r}); print(p)"
    )
    facts = amina.run(
        mine, "from ipykernel.connect import get_connection_file; print(get_connection_file(), os.getpid())"
    )
    connection, pid = facts.split()
    cluster = amina.run(mine, "c = el.cluster(workers=1); print(c.name)").split()[-1]

    assert amina.run(mine, "print(os.getuid())") != bruno.run(theirs, "import os; print(os.getuid())")
    for code in (
        f"print(open({place.strip()!r}).read())",
        f"print(os.listdir(os.path.dirname({place.strip()!r})))",
        f"print(open({connection!r}).read())",
        f"print(open('/proc/{pid}/environ').read())",
        f"os.kill({pid}, 9)",
    ):
        said = bruno.run(theirs, code)
        assert re.search(r"(PermissionError|FileNotFoundError)", said), f"{code} → {said}"
        assert secret not in said

    headers = {"Authorization": f"token {bruno.token}"}
    for path in (
        "/user/amina/api/kernels",
        "/user/amina/api/contents/s.txt",
        "/hub/api/users/amina",
        "/hub/api/users",
    ):
        answer = httpx.get(lab.url + path, headers=headers, follow_redirects=False)
        assert answer.status_code in {302, 403, 404}, path
        assert secret not in answer.text

    listed = bruno.run(
        theirs,
        "from dask_gateway import Gateway\nfrom earthlab.settings import load_settings\n"
        "s = load_settings().compute\ng = Gateway(s.gateway, proxy_address=s.gateway_proxy, auth='jupyterhub')\n"
        "print([c.name for c in g.list_clusters()])",
    )
    assert listed.strip() == "[]"
    for code in (f"g.connect({cluster!r})", f"g.scale_cluster({cluster!r}, 3)", f"g.stop_cluster({cluster!r})"):
        said = bruno.run(theirs, code)
        assert re.search(r"(lacks permissions|not found|Forbidden|ValueError|GatewayServerError)", said), said
    assert amina.run(mine, "print(c.workers); c.close()").split()[0] == "1"


def test_the_operator_sees_who_is_there_but_enters_nobody_s_server(lab: Lab, neighbours: tuple[Person, Person]) -> None:
    with sign_in(lab.url, lab.link_for(FIRST), FIRST) as operator:
        headers = {"Authorization": f"token {operator.token}"}
        listed = httpx.get(f"{lab.url}/hub/api/users", headers=headers)
        assert {"amina", "bruno"} <= {user["name"] for user in listed.json()}
        for path in ("/user/amina/api/kernels", "/user/amina/api/contents"):
            assert operator.http.get(lab.url + path).status_code in {403, 404}
            assert httpx.get(lab.url + path, headers=headers).status_code in {403, 404}


def test_a_killed_worker_is_replaced_and_the_result_is_right(lab: Lab, neighbours: tuple[Person, Person]) -> None:
    amina, _ = neighbours
    kernel = amina.start_kernel()
    amina.run(kernel, "c = el.cluster(workers=1)")
    os.kill(_workers(lab)[0].pid, signal.SIGKILL)
    said = amina.run(kernel, "import dask.array as da; print(int(da.ones((2000, 2000), chunks=500).sum().compute()))")
    assert said.split()[-1] == "4000000"
    amina.run(kernel, "c.close()")


def test_a_killed_kernel_takes_its_cluster_with_it(lab: Lab, neighbours: tuple[Person, Person]) -> None:
    amina, _ = neighbours
    kernel = amina.start_kernel()
    pid = int(amina.run(kernel, "import os; c = el.cluster(workers=1); print(os.getpid())").split()[-1])
    assert _workers(lab)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not _workers(lab), what="the cluster of a killed kernel still runs")


def test_the_hub_s_page_is_french_first_and_english_complete(lab: Lab, page: Page) -> None:
    page.goto(lab.url)
    page.screenshot(path=ARTEFACTS / "entree.png")
    text = page.inner_text("body")
    assert "Entr" in text
    assert re.search(r"[Ss]ign", text)
    expect(page.locator("html")).to_have_attribute("lang", re.compile("fr"))


def test_stopping_the_lab_leaves_no_process_behind(lab: Lab) -> None:
    with sign_in(lab.url, lab.link_for("chloe"), "chloe") as person:
        person.run(person.start_kernel(), "c = el.cluster(workers=1)")
    assert lab.stop() == 0
    assert not lab.processes()


def _shows(page: Page, selector: str, picture: Path) -> None:
    scroll_to(page, selector)
    page.screenshot(path=picture)


def _note_outside(url: str, lab: Lab, outside: list[str]) -> None:
    if not url.startswith((lab.url, "data:", "blob:", lab.url.replace("http", "ws", 1))):
        outside.append(url)


def _workers(lab: Lab) -> list[psutil.Process]:
    return [p for p in lab.processes() if _part(p) == "worker"]


def _part(process: psutil.Process) -> str:
    try:
        return classify(process.name(), "\0".join(process.cmdline()).encode())
    except psutil.Error:
        return "other"


@contextmanager
def _watched(lab: Lab, find: Callable[[Lab], list[psutil.Process]]) -> Iterator[set[int]]:
    import threading

    seen: set[int] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            seen.update(p.pid for p in find(lab))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
