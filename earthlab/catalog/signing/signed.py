"""What signing gives, who gives it, and how an address is freed of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from earthlab.errors import BadRequest

_PROOF = re.compile(r"^(x-(amz|goog)-signature|sig|signature)$", re.IGNORECASE)
_SIGNED_WITH = re.compile(
    r"^(x-(amz|goog)-.*|sig|signature|s[eprtv]|sk.{1,3}|spr|expires|awsaccesskeyid|googleaccessid|key-pair-id|policy)$",
    re.IGNORECASE,
)
_BEARER = re.compile(r"^(token|access_token|api_?key|auth)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Signed:
    """An address that opens, and until when. Its repr shows neither, and it cannot be pickled."""

    href: str = field(repr=False)
    expires: float = float("inf")
    """Seconds since 1970, UTC."""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    """GDAL configuration for the read, such as ``GDAL_HTTP_HEADERS``."""

    def __reduce__(self) -> NoReturn:
        """Refused: a signature stays in the process that asked for it."""
        raise TypeError("A signed address does not travel: send the unsigned one, and sign it where it is read.")


class Signer(Protocol):
    """Whoever can sign the addresses of one provider."""

    def match(self, href: str) -> bool:
        """Whether the address is one of this provider's: the host compared whole."""
        ...

    def sign(self, href: str) -> Signed:
        """The signed address.

        Raises
        ------
        NotAllowed
            Where the provider or the user's rights refuse it.
        CatalogueUnavailable
            Where the provider cannot be asked.
        """
        ...


class NamedSigner(Signer, Protocol):
    """A signer as `make_signer` builds it: it can sign many at once, and keeps what it signed until it expires."""

    def sign_many(self, hrefs: list[str]) -> dict[str, Signed]:
        """Each address, signed; those of one request where the provider takes several.

        Raises
        ------
        NotAllowed
            Where one of them is refused.
        CatalogueUnavailable
            Where the provider cannot be asked.
        """
        ...


def unsigned(href: str) -> str:
    """The address without signature or credentials: what may travel.

    Raises
    ------
    BadRequest
        Where a user name or password stands in it: those belong in a signer.
    """
    if "?" not in href and "@" not in href:
        return href
    parts = urlsplit(href)
    if re.search(r"//[^/@]*@", href):
        raise BadRequest(
            f"An address at {parts.hostname or 'a provider'} carries a user name or password. Take them out of the "
            "catalogue and give them to a signer (setting catalogue.signers)."
        )
    if not parts.query:
        return href
    words = parse_qsl(parts.query, keep_blank_values=True)
    signature = any(_PROOF.match(name) for name, _ in words)
    kept = [w for w in words if not (_BEARER.match(w[0]) or (signature and _SIGNED_WITH.match(w[0])))]
    return href if len(kept) == len(words) else urlunsplit(parts._replace(query=urlencode(kept)))


class Hidden(Mapping[str, str]):
    """Headers or options that hold a key: a mapping whose repr shows the names alone, and that cannot be pickled."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Hidden({', '.join(self._values)})"

    def __reduce__(self) -> NoReturn:
        """Refused: keys stay in their process."""
        raise TypeError("What holds a key does not travel.")
