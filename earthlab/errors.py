"""Every refusal of the lab, sorted by what the person can do about it.

A message says what was found, what was expected and the next step, and names the item, band, file or setting.
Nothing secret goes into a message.
"""

import difflib
from collections.abc import Iterable


class EarthlabError(Exception):
    """Root of all the lab's own errors: catch it to catch every refusal."""


class BadRequest(EarthlabError):
    """What was asked cannot be understood or does not exist: change the call."""


class AskLess(EarthlabError):
    """What was asked is too much for the memory, quota or time at hand: ask for less."""


class NothingFound(EarthlabError):
    """The search is valid and empty: relax the filter that the message names."""


class NotAllowed(EarthlabError):
    """Signed in, but without this right: ask for access as the message says."""


class CatalogueUnavailable(EarthlabError):
    """A catalogue is down, slow or answers nonsense: try again, or another endpoint."""


class ReadFault(EarthlabError):
    """A source file could not be read: the message names the item, the band and the cause."""


class ComputeUnavailable(EarthlabError):
    """No cluster could be had: the gateway is away, full, or the user's cap is reached."""


class SetupError(EarthlabError):
    """The machine or the configuration is not as the lab needs it: mend it as the message says."""


class StoreUnavailable(SetupError):
    """The store of shared cubes does not answer at this moment; what it holds is kept: try again."""


class EarthlabWarning(UserWarning):
    """Root of the lab's warnings; ``earthlab.strict()`` turns them into errors."""


class FallbackWarning(EarthlabWarning):
    """Something second-best was used in place of what was asked, and the message says what."""


class FaultWarning(EarthlabWarning):
    """Some reads failed: the pixels are nodata and the ledger names them."""


class RadiometryWarning(EarthlabWarning):
    """Values that cannot be: the catalogue's scale or offset does not fit the files."""


def did_you_mean(found: object, known: Iterable[str], *, most: int = 8) -> str:
    """A clause that offers the nearest known names, or lists what there is.

    Parameters
    ----------
    found : object
        The name that matched nothing, whatever was given in its place.
    known : iterable of str
        Every name that would have matched.
    most : int
        The longest list to print.

    Returns
    -------
    str
        ``"Nearest: …"``, ``"Known: …"`` or ``"There are none."``, ready to end a message.
    """
    names = sorted(set(known))
    if not names:
        return "There are none."
    by_fold = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(str(found).casefold(), list(by_fold), n=3, cutoff=0.5)
    if near:
        return "Nearest: " + ", ".join(by_fold[n] for n in near) + "."
    rest = len(names) - most
    return "Known: " + ", ".join(names[:most]) + (f" and {rest} more." if rest > 0 else ".")
