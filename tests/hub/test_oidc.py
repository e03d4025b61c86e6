"""Signing in at an institution that signs for real, in front of a small hub, and each way in which it is refused."""

import asyncio
import os
import ssl
from datetime import UTC, datetime
from ipaddress import ip_address
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tornado.web import HTTPError

from earthlab.hub import oidc
from earthlab.hub.accounts import resolve_account
from earthlab.hub.authenticators import LabAuthenticator
from earthlab.hub.identities import Identity, IdentityStore
from earthlab.hub.institution import Institution
from earthlab.hub.layout import resolve_accounts
from earthlab.hub.oidc import InstitutionAuthenticator, Kept, SignInRefused
from earthlab.testing.identity_provider import serve_identity_provider
from earthlab.testing.providers import unreachable_url
from tests.hub.small_hub import small_hub

STATE = "oauthenticator-state"
HERE = "/hub/droits"
"""A page that shows one's groups and starts no server."""

ENTITLED = "urn:mace:egi.eu:group:vo.lab.eu:role=member#aai.egi.eu"
LABEL = {"fr": "l’université", "en": "the university"}


@pytest.fixture(scope="module")
def provider():
    with serve_identity_provider() as found:
        yield found


@pytest.fixture(scope="module")
def class_hub(provider):
    words = {
        "ISSUER": provider.issuer,
        "CLIENT_ID": provider.client_id,
        "CLIENT_SECRET_ENV": "LAB_OIDC_SECRET",
        "USER_CLAIM": "preferred_username",
        "GROUP_CLAIM": "realm_access.roles, eduperson_entitlement",
        "GROUPS": f"dinamis-science=science;{ENTITLED}, exploitants=ops, cnes=cnes",
        "ALLOWED": "dinamis-science,exploitants",
        "OPERATORS": "exploitants",
        "LABEL_FR": LABEL["fr"],
        "LABEL_EN": LABEL["en"],
    }
    os.environ["LAB_OIDC_SECRET"] = provider.client_secret
    try:
        with small_hub(launch=0.1, words={f"OIDC__{name}": value for name, value in words.items()}) as found:
            yield found
    finally:
        del os.environ["LAB_OIDC_SECRET"]


@pytest.fixture(autouse=True)
def sound(provider):
    provider.fault = "none"
    provider.private = frozenset()


def as_(provider, name, *roles, sub="", **claims):
    provider.person = {
        "sub": sub or f"sub-of-{name}",
        "preferred_username": name,
        "realm_access": {"roles": list(roles or ["science"])},
        **claims,
    }


async def come(one, then=HERE):
    return await one.client.get("/hub/institution", params={"next": then})


async def until_back(one):
    """Everything up to the address that the institution leads back to, which is not opened."""
    away = await one.client.get("/hub/institution", params={"next": HERE}, follow_redirects=False)
    there = await one.client.get(away.headers["Location"], follow_redirects=False)
    return there.headers["Location"]


def says(page, *words):
    return all(word in page.text for word in words)


async def test_the_sign_in_page_has_a_button_that_leads_in_by_the_institution(people, provider):
    as_(provider, "marie")
    marie = await people()
    page = await marie.client.get("/hub/login", params={"next": HERE})
    assert says(page, 'id="token_input"', "Entrer avec l’université", "Sign in with the university")
    assert 'href="/hub/institution?next=%2Fhub%2Fdroits"' in page.text
    page = await come(marie)
    assert page.status_code == 200
    assert page.url.path == HERE
    assert page.url.query == b""
    assert await marie.name == "marie"
    assert says(page, "Vos groupes : dinamis-science")


async def test_what_goes_to_the_institution_is_bound_to_this_browser_and_kept_from_users_servers(people, provider):
    one = await people()
    away = await one.client.get("/hub/institution", follow_redirects=False)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(away.headers["Location"]).query).items()}
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["nonce"]) == 64
    assert asked["redirect_uri"].endswith("/hub/institution/retour")
    assert provider.client_secret not in away.headers["Location"]
    held = next(c for c in one.client.cookies.jar if c.name == STATE)
    assert held.path == "/hub/"
    assert held.has_nonstandard_attr("HttpOnly")
    assert held.get_nonstandard_attr("SameSite") == "Lax"
    assert away.headers["Cache-Control"] == "no-store"
    assert away.headers["Referrer-Policy"] == "no-referrer"
    again = await one.client.get("/hub/institution", follow_redirects=False)
    assert again.headers["Location"] != away.headers["Location"]


