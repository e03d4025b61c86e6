"""Runs inside the image `worker`: a scheduler and a worker over TLS, until the line of input ends.

Prints the scheduler's address, and ``worker`` once it has one.
"""

import subprocess
import sys

DASK = [sys.executable, "-P", "-m"]
TLS = [
    word
    for name, file in (("ca-file", "ca.pem"), ("cert", "pair.pem"), ("key", "pair.pem"))
    for word in (f"--tls-{name}", f"/certificates/{file}")
]


def main() -> None:
    """Start both, tell where, and end them when nobody listens any longer."""
    port = sys.argv[1]
    address = f"tls://127.0.0.1:{port}"
    here = ["--protocol", "tls", "--host", "127.0.0.1", "--no-dashboard", *TLS]
    scheduler = subprocess.Popen(
        [*DASK, "distributed.cli.dask_scheduler", "--port", port, *here], stdin=subprocess.DEVNULL
    )
    own = ["--nthreads", "1", "--local-directory", "/tmp/dask", *here]
    worker = subprocess.Popen([*DASK, "distributed.cli.dask_worker", address, *own], stdin=subprocess.DEVNULL)
    try:
        print(f"scheduler {address}", flush=True)
        sys.stdin.read()
    finally:
        for each in (worker, scheduler):
            each.terminate()
            each.wait()


if __name__ == "__main__":
    main()
