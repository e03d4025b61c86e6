"""Every named signer keeps the contract, against providers that check what they gave."""

import pytest

from earthlab.testing.signing import CASES, CHECKS, contract


@pytest.mark.parametrize(("case", "check"), contract())
def test_the_contract(case, check, tmp_path):
    CHECKS[check](CASES[case], tmp_path)