async def test_nobody_is_led_to_another_site(people, provider, class_hub):
    as_(provider, "marie")
    for astray in ("https://example.org/x", "//example.org/x", "\\\\example.org/x"):
        one = await people()
        one.client.follow_redirects = False
        back = await one.client.get("/hub/institution", params={"next": astray})
        back = await one.client.get(back.headers["Location"])
        landed = await one.client.get(back.headers["Location"])
        assert landed.status_code == 302
        assert urlsplit(landed.headers["Location"]).netloc == ""


async def test_an_identity_keeps_its_account_whatever_it_is_called_and_nobody_else_gets_it(people, provider):
    as_(provider, "irene", sub="1")
    irene, eve = await people(), await people()
    await come(irene)
    as_(provider, "joliot", sub="1")
    again = await people()
    await come(again)
    assert await again.name == "irene"
    as_(provider, "irene", sub="2")
    page = await come(eve)
    assert page.status_code == 409
    assert says(page, "celui d’un autre compte", "that of another account", 'id="token_input"')
    assert await eve.name is None


async def test_names_of_local_accounts_and_of_seats_are_not_given(class_hub, people, provider):
    local = await people()
    await local.client.get(f"{class_hub.link_for('lise')}&next={HERE}")
    assert await local.name == "lise"
    class_hub.link_for("promised")
    resolve_account("forgotten", class_hub.layout, resolve_accounts(class_hub.settings))
    for name, status, words in (
        ("lise", 409, "autre compte"),
        ("promised", 409, "autre compte"),
        ("forgotten", 409, "autre compte"),
        ("earthlab", 409, "autre compte"),
        ("atelier-theia-001", 403, "réservé aux places"),
        ("repetition-001", 403, "réservé aux places"),
    ):
        as_(provider, name)
        one = await people()
        page = await come(one)
        assert (page.status_code, await one.name) == (status, None), name
        assert words in page.text


async def test_who_has_no_name_by_the_claim_that_the_settings_name_is_not_let_in(people, provider, class_hub):
    one = await people()
    for name in (None, "", 7, ["x"]):
        provider.person = {"sub": "nameless", "preferred_username": name, "realm_access": {"roles": ["science"]}}
        page = await come(one)
        assert page.status_code == 502
        assert await one.name is None
    assert "oidc.user_claim is 'preferred_username', which is not given" in class_hub.log


async def test_groups_follow_the_claims_at_each_sign_in_and_others_stay(class_hub, people, provider):
    as_(provider, "hypatia", "cnes", "science")
    page = await come(await people())
    assert says(page, "Vos groupes : cnes, dinamis-science")
    as_(provider, "hypatia", "other", eduperson_entitlement=[ENTITLED])
    provider.private = frozenset({"eduperson_entitlement"})
    page = await come(await people())
    assert says(page, "Vos groupes : dinamis-science<")
    as_(provider, "hypatia", "cnes")
    gone = await people()
    page = await come(gone)
    assert page.status_code == 403
    assert says(page, "aucun groupe qui entre ici", "no group that may enter", "l’université", "the university")
    assert await gone.name is None


async def test_an_operator_is_who_is_in_the_group_that_the_settings_name(people, provider):
    as_(provider, "chief", "ops")
    chief, marie = await people(), await people()
    await come(chief)
    as_(provider, "marie", "science", "admin", admin=True)
    await come(marie)
    assert (await chief.client.get("/hub/places")).status_code == 200
    assert (await marie.client.get("/hub/places")).status_code == 403


REFUSED = {
    "denied": (403, "Vous avez refusé", "You declined"),
    "another state": (400, "recommencez ici", "begin again here"),
    "another iss": (502, "n’est pas recevable", "cannot be accepted"),
    "no id token": (502, "n’est pas recevable", "cannot be accepted"),
    "a page in place of JSON": (502, "n’est pas recevable", "cannot be accepted"),
    "another nonce": (403, "n’a pas prouvé", "did not prove"),
    "another audience": (403, "n’a pas prouvé", "did not prove"),
    "another party": (403, "n’a pas prouvé", "did not prove"),
    "another issuer": (403, "n’a pas prouvé", "did not prove"),
    "expired": (403, "n’a pas prouvé", "did not prove"),
    "another key": (403, "n’a pas prouvé", "did not prove"),
    "unsigned": (403, "n’a pas prouvé", "did not prove"),
    "signed with the public key as a secret": (403, "n’a pas prouvé", "did not prove"),
    "somebody else's userinfo": (403, "n’a pas prouvé", "did not prove"),
}


