"""``python -m earthlab.services.ssh.entering FILE``: becomes a user, and then the program that the user asked for.

Between the two nothing of the user's is read: what to become comes from the ssh door, in a file without a name.
"""

import fcntl
import json
import os
import signal
import sys
import termios

from earthlab.kernel.identity import become, parse_identity
from earthlab.kernel.process import tie_to_parent

FAILED = 254
"""The exit code where the user's place could not be entered."""


def main() -> None:
    """Enter by the request in the descriptor that the command line names."""
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        request = json.load(file)
    try:
        become(parse_identity(request["identity"]))
        os.chdir(request["home"])
    except OSError as exc:
        sys.stderr.write(
            f"Votre serveur vient de s’arrêter, revenez. · Your server has just ended, come again. ({exc.strerror})\n"
        )
        sys.exit(FAILED)
    # Only now: a process that changes its user loses the wish.
    tie_to_parent(request["parent"], signal.SIGHUP)
    if request["terminal"]:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for each in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        # Python's own, which a program would inherit.
        signal.signal(each, signal.SIG_DFL)
    program, *_ = command = request["command"]
    os.execvpe(program, command, request["environment"])  # noqa: S606


if __name__ == "__main__":
    main()
