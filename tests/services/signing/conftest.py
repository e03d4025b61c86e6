"""A broker in front of a fake provider, and beside a stand-in for the hub."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import pytest

from earthlab.catalog.signing.making import change_provider
from earthlab.catalog.signing.providers import find_provider
from earthlab.rights import Category, OrderQuota, Rule
from earthlab.services.doors import Hub, HubTokens
from earthlab.services.signing.app import create_app
from earthlab.services.signing.audit import Audit
from earthlab.services.signing.desk import Desk
from earthlab.services.signing.keys import LAB, KeyVault
from earthlab.services.signing.persons import HubPersons
from earthlab.services.signing.providers import describe_provider
from earthlab.testing.hub_api import HubApi, Token, serve_hub_api
from earthlab.testing.signing import FakeProvider, serve_provider

KEY = {"access_key": "planted-access", "secret_key": "planted-secret"}
MAY_USE = "access:services!service=signing"
LICENCE = "custom:earthlab:test:read"
TODAY = date(2026, 11, 21)


@dataclass
class Broker:
    app: object
    hub: HubApi
    upstream: FakeProvider
    vault: KeyVault
    folder: Path

    async def ask(self, method: str, path: str, *, token: str | None = "ana", **words) -> httpx.Response:
        headers = {"Authorization": f"token {token}"} if token else {}
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://lab/services/signing") as client:
            return await client.request(method, path, headers=headers, **words)

    async def sign(self, *urls: str, token: str | None = "ana") -> httpx.Response:
        return await self.ask("POST", "/sign_urls", token=token, json={"urls": list(urls)})

    @property
    def book(self) -> str:
        return "".join(path.read_text() for path in (self.folder / "audit").glob("*.jsonl"))


@pytest.fixture
def broker(tmp_path):
    data = tmp_path / "data"
    for name in ("open/a.tif", "licensed/b.tif"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(b"pixels")
    with serve_hub_api() as hub, serve_provider("urls", KEY, data) as upstream:
        hub.tokens["own"] = Token("signing", "service", ("read:groups",))
        hub.tokens["ana"] = Token("ana", scopes=(MAY_USE, LICENCE))
        hub.tokens["bob"] = Token("bob", scopes=(MAY_USE,))
        hub.tokens["stranger"] = Token("eve", scopes=("access:services!service=stac",))
        hub.groups = {"readers": {}, "org-x": {"test-charter": "2025-01-01"}}
        hub.members = {"ana": ("readers", "org-x")}
        vault = KeyVault(tmp_path / "keys")
        vault.put(LAB, "mtd", KEY)
        rule = make_rule(upstream.href("licensed/"))
        host = upstream.href("").split("/")[2]
        named = change_provider(find_provider("mtd"), upstream.url, [host])
        geodes = change_provider(find_provider("geodes"), None, ["localhost:9"])
        audit = Audit(tmp_path / "audit", lambda: datetime(2026, 11, 21, tzinfo=UTC))
        desk = Desk((rule,), (describe_provider(named), describe_provider(geodes)), vault, audit, lambda: TODAY)
        where = Hub(hub.url, "signing")
        app = create_app(desk, HubTokens(where, keep=0.0), HubPersons(where, "own"), prefix="/services/signing")
        yield Broker(app, hub, upstream, vault, tmp_path)


def make_rule(*hrefs: str) -> Rule:
    words = {"fr": "mot", "en": "word"}
    readers = Category("readers", words, reads=True, orders=(OrderQuota("THR", 4500),))
    return Rule(
        id="test",
        title=words,
        scope=LICENCE,
        charter="test-charter",
        reason={"fr": "Réservé.", "en": "Reserved."},
        how={"fr": "Signez la charte.", "en": "Sign the charter."},
        source="a test",
        categories=(readers,),
        hrefs=hrefs,
    )