async def test_each_fault_of_an_institution_is_refused_in_words_where_links_and_passes_go_on(
    people, provider, workshop
):
    slug, codes = workshop
    as_(provider, "emilie")
    one = await people()
    for fault, (status, french, english) in REFUSED.items():
        provider.fault = fault
        page = await come(one)
        assert page.status_code == status, fault
        assert says(page, french, english, 'id="token_input"', f'/hub/institution?next={quote(HERE, safe="")}"'), fault
        assert "0123" not in page.text, "what an address says is not repeated"
        assert await one.name is None, fault
    assert (await one.press(page, token=codes[0])).url.path == HERE
    assert await one.name == f"atelier-{slug}-001"
    provider.fault = "none"
    other = await people()
    await come(other)
    assert await other.name == "emilie"


async def test_what_led_back_once_leads_nobody_in_again(people, provider):
    as_(provider, "sophie")
    sophie, eve = await people(), await people()
    back = await until_back(sophie)
    state = sophie.cookie(STATE)
    elsewhere = await eve.client.get(back)
    assert elsewhere.status_code == 400
    assert await eve.name is None
    assert (await sophie.client.get(back)).url.path == HERE
    assert await sophie.name == "sophie"
    for one, cookie in ((sophie, None), (eve, state)):
        one.lose("jupyterhub-hub-login", "jupyterhub-session-id")
        if cookie:
            one.client.cookies.set(STATE, cookie, domain=one.client.base_url.host, path="/hub/")
        page = await one.client.get(back)
        assert page.status_code == 400
        assert says(page, "recommencez ici", "begin again here", 'id="token_input"')
        assert await one.name is None
    for wrong in ("", "?code=x", "?state=x", "?code=x&state=x"):
        assert (await eve.client.get(f"/hub/institution/retour{wrong}")).status_code == 400
    assert (await eve.client.post("/hub/institution")).status_code in {403, 405}


async def test_an_institution_that_is_away_is_told_on_the_sign_in_page(people, provider):
    as_(provider, "emmy")
    emmy = await people()
    back = await until_back(emmy)
    provider.fault = "away"
    page = await emmy.client.get(back)
    assert page.status_code == 502
    assert says(page, "ne répond pas", "does not answer", 'id="token_input"')


async def test_who_signs_out_is_shown_the_way_out_of_the_institution_and_others_are_not(class_hub, people, provider):
    as_(provider, "marie")
    marie, local = await people(), await people()
    await come(marie)
    page = await marie.client.get("/hub/logout")
    assert says(page, 'id="way-out"', f"{provider.issuer}/logout?client_id={provider.client_id}")
    assert await marie.name is None
    await local.client.get(f"{class_hub.link_for('local')}&next={HERE}")
    assert (await local.client.get("/hub/logout", follow_redirects=False)).headers["Location"] == "/hub/login"


async def test_the_work_of_a_seat_goes_along_to_an_account_of_the_institution_in_one_flow(
    class_hub, people, provider, workshop
):
    slug, codes = workshop
    as_(provider, "ada")
    ada = await people()
    await ada.enter(codes[0])
    seat = resolve_account(f"atelier-{slug}-001", class_hub.layout, resolve_accounts(class_hub.settings))
    (seat.home / "neige.ipynb").write_text("{}")
    os.chown(seat.home / "neige.ipynb", seat.uid, seat.gid)
    page = await ada.ask("garder", to="institution")
    assert page.url.path == "/hub/garder"
    assert says(page, "Vous êtes maintenant <b>ada</b>")
    page = await ada.press(page)
    assert f"atelier-{slug}" in page.text, page.text
    home = resolve_account("ada", class_hub.layout, resolve_accounts(class_hub.settings)).home
    assert (home / f"atelier-{slug}" / "neige.ipynb").read_text() == "{}"
    assert 'name="code" required' in (await ada.client.get("/hub/garder")).text, "the code is not carried any further"


async def test_nothing_secret_is_in_what_the_hub_writes(class_hub, people, provider):
    as_(provider, "marie")
    await come(await people())
    provider.fault = "no id token"
    await come(await people())
    provider.fault = "none"
    provider.client_secret, kept = "another", provider.client_secret
    refused = await come(await people())
    provider.client_secret = kept
    assert refused.status_code == 502
    said = class_hub.log
    assert "invalid_client" in said
    assert "GET /hub/institution/retour" in said
    assert len(provider.seen) > 8
    for secret in (*provider.seen, kept):
        assert secret not in said


@pytest.fixture
def store(tmp_path):
    return IdentityStore(tmp_path / "identities.sqlite")


@pytest.fixture
def door(provider, store):
    one = Institution(provider.issuer, provider.client_id, provider.client_secret, everybody=True, label=LABEL)
    return InstitutionAuthenticator(None, one, store, lambda _: False)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("away", "ne répond pas.*does not answer"),
        ("another issuer's metadata", "n’est pas recevable.*cannot be accepted"),
        ("an endpoint without TLS", "n’est pas recevable.*cannot be accepted"),
    ],
)
async def test_an_institution_that_is_not_what_it_should_be_is_not_gone_to(door, provider, fault, words):
    provider.fault = fault
    for _ in range(2):
        with pytest.raises(SignInRefused, match=words) as caught:
            await door.discover()
    assert provider.client_secret not in f"{caught.value} {caught.value.cause} {door!r}"


