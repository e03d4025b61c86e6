"""What a lab leaves on the machine for its next start, removed after a test."""

import os
import subprocess

from earthlab.hub.accounts import lab_accounts
from earthlab.hub.cubes import cubes_group, licensees_group
from earthlab.hub.layout import Layout
from earthlab.rights import load_rules


def remove_accounts(layout: Layout) -> None:
    """Remove the Unix accounts and the groups of a lab; nothing where this process is not root's, which made none."""
    if os.getuid() != 0:
        return
    for name in lab_accounts(layout).values():
        subprocess.run(["userdel", name], check=True, capture_output=True)
    for group in (cubes_group(layout), *(licensees_group(layout, rule.id) for rule in load_rules())):
        gone = subprocess.run(["groupdel", group], check=False, capture_output=True)
        assert gone.returncode in {0, 6}, gone.stderr  # 6: there is no such group
