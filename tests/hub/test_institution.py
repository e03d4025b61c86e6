"""The institution of the settings: what is refused, where the secret comes from, and what claims mean."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.errors import SetupError
from earthlab.hub.institution import Institution, find_values, is_safe, means, resolve_institution
from earthlab.settings import load_settings

SECRET = "hush-0123456789"
GOOD = {
    "issuer": "https://idp.example/realms/lab",
    "client_id": "earthlab",
    "client_secret_env": "LAB_OIDC_SECRET",
    "groups": {"science": ["/science", "urn:mace:egi.eu:group:vo.example.eu:role=member"], "cnes": "cnes"},
    "allowed": "science, cnes",
}


def resolve(**words):
    arguments = {f"oidc.{name}": value for name, value in (GOOD | words).items() if value is not None}
    return resolve_institution(load_settings(arguments, environ={}, files=()).oidc, {"LAB_OIDC_SECRET": SECRET})


def test_without_an_issuer_there_is_no_institution():
    assert resolve_institution(load_settings(environ={}, files=()).oidc, {}) is None


def test_an_institution_is_what_the_settings_say_and_its_repr_holds_no_secret():
    found = resolve()
    assert found.client_secret == SECRET
    assert SECRET not in repr(found)
    assert found.allowed == {"science", "cnes"}
    assert found.scopes == ("openid", "profile")
    assert found.label == {"fr": "votre institution", "en": "your institution"}


def test_the_settings_come_from_a_file_or_from_the_environment(tmp_path):
    file = tmp_path / "earthlab.toml"
    file.write_text('[oidc.groups]\nscience = ["/a", "b=c#d"]\ncnes = "x"\n')
    assert load_settings(environ={}, files=(file,)).oidc.groups == {"science": ("/a", "b=c#d"), "cnes": ("x",)}
    line = {"EARTHLAB__OIDC__GROUPS": "science=/a;b=c#d, cnes=x"}
    assert load_settings(environ=line, files=()).oidc.groups == {"science": ("/a", "b=c#d"), "cnes": ("x",)}
    for wrong in ("science", 3, ["science"], {"science": 3}, {"science": [3]}):
        with pytest.raises(SetupError, match=r"oidc.groups is .*, expected a table of group = "):
            load_settings({"oidc.groups": wrong}, environ={}, files=())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"issuer": "http://idp.example"}, "oidc.issuer is .*expected an https address"),
        ({"issuer": "https://idp.example/?x=1"}, "oidc.issuer"),
        ({"issuer": "https://me@idp.example"}, "oidc.issuer"),
        ({"issuer": "https://idp.example:port"}, "oidc.issuer"),
        ({"issuer": "idp.example"}, "oidc.issuer"),
        ({"client_id": " "}, "oidc.client_id is empty"),
        ({"client_secret_env": ""}, "exactly one of them"),
        ({"client_secret_env": "ABSENT"}, "'ABSENT', which oidc names, holds nothing"),
        ({"client_secret_file": "/nonexistent", "client_secret_env": None}, "cannot be read"),
        ({"client_secret_file": "/nonexistent"}, "exactly one of them"),
        ({"callback": "https://lab.example/back"}, "oidc.callback is .*/hub/institution/retour"),
        ({"callback": "http://lab.example/hub/institution/retour"}, "oidc.callback"),
        ({"scopes": "profile"}, "openid among them"),
        ({"user_claim": "email"}, "expected a claim that stays"),
        ({"user_claim": ""}, "expected a claim that stays"),
        ({"groups": {"atelier:theia": ["x"]}}, "without a colon"),
        ({"groups": {"science": []}}, "at least one claim"),
        ({"groups": {"science": [""]}}, "at least one claim"),
        ({"allowed": ""}, "neither is set, expected one of them"),
        ({"everybody": True}, "both are set"),
        ({"allowed": "scince"}, "oidc.allowed names the group 'scince'.*Nearest: science"),
        ({"operators": "exploitants"}, "oidc.operators names the group 'exploitants'"),
        ({"label_fr": ""}, "oidc.label_fr is empty"),
    ],
)
def test_settings_that_say_too_little_or_too_much_are_refused(words, said):
    with pytest.raises(SetupError, match=said) as caught:
        resolve(**words)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_with_the_secret_that_others_can_read_is_refused(tmp_path, mode):
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    file.chmod(mode)
    words = {"client_secret_env": None, "client_secret_file": str(file)}
    with pytest.raises(SetupError, match="chmod 600"):
        resolve(**words)
    file.chmod(0o600)
    assert resolve(**words).client_secret == SECRET
    file.write_text("two words")
    with pytest.raises(SetupError, match="several words"):
        resolve(**words)


def test_what_is_no_file_or_no_text_is_no_secret(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "raw").write_bytes(b"\xff")
    (tmp_path / "raw").chmod(0o600)
    for name, said in (("pipe", "expected a file of the hub's account"), ("raw", "cannot be read")):
        with pytest.raises(SetupError, match=said):
            resolve(client_secret_env=None, client_secret_file=str(tmp_path / name))


def test_http_is_for_this_machine_alone():
    assert resolve(issuer="http://127.0.0.1:8080/realms/lab").issuer
    assert not is_safe("http://127.0.0.1:8080/token")
    assert is_safe("https://idp.example/token")
    for wrong in (
        "https://",
        "ftp://idp.example",
        "https://idp.example/#x",
        "https://idp.example/a b",
        "//idp.example",
    ):
        assert not is_safe(wrong, here=True)


def test_a_claim_is_a_text_a_list_or_within_another():
    claims = {"groups": ["/a", 3, None], "one": "x", "realm_access": {"roles": ["r"]}, "https://a.b/c": ["whole"]}
    assert find_values(claims, "groups") == {"/a"}
    assert find_values(claims, "one") == {"x"}
    assert find_values(claims, "realm_access.roles") == {"r"}
    assert find_values(claims, "https://a.b/c") == {"whole"}
    for absent in ("realm_access", "realm_access.other", "one.more", "none"):
        assert find_values(claims, absent) == frozenset()


@pytest.mark.parametrize(
    ("wanted", "value", "same"),
    [
        ("/science", "/science", True),
        ("/science", "/Science", False),
        ("/science", "/science/cnes", False),
        ("urn:mace:egi.eu:group:vo:role=member", "urn:mace:egi.eu:group:vo:role=member#aai.egi.eu", True),
        ("urn:mace:egi.eu:group:vo:role=member#aai.egi.eu", "URN:MACE:egi.eu:group:vo:role=member#aai.egi.eu", True),
        ("urn:mace:egi.eu:group:vo:role=member#aai.egi.eu", "urn:mace:egi.eu:group:vo:role=member#evil.example", False),
        ("urn:mace:egi.eu:group:vo:role=member#aai.egi.eu", "urn:mace:egi.eu:group:vo:role=member", False),
        ("urn:mace:egi.eu:group:vo", "urn:mace:egi.eu:group:vo:role=member#aai.egi.eu", False),
        ("urn:mace:egi.eu:group:vo", "urn:mace:egi.eu:group:VO", False),
        ("urn:mace:egi.eu:group:vo:role=manager", "urn:mace:egi.eu:group:vo:role=member", False),
    ],
)
def test_a_claim_means_what_the_settings_name_and_nothing_like_it(wanted, value, same):
    assert means(wanted, value) is same


@given(st.text(), st.text())
def test_without_an_authority_in_the_settings_texts_mean_the_same_only_where_they_are(one, other):
    assert means(one, one)
    if means(one, other) and not one.lower().startswith("urn:"):
        assert one == other


CLAIMS = st.dictionaries(
    st.sampled_from(["groups", "entitlements", "email"]), st.lists(st.sampled_from(["a", "b", "c", "d"])) | st.text()
)


@given(CLAIMS)
def test_groups_follow_from_the_named_claims_alone_and_only_those_allowed_enter(claims):
    one = Institution(
        "https://idp.example", "lab", "", {"x": ("a", "b"), "y": ("c",)}, frozenset({"x"}), group_claims=("groups",)
    )
    groups = one.groups_of(claims)
    values = claims.get("groups", [])
    values = [values] if isinstance(values, str) else values
    assert ("x" in groups) is bool({"a", "b"} & set(values))
    assert ("y" in groups) is ("c" in values)
    assert one.admits(groups) is ("x" in groups)
