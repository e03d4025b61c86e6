"""By what the lab's ssh door is known, and what users paste to reach it."""

from dataclasses import dataclass
from pathlib import Path

from earthlab.errors import SetupError
from earthlab.hub.keys import PublicKey, parse_public_key
from earthlab.hub.layout import Layout

NAME = "ssh_host_ed25519_key"

HOST = "earthlab"
"""What users call the lab on their own machines: ``ssh earthlab``."""

_USUAL = 22


@dataclass(frozen=True, slots=True)
class Address:
    """Where the ssh door is, seen from outside, and its key."""

    host: str
    port: int
    key: PublicKey

    @property
    def known_hosts(self) -> str:
        """The line for ``~/.ssh/known_hosts``, sshd(8): a host at the usual port is looked up by its name alone."""
        return f"{self.host if self.port == _USUAL else f'[{self.host}]:{self.port}'} {self.key.line}"

    def config(self, user: str) -> str:
        """The lines for ``~/.ssh/config``, ssh_config(5): the lab, and a console on one's kernels."""
        return "\n".join(
            [
                f"Host {HOST} {HOST}-kernel",
                f"    HostName {self.host}",
                f"    Port {self.port}",
                f"    User {user}",
                "    ForwardAgent no",
                "    ForwardX11 no",
                "    ServerAliveInterval 60",
                f"Host {HOST}-kernel",
                "    RequestTTY force",
                "    RemoteCommand kernel",
            ]
        )


def read_host_key(layout: Layout) -> PublicKey:
    """The public half of the ssh door's key.

    Raises
    ------
    SetupError
        Where there is none yet, or it is not for us to read.
    """
    file = public_file(layout.ssh)
    try:
        return parse_public_key(file.read_text(encoding="ascii"))
    except OSError as exc:
        raise SetupError(
            f"the ssh door's key {file} cannot be read ({exc.strerror}). "
            "It is made at the first start of a lab with ssh.enabled: start it, and ask as its account; "
            "users find the same on the lab's page /hub/cles."
        ) from exc


def public_file(folder: Path) -> Path:
    """The file of the public half."""
    return folder / f"{NAME}.pub"
