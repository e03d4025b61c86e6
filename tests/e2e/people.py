"""What a person does at the lab: sign in, open a notebook, run it; and what a script does: run code in a kernel."""

import json
import re
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import websocket
from playwright.sync_api import Page, expect

from tests.patience import PATIENCE


@dataclass
class Person:
    """Somebody signed in, with a running server and an API token of their own."""

    name: str
    base: str
    http: httpx.Client
    token: str

    @property
    def server(self) -> str:
        return f"{self.base}/user/{self.name}"

    def api(self, method: str, path: str, **words: Any) -> httpx.Response:
        return self.http.request(method, f"{self.server}/api/{path}", headers=self._headers(), **words)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"token {self.token}"}

    def start_kernel(self) -> str:
        made = self.api("POST", "kernels", json={"name": "earthlab"})
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    def run(self, kernel: str, code: str, *, seconds: float = 120) -> str:
        """What the code printed, or its error, with the kernel's answer awaited."""
        address = f"{self.server.replace('http', 'ws', 1)}/api/kernels/{kernel}/channels"
        socket = websocket.create_connection(address, header=self._headers(), timeout=seconds)
        try:
            mark = _send(socket, code)
            return "".join(_outputs(socket, mark, time.monotonic() + seconds))
        finally:
            socket.close()


def _send(socket: websocket.WebSocket, code: str) -> str:
    mark = uuid.uuid4().hex
    header = {"msg_id": mark, "msg_type": "execute_request", "username": "", "session": mark, "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    socket.send(json.dumps(message))
    return mark


def _outputs(socket: websocket.WebSocket, mark: str, until: float) -> list[str]:
    found: list[str] = []
    while time.monotonic() < until:
        message = json.loads(socket.recv())
        if message["parent_header"].get("msg_id") != mark:
            continue
        content = message["content"]
        match message["msg_type"]:
            case "stream":
                found.append(content["text"])
            case "error":
                found.append(f"{content['ename']}: {content['evalue']}\n")
            case "status" if content["execution_state"] == "idle":
                return found
    raise AssertionError("the kernel did not finish in time; so far: " + "".join(found))


def sign_in(base: str, link: str, name: str) -> Person:
    """Somebody who follows a sign-in link without a browser, starts their server and takes a token."""
    http = httpx.Client(follow_redirects=True, timeout=120)
    answer = http.get(link)
    assert answer.status_code == 200, answer.text[:500]
    http.get(f"{base}/hub/home")
    xsrf = next(c.value for c in http.cookies.jar if c.name == "_xsrf" and c.path == "/hub/")
    words = {"X-XSRFToken": xsrf or ""}
    http.post(f"{base}/hub/api/users/{name}/server", headers=words)
    made = http.post(f"{base}/hub/api/users/{name}/tokens", headers=words, json={"note": "e2e", "expires_in": 3600})
    assert made.status_code == 201, made.text
    person = Person(name, base, http, made.json()["token"])
    _wait_for_server(person)
    return person


def _wait_for_server(person: Person) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer = person.http.get(
            f"{person.base}/hub/api/users/{person.name}", headers={"Authorization": f"token {person.token}"}
        )
        server = answer.json()["servers"].get("", {})
        if server.get("ready"):
            return
        time.sleep(0.3)
    raise AssertionError(f"the server of {person.name} did not start")


_FETCH = """async (url) => {
    const xsrf = document.cookie.match(/\\b_xsrf=([^;]+)/);
    const answer = await fetch(url, { headers: { "X-XSRFToken": xsrf ? xsrf[1] : "" } });
    return answer.ok ? (await answer.json()).content : null;
}"""


def open_lab(page: Page, link: str) -> None:
    """Follow the sign-in link in the browser until JupyterLab stands."""
    page.goto(link)
    page.wait_for_selector("#jp-main-dock-panel", timeout=120_000)


def run_notebook(page: Page, base: str, name: str, notebook: str, artefact: Path) -> dict[str, Any]:
    """Open a notebook in JupyterLab, run all cells, save, and return the saved document."""
    # `reset`: without the tabs of an earlier visit, which JupyterLab would bring to the front.
    page.goto(f"{base}/user/{name}/lab/tree/notebooks/{notebook}?reset")
    panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    expect(panel).to_have_count(1)
    expect(panel.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']")).to_be_attached()
    expect(page.locator("#jp-main-statusbar")).to_contain_text(
        re.compile(r"EarthLab \| (Idle|Inactif)"), timeout=120_000
    )
    panel.locator(".jp-Cell").first.click()
    _run_all(page)
    document = _finished(page, name, notebook, failure=artefact.with_suffix(".failed.png"))
    page.screenshot(path=artefact.with_suffix(".end.png"))
    return document


def _run_all(page: Page) -> None:
    """Ask for all cells; again where JupyterLab lost them, as it does while it still connects to the kernel."""
    running = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-InputPrompt").filter(
        has_text=re.compile(r"\[(\*|\d+)\]")
    )
    for _ in range(3):
        page.locator("#jp-MainMenu").get_by_text(re.compile("^(Run|Exécution|Executer)$")).click()
        page.locator('[data-command="runmenu:run-all"]').click()
        page.wait_for_timeout(3000)
        if running.count():
            return
    raise AssertionError("JupyterLab did not run the cells")


def _finished(page: Page, name: str, notebook: str, *, failure: Path) -> dict[str, Any]:
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        page.keyboard.press("Control+s")
        page.wait_for_timeout(1500)
        document = page.evaluate(_FETCH, f"/user/{name}/api/contents/notebooks/{notebook}?content=1")
        if document is None:  # it is being saved at this moment
            continue
        code = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
        failed = [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
        assert not failed, f"{failed[0]['ename']}: {failed[0]['evalue']}"
        if all(cell["execution_count"] for cell in code):
            return document
    page.screenshot(path=failure)
    raise AssertionError(f"the notebook did not finish in time, see {failure}")


def scroll_to(page: Page, selector: str) -> None:
    """Scroll the notebook down until the element stands in view: JupyterLab draws only the cells near the view."""
    page.mouse.move(900, 600)
    page.mouse.wheel(0, -100_000)
    for _ in range(80):
        page.wait_for_timeout(150)
        if page.locator(selector).count() and page.locator(selector).first.is_visible():
            page.locator(selector).first.scroll_into_view_if_needed()
            page.wait_for_timeout(700)
            return
        page.mouse.wheel(0, 350)
    raise AssertionError(f"{selector} is nowhere in the notebook")


def text_of(document: dict[str, Any]) -> str:
    """Everything that a saved notebook's cells printed or showed as text."""
    parts: list[str] = []
    for cell in document["cells"]:
        for output in cell.get("outputs", []):
            parts += output.get("text", []) if isinstance(output.get("text"), list) else [output.get("text", "")]
            plain = output.get("data", {}).get("text/plain", "")
            parts += plain if isinstance(plain, list) else [plain]
    return "".join(parts)
