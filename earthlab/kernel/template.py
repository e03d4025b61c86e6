"""``python -m earthlab.kernel.template``: the lab's template, from which servers and nurseries of all users are forked.

It opens no file, socket, event loop or driver but the socket it is asked on, and answers the hub and the hub's services
alone.
"""

import argparse
import os
from functools import partial
from pathlib import Path
from typing import NoReturn

from earthlab.kernel import wire
from earthlab.kernel.forking import Template, admits_household
from earthlab.kernel.life import Life, leave, parse_life
from earthlab.kernel.nursery import run_nursery
from earthlab.kernel.preload import KERNEL, be_scrubbed, preload
from earthlab.kernel.process import set_name


def main(arguments: list[str] | None = None) -> NoReturn:
    """Serve until the owner ends."""
    parser = argparse.ArgumentParser(prog="python -m earthlab.kernel.template", description=__doc__)
    parser.add_argument("--socket", required=True, type=Path, help="where copies are asked for")
    parser.add_argument("--owner", required=True, type=int, help="pid of whoever may ask, with children and theirs")
    parser.add_argument(
        "--life", action="append", default=[], help="NAME=package.module:function, something a copy can be asked to do"
    )
    given = parser.parse_args(arguments)
    be_scrubbed("earthlab.kernel.template", given.socket.with_suffix(".home"), knowing=False)
    set_name("el-template")
    # From now on whoever asks waits.
    listener = wire.listen_at(given.socket)
    owner = os.pidfd_open(given.owner)
    preloaded = preload([*KERNEL, *(place.partition("=")[2].partition(":")[0] for place in given.life)], ahead=True)
    lives = [
        parse_life("kernel=earthlab.kernel.kernels:run_kernel"),
        Life("nursery", partial(run_nursery, preloaded=preloaded), ends_with_owner=False),
        *(parse_life(place, reads_settings=False) for place in given.life),
    ]
    template = Template(
        listener=listener,
        lives={life.name: life for life in lives},
        admits=admits_household(given.owner, owner),
        stale=preloaded.software.change,
        owner=owner,
        kept=preloaded.kept,
    )
    if born := template.serve():
        born.live()
    leave(0)


if __name__ == "__main__":
    main()
