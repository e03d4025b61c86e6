"""Fuzzing of the STAC service from its own description, by schemathesis; ends with 1 where it answered a 5xx or lied.

Run: ``python tests/bench/fuzz_stac.py --minutes 10``
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from earthlab.services.stac.archive import build_catalogue
from earthlab.testing.stac import serve_catalogue

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
)


def fuzz(url: str, token: str, seconds: int) -> "subprocess.CompletedProcess[str]":
    """What schemathesis says of the service at an address, after so long."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{url.rstrip('/')}/api"),
        *("--header", f"Authorization: token {token}"),
        *("--url", url.split("/services/", maxsplit=1)[0], "--phases", "examples,coverage,fuzzing"),
        *("--max-time", str(seconds), "--checks", ",".join(CHECKS), "--continue-on-failure"),
        *("--request-timeout", "30", "--warnings", "off", "--suppress-health-check", "all"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--folder", type=Path, help="a built catalogue; one is built by default")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = asked.folder or Path(made) / "catalogue"
        if not asked.folder:
            build_catalogue(folder, lambda *_: None)
        with serve_catalogue(folder) as served:
            ended = fuzz(served.url, served.token, round(asked.minutes * 60))
    print(ended.stdout, ended.stderr, sep="\n")
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
