"""Id tokens and metadata of an institution, right and wrong: it signs by itself, we check by another library."""

import pytest

from earthlab.hub import id_tokens
from earthlab.hub.id_tokens import Endpoints, UnknownKey, Unsound, complete_claims, parse_endpoints, verify_id_token
from earthlab.testing.identity_provider import IdentityProvider

PLACE = "https://idp.example/"


@pytest.fixture(scope="module")
def provider():
    return IdentityProvider(url=PLACE)


@pytest.fixture
def said(provider):
    provider.fault = "none"
    return provider.metadata()


def token(provider, fault="none", **claims):
    provider.fault = fault
    provider.person = {"sub": "1", **claims}
    return provider.issue("nonce")


def check(provider, text, nonce="nonce"):
    return verify_id_token(text, provider.jwks()["keys"], provider.issuer, provider.client_id, nonce)


def test_a_token_of_this_institution_for_this_lab_now_and_this_sign_in_is_believed(provider):
    claims = check(provider, token(provider, name="Ada"))
    assert (claims["sub"], claims["name"]) == ("1", "Ada")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("another nonce", "nonce"),
        ("another audience", "Audience"),
        ("another party", "azp"),
        ("another issuer", "issuer"),
        ("expired", "expired"),
        ("another key", "Signature verification failed"),
        ("unsigned", "signed by 'none'"),
        ("signed with the public key as a secret", "signed by 'HS256'"),
    ],
)
def test_any_other_is_refused(provider, fault, words):
    with pytest.raises(Unsound, match=words):
        check(provider, token(provider, fault))


@pytest.mark.parametrize("text", ["", "a.b.c", "é", "x" * 10_000])
def test_what_is_no_token_is_refused(provider, text):
    with pytest.raises(Unsound, match="refused"):
        check(provider, text)


@pytest.mark.parametrize("subject", ["", "x" * 256, 7, None])
def test_a_subject_is_a_text_of_usual_length(provider, subject):
    with pytest.raises(Unsound):
        check(provider, token(provider, sub=subject))


def test_a_key_that_is_not_in_the_set_is_told_apart_for_there_may_be_a_newer_one(provider):
    old = provider.jwks()["keys"]
    text = token(provider, "a new key")
    with pytest.raises(UnknownKey):
        verify_id_token(text, old, provider.issuer, provider.client_id, "nonce")
    assert check(provider, text)["sub"] == "1"


def test_a_key_for_encryption_or_of_another_algorithm_is_not_used(provider):
    text = token(provider)
    for change in ({"use": "enc"}, {"alg": "PS256"}, {"kty": "oct"}, {"n": "!"}):
        keys = [key | change for key in provider.jwks()["keys"]]
        with pytest.raises(UnknownKey):
            verify_id_token(text, keys, provider.issuer, provider.client_id, "nonce")


def test_the_endpoints_are_those_of_the_metadata(provider, said):
    found = parse_endpoints(said, provider.issuer)
    assert found == Endpoints(
        authorization=f"{provider.issuer}/authorize",
        token=f"{provider.issuer}/token",
        keys=f"{provider.issuer}/keys",
        userinfo=f"{provider.issuer}/userinfo",
        end_session=f"{provider.issuer}/logout",
        basic_auth=False,
    )
    least = {
        name: value
        for name, value in said.items()
        if name in {"issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"}
    }
    assert parse_endpoints(least, provider.issuer) == Endpoints(found.authorization, found.token, found.keys)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"issuer": "https://idp.example/realms/lab/"}, "to the letter"),
        ({"issuer": None}, "to the letter"),
        ({"token_endpoint": "http://idp.example/token"}, "token_endpoint is .*expected an https"),
        ({"token_endpoint": "http://127.0.0.1/token"}, "token_endpoint"),
        ({"jwks_uri": None}, "jwks_uri"),
        ({"authorization_endpoint": ["x"]}, "authorization_endpoint"),
        ({"userinfo_endpoint": "file:///etc/passwd"}, "userinfo_endpoint"),
    ],
)
def test_metadata_of_another_or_that_lead_secrets_astray_are_refused(provider, said, change, words):
    with pytest.raises(Unsound, match=words):
        parse_endpoints(said | change, provider.issuer)
    for nothing in (None, [], "x"):
        with pytest.raises(Unsound):
            parse_endpoints(nothing, provider.issuer)


def test_userinfo_adds_to_the_token_and_changes_nothing_of_it():
    claims = {"sub": "1", "groups": ["a"]}
    assert complete_claims(claims, {"sub": "1", "groups": ["b"], "more": 2}) == {"sub": "1", "groups": ["a"], "more": 2}
    for other in ({"sub": "2"}, {}, None, "jwt"):
        with pytest.raises(Unsound, match="somebody else"):
            complete_claims(claims, other)


def test_no_algorithm_with_a_shared_secret_is_known():
    assert not [name for name in id_tokens.ALGORITHMS if name.startswith("HS") or name == "none"]
