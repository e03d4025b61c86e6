"""Signing: an href travels unsigned, and is signed by whoever reads it, when it is read.

Nothing that can be pickled, logged or shown holds a signature or a key.
"""

from earthlab.catalog.signing.configured import configured_signers, forget_signers, request_headers, sign
from earthlab.catalog.signing.keys import Key
from earthlab.catalog.signing.making import make_signer
from earthlab.catalog.signing.quiet import hide_signatures_in_logs
from earthlab.catalog.signing.signed import NamedSigner, Signed, Signer, unsigned

__all__ = [
    "Key",
    "NamedSigner",
    "Signed",
    "Signer",
    "configured_signers",
    "forget_signers",
    "make_signer",
    "request_headers",
    "sign",
    "unsigned",
]

hide_signatures_in_logs()