async def test_where_nothing_listens_is_away(store):
    one = Institution(f"{unreachable_url()}realms/lab", "lab", "hush", everybody=True, label=LABEL)
    door = InstitutionAuthenticator(None, one, store, lambda _: False)
    store.bind(Identity(one.issuer, "1"), "ada")
    with pytest.raises(SignInRefused, match="ne répond pas"):
        await door.discover()
    assert await door.way_out("ada") == "", "signing out does not need it"


async def test_an_institution_whose_certificate_nobody_vouches_for_is_not_believed(store, tmp_path, monkeypatch):
    monkeypatch.setenv("OAUTH_TLS_VERIFY", "0")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(self_signed(tmp_path / "certificate.pem"))
    heard = []
    async with await asyncio.start_server(lambda reader, _: heard.append(reader), "127.0.0.1", 0, ssl=tls) as server:
        issuer = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        one = Institution(issuer, "lab", "hush", everybody=True, label=LABEL)
        with pytest.raises(SignInRefused, match="ne répond pas") as caught:
            await InstitutionAuthenticator(None, one, store, lambda _: False).discover()
    assert "certificate verify failed" in caught.value.cause
    assert heard == []


def self_signed(path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(datetime(2020, 1, 1, tzinfo=UTC)).not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem + made.sign(key, SHA256()).public_bytes(Encoding.PEM))
    return path


def test_who_is_blocked_is_blocked_by_this_way_too(provider, layout):
    one = Institution(provider.issuer, "lab", "hush", everybody=True, label=LABEL)
    lab = LabAuthenticator(institution=one, layout=layout, blocked_users={"eve"})
    assert lab.door.check_blocked_users("ada")
    with pytest.raises(HTTPError, match="suspendu"):
        lab.door.check_blocked_users("eve")
    assert LabAuthenticator(layout=layout).door is None


async def test_the_clients_secret_goes_where_the_institution_takes_it(door, provider):
    for basic in (True, False):
        provider.basic_auth = basic
        door._endpoints = Kept(door._fetch_endpoints)
        await door.discover()
        headers = door.build_token_info_request_headers()
        assert ("Authorization" in headers) is basic


async def test_a_key_that_the_institution_has_since_renewed_is_fetched(door, provider, monkeypatch):
    as_(provider, "marie")
    assert (await door.verify(provider.issue("n"), "n"))["preferred_username"] == "marie"
    provider.fault = "a new key"
    renewed = provider.issue("n")
    with pytest.raises(SignInRefused, match="n’a pas prouvé"):
        await door.verify(renewed, "n")
    monkeypatch.setattr(oidc, "_PAUSE", 0.0)
    assert (await door.verify(renewed, "n"))["sub"] == "sub-of-marie"


async def test_of_many_who_ask_at_once_one_request_is_made_and_after_a_failure_none_for_a_while():
    now, asked, broken = [0.0], [], [True]

    async def fetch():
        asked.append(now[0])
        await asyncio.sleep(0)
        if broken[0]:
            raise ValueError("away")
        return len(asked)

    kept = Kept(fetch, lambda: now[0])
    answers = await asyncio.gather(*(kept.get() for _ in range(20)), return_exceptions=True)
    assert {str(answer) for answer in answers} == {"away"}
    with pytest.raises(ValueError, match="away"):
        await kept.get()
    assert asked == [0.0]
    now[0], broken[0] = 3.0, False
    assert await asyncio.gather(*(kept.get() for _ in range(20))) == [2] * 20
    now[0] = 86000.0
    assert await kept.get() == 2
    assert await kept.get(at_most=10) == 3
    now[0] *= 3
    assert await kept.get() == 4


def test_nothing_of_the_environment_changes_how_the_institution_is_asked(store, monkeypatch):
    for name, value in {
        "OAUTH_TLS_VERIFY": "0",
        "OAUTH_CLIENT_ID": "x",
        "OAUTH_CLIENT_SECRET": "x",
        "OAUTH_CALLBACK_URL": "https://example.org",
    }.items():
        monkeypatch.setenv(name, value)
    one = Institution("https://idp.example", "lab", "hush", everybody=True, label=LABEL)
    door = InstitutionAuthenticator(None, one, store, lambda _: False)
    assert (door.client_id, door.client_secret, door.oauth_callback_url) == ("lab", "hush", "")
    assert door.validate_server_cert
    assert door.enable_pkce
    assert not door.enable_auth_state
