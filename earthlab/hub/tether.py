"""``python -m earthlab.hub.tether PID COMMAND…``: the command, ended by SIGTERM when its parent PID ends."""

import os
import sys

from earthlab.kernel.process import tie_to_parent

if __name__ == "__main__":
    tie_to_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606
