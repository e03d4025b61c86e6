"""Runs inside the image `worker`: a scheduler and a worker over TLS, until the line of input ends.

Prints the scheduler's address, and ``worker`` once it has one.
"""

import shutil
import subprocess
import sys

TLS = [
    word
    for name, file in (("ca-file", "ca.pem"), ("cert", "pair.pem"), ("key", "pair.pem"))
    for word in (f"--tls-{name}", f"/certificates/{file}")
]


def main() -> None:
    """Start both, tell where, and end them when nobody listens any longer."""
    port = sys.argv[1]
    address = f"tls://127.0.0.1:{port}"
    for program in ("dask-scheduler", "dask-worker"):
        assert shutil.which(program), program
    scheduler = subprocess.Popen(
        ["dask-scheduler", "--protocol", "tls", "--host", "127.0.0.1", "--port", port, "--no-dashboard", *TLS],
        stdin=subprocess.DEVNULL,
    )
    worker = subprocess.Popen(
        ["dask-worker", address, "--protocol", "tls", "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard",
         "--local-directory", "/tmp/dask", *TLS],
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        print(f"scheduler {address}", flush=True)
        sys.stdin.read()
    finally:
        for each in (worker, scheduler):
            each.terminate()
            each.wait()


if __name__ == "__main__":
    main()
