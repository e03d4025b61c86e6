"""Which modules were there before the user's first import."""

import sys
from functools import cache


@cache
def modules_before_the_user() -> frozenset[str]:
    """The modules that were there when this was first asked, in a template or at a kernel's start."""
    return frozenset(sys.modules)
