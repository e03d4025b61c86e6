"""A workshop on a cluster: its service as the chart runs it, the chart's hub, and real servers in place of the pods."""

import asyncio
import io
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from earthlab.hub.configure import tethered
from earthlab.hub.kept_work import WORK
from earthlab.hub.passes import PassStore, seat_user
from earthlab.services.workshops.text import to_toml
from earthlab.testing.workshops import workshop_now
from tests.helm.pod_hub import TOKENS, PodHub, pod_hub, take_seat, words_of
from tests.helm.pod_processes import Processes
from tests.hub.conftest import root_only
from tests.hub.participants import code_on
from tests.hub.small_server import PROTOCOL, Server
from tests.patience import PATIENCE, eventually
from tests.services.workshops.talking import HERE, xsrf_of

pytestmark = root_only
ADDRESS = f"127.79.{os.getpid() % 250}.{1 + os.getpid() // 250 % 250}"
SLUG = "neige"
FIRST = "theia/neige.ipynb"


@dataclass
class Lab:
    hub: PodHub
    pods: Processes

    def start_service(self) -> None:
        """The Deployment's container: its command and its environment."""
        ours = {
            "EARTHLAB__LAB__STATE": str(self.hub.folder / "service"),
            "JUPYTERHUB_API_URL": f"http://127.0.0.1:{self.hub.first_port + 2}/hub/api",
            "JUPYTERHUB_API_TOKEN": TOKENS["workshops"],
            "JUPYTERHUB_SERVICE_NAME": "workshops",
            "JUPYTERHUB_SERVICE_PREFIX": HERE,
            "JUPYTERHUB_SERVICE_URL": f"http://{ADDRESS}:8000",
        }
        with (self.hub.folder / "service.log").open("a") as log:
            self.service = subprocess.Popen(
                # Tests that are broken off leave it to nobody else.
                [*tethered(), sys.executable, "-P", "-m", "earthlab.services.workshops"],
                env=self.hub.environment | ours, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        eventually(self._answers, what="the workshops")

    def _answers(self) -> bool:
        assert self.service.poll() is None, self.log
        try:
            return httpx.get(f"http://{ADDRESS}:8000{HERE}api/place").status_code == 401
        except httpx.TransportError:
            return False

    def end_service(self) -> None:
        self.service.terminate()
        assert self.service.wait(PATIENCE) == 0

    @property
    def log(self) -> str:
        return (self.hub.folder / "service.log").read_text()

    def pod(self, number: int) -> str:
        return f"jupyter-{seat_user(SLUG, number)}"

    def home(self, number: int) -> Path:
        return self.hub.folder / "volumes" / self.pod(number)

    def server(self, number: int) -> Server:
        """A seat's server, spoken to with its own token by the address that people open."""
        token = words_of(self.hub.api.pods()[self.pod(number)])["JUPYTERHUB_API_TOKEN"]
        return Server(f"{self.hub.url}/user/{seat_user(SLUG, number)}", self.hub.folder / "none", token)


@pytest.fixture(scope="module")
def lab(fifth, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pod-workshops")
    pods = Processes(folder)
    words = {"LAB__FIRST_USER": "earthlab"}
    with pod_hub(folder, environ={"PYTHONPATH": str(fifth)}, places={"earthlab-workshops": ADDRESS}, **words) as hub:
        hub.api.run, hub.api.end, pods.services = pods.run, pods.end, f"{hub.url}/services"
        found = Lab(hub, pods)
        found.start_service()
        try:
            yield found
        finally:
            found.end_service()
            pods.close()


def post(visitor: httpx.Client, path: str, **fields: str) -> httpx.Response:
    page = visitor.get(HERE)
    return visitor.post(HERE + path, data={"_xsrf": xsrf_of(page.text), **fields})


def come(lab: Lab, visitor: httpx.Client, number: int, code: str) -> None:
    """By a pass, until JupyterLab is there."""
    take_seat(visitor, code)
    user = seat_user(SLUG, number)
    eventually(
        lambda: "jupyter-config-data" in visitor.get(f"/user/{user}/lab").text, seconds=2 * PATIENCE, what="JupyterLab"
    )


async def run_cell(server: Server, notebook: str, cell: str, code: str) -> None:
    kernel = await server.start_kernel(notebook)
    async with server.page(kernel, PROTOCOL) as page:
        await page.run(code, cell=cell)


def test_a_workshop_from_its_making_to_its_deletion(lab):
    with lab.hub.visitor() as anne, lab.hub.visitor() as ada, lab.hub.visitor() as bob:
        anne.get(lab.hub.link_for("earthlab", to=HERE))
        passes = open_workshop(anne)
        come(lab, ada, 1, passes[1])
        come(lab, bob, 2, passes[2])
        material_is_in_the_pod(lab)
        steps_reach_the_wall(lab, anne)
        what_is_given_out_later_comes(lab, anne)
        people_take_their_work_home(lab, ada, bob)
        work_is_kept_in_a_real_account(lab, ada)
        a_home_gives_and_takes_for_its_own_user_alone(lab, bob)
        the_service_starts_again(lab, ada)
        its_book_is_kept(lab)
        everything_is_deleted(lab, anne)


def open_workshop(anne: httpx.Client) -> dict[int, str]:
    text = to_toml(workshop_now(SLUG, organisers=("earthlab",), trainers=("earthlab",), memory=2**30))
    made = post(anne, "new", toml=text)
    assert 'data-stage="draft"' in made.text, made.text
    assert "try/warm" not in made.text
    opened = post(anne, f"w/{SLUG}/open")
    assert 'data-stage="open"' in opened.text, opened.text
    assert anne.get(f"{HERE}w/{SLUG}/sheet.pdf").content.startswith(b"%PDF")
    codes = {}
    for seat in (1, 2):
        reissued = post(anne, f"w/{SLUG}/reissue", seat=str(seat))
        codes[seat] = re.search(r'id="pass">([A-Z0-9-]+)<', reissued.text)[1]
    return codes


def material_is_in_the_pod(lab: Lab) -> None:
    home = lab.home(1)
    assert (home / SLUG / FIRST).is_file()
    assert (home / SLUG / "originaux" / FIRST).is_file()
    assert not (home / SLUG / "theia/glacier.ipynb").exists()
    (container,) = lab.hub.api.pods()[lab.pod(1)]["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == 2**30
    # JupyterLab opens with it.
    answer = httpx.get(f"{lab.server(1).url}/", headers={"Authorization": f"token {lab.server(1).token}"})
    assert f"/lab/tree/{SLUG}/{FIRST}" in answer.headers["location"]


def steps_reach_the_wall(lab: Lab, anne: httpx.Client) -> None:
    cells = json.loads((lab.home(1) / ".local/share/earthlab/ateliers" / SLUG / "atelier.json").read_text())
    first, second = cells["notebooks"][0]["cells"][:2]
    asyncio.run(run_cell(lab.server(1), f"{SLUG}/{FIRST}", first, "1 + 1"))
    asyncio.run(run_cell(lab.server(2), f"{SLUG}/{FIRST}", second, "{}['neige']"))

    def seen() -> bool:
        place = [
            httpx.get(f"{lab.hub.url}{HERE}api/place", headers={"Authorization": f"token {lab.server(seat).token}"})
            for seat in (1, 2)
        ]
        return place[0].json()["cells"].startswith("d") and place[1].json()["error"] == "KeyError"

    eventually(seen, what="the steps of both")
    assert anne.get(f"{HERE}w/{SLUG}/wall").status_code == 200


def what_is_given_out_later_comes(lab: Lab, anne: httpx.Client) -> None:
    own = lab.home(1) / SLUG / FIRST
    own.write_text(own.read_text().replace("\n", " \n", 1))
    changed = own.read_text()
    assert post(anne, f"w/{SLUG}/do/unlock").status_code in {200, 204}
    eventually((lab.home(1) / SLUG / "theia/glacier.ipynb").is_file, what="the second part")
    reset = post(anne, f"w/{SLUG}/do/reset", notebook=FIRST, seat="1")
    assert reset.status_code in {200, 204}, reset.text
    # First it goes aside, then the other comes.
    (aside,) = eventually(lambda: [*own.parent.glob("neige (avant *).ipynb")], what="the notebook aside")
    eventually(own.is_file, what="the notebook as it was handed out")
    assert own.read_text() != changed
    assert aside.read_text() == changed


def people_take_their_work_home(lab: Lab, ada: httpx.Client, bob: httpx.Client) -> None:
    (lab.home(1) / SLUG / "carte.png").write_bytes(b"png")
    answer = ada.get(f"{HERE}place/zip")
    assert answer.url.path == f"/user/{seat_user(SLUG, 1)}/earthlab-atelier.zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="{SLUG}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = set(archive.namelist())
        assert {f"{SLUG}/LISEZMOI-README.md", f"{SLUG}/carte.png", f"{SLUG}/{FIRST}"} <= names
        assert not [name for name in names if "originaux" in name]
        assert "atelier@example.org" in archive.read(f"{SLUG}/LISEZMOI-README.md").decode()
    assert bob.get(answer.url.path).status_code == 403
    assert httpx.get(str(answer.url)).status_code in {302, 403}


def work_is_kept_in_a_real_account(lab: Lab, ada: httpx.Client) -> None:
    """By a code, through the servers of both, also where the seat's has to be started for it."""
    code = code_on(hub_form(ada))
    with lab.hub.visitor() as cleo:
        cleo.get(lab.hub.link_for("cleo", to="/hub/home"))
        unopened = hub_form(cleo, code=code)
        assert unopened.status_code == 409
        assert "JupyterLab" in unopened.text
        cleo.get("/hub/spawn")
        opened = lambda: "jupyter-config-data" in cleo.get("/user/cleo/lab").text  # noqa: E731
        eventually(opened, seconds=2 * PATIENCE, what="JupyterLab")
        stop_server(lab, 1)
        kept = hub_form(cleo, code=code)
        assert 'id="kept"' in kept.text, kept.text
        assert hub_form(cleo, code=code).status_code == 403
    own = lab.hub.folder / "volumes/jupyter-cleo/atelier-neige" / SLUG
    assert (own / "carte.png").read_bytes() == b"png"
    assert (own / FIRST).read_text() == (lab.home(1) / SLUG / FIRST).read_text()
    assert not (own / "originaux").exists() or not [*(own / "originaux").rglob("*.ipynb")]
    assert not [each for each in own.parent.parent.iterdir() if each.name.endswith(".arriving")]
    tokens = lab.hub.ask("users/cleo/tokens", lab.hub.token_of("cleo")).json()["api_tokens"]
    assert not [each for each in tokens if "atelier" in each["note"]]


def a_home_gives_and_takes_for_its_own_user_alone(lab: Lab, bob: httpx.Client) -> None:
    server, before = lab.server(1), {*lab.home(1).iterdir()}
    work = f"{server.url}/{WORK}"
    break_off(lab, f"/user/{seat_user(SLUG, 1)}/{WORK}?folder=x", server.token, before)
    # A server that refuses before it has read all hangs up, which the proxy calls 503; so these come last.
    cut = 503
    with httpx.Client(timeout=PATIENCE, headers={"Authorization": f"token {server.token}"}) as own:
        assert own.get(work, params={"most": "1"}).json() == {"refused": "much"}
        aside, short = (f'{{"path": "{path}", "size": 9, "mtime": 0}}\nx'.encode() for path in ("../../x", "a"))
        for content in (b"", b"no json", aside, short):
            assert own.post(work, params={"folder": "x"}, content=content).json() == {"refused": "broken"}
        for wrong in ({"folder": "../x"}, {}):
            assert own.post(work, params=wrong, content=b"{}").status_code in {400, cut}
    with httpx.Client(timeout=PATIENCE) as nobody:
        for visitor in (nobody, bob):
            assert visitor.get(work, params={"most": "1"}).status_code in {403, cut}
            assert visitor.post(work, params={"folder": "x"}, content=b"{}").status_code in {403, cut}
    assert {*lab.home(1).iterdir()} == before


def break_off(lab: Lab, path: str, token: str, before: set[Path]) -> None:
    """Begin to give a file, and be gone in the middle of it."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: token {token}\r\nContent-Length: 1000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", lab.hub.first_port)) as line:
        line.sendall(head.encode() + b'{"path": "a", "size": 999999, "mtime": 0}\nhalf of it')
        eventually(lambda: {*lab.home(1).iterdir()} != before, what="what has come so far")
    eventually(lambda: {*lab.home(1).iterdir()} == before, what="nothing of it")


def hub_form(visitor: httpx.Client, **fields: str) -> httpx.Response:
    page = visitor.get("/hub/garder")
    secret = re.search(r'name="_xsrf" value="([^"]*)"', page.text)
    return visitor.post("/hub/garder", data={"_xsrf": secret[1], **fields})


def stop_server(lab: Lab, number: int) -> None:
    user = seat_user(SLUG, number)
    answer = lab.hub.ask(f"users/{user}/server", lab.hub.token_of("earthlab"), "DELETE")
    assert answer.status_code in {202, 204}
    eventually(lambda: lab.pod(number) not in lab.hub.api.pods(), what="the end of the pod")


def its_book_is_kept(lab: Lab) -> None:
    """By the command that keeps the books of one machine."""
    file = lab.hub.folder / "workshops.tar.gz"
    line = [sys.executable, "-m", "earthlab.cli", "backup", str(file)]
    words = lab.hub.environment | {"EARTHLAB__LAB__STATE": str(lab.hub.folder / "service")}
    subprocess.run(line, env=words, check=True, capture_output=True, timeout=PATIENCE)
    with tarfile.open(file) as archive:
        assert {"hub/workshops.sqlite", f"workshops/{SLUG}/atelier.json"} <= set(archive.getnames())


def the_service_starts_again(lab: Lab, ada: httpx.Client) -> None:
    """Nobody is signed out, and nothing is lost."""
    lab.end_service()
    lab.start_service()
    assert "Neige des Pyrénées" in ada.get(f"{HERE}place").text


def everything_is_deleted(lab: Lab, anne: httpx.Client) -> None:
    assert f"claim-{seat_user(SLUG, 1)}" in claims(lab)
    assert post(anne, f"w/{SLUG}/forget", slug=SLUG).status_code == 200

    def forgotten() -> bool:
        return 'data-stage="forgotten"' in anne.get(f"{HERE}w/{SLUG}").text

    eventually(forgotten, what="the end of it")
    assert not [name for name in lab.hub.api.pods() if "atelier" in name]
    assert not [name for name in claims(lab) if "atelier" in name]
    book = PassStore(lab.hub.folder / "state/hub/passes.sqlite")
    assert book.seats(SLUG) == []
    assert book.share(seat_user(SLUG, 1)) is None
    assert not (lab.hub.folder / "service/workshops" / SLUG).exists()
    assert [*(lab.hub.folder / "service/workshops").iterdir()] == []


def claims(lab: Lab) -> list[str]:
    return [name for kind, name in lab.hub.api.objects if kind == "persistentvolumeclaims"]


def test_a_service_without_its_hub_says_what_it_lacks():
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EARTHLAB", "JUPYTERHUB"))}
    line = [sys.executable, "-P", "-m", "earthlab.services.workshops"]
    words = kept | {"EARTHLAB__KUBERNETES__ENABLED": "true"}
    done = subprocess.run(line, env=words, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 1
    assert "JUPYTERHUB_API_URL" in done.stderr
