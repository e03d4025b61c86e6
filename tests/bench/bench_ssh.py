"""The ssh door beside plain OpenSSH on the loopback address: a large file both ways, and many sessions at once.

Where this machine has no ``sshd`` there is nothing to compare with, and the report says so.
"""

import argparse
import hashlib
import json
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.services.ssh.running_door import RunningDoor, free_port, running_door

CIPHER = "aes128-gcm@openssh.com"
"""The same for both; OpenSSH's own first choice, which the door does not speak, is slower."""


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("bench/ssh.json"))
    asked = parser.parse_args()
    with running_door(SSH__USER_SESSIONS="200") as door:
        door.add_user("ana")
        door.ssh("ana", "true")
        content = door.folder / "content.bin"
        digest = _make(content, asked.megabytes)
        ours = [_both_ways(_door_line(door), content, digest, door.folder) for _ in range(asked.rounds)]
        found: dict[str, object] = {"megabytes": asked.megabytes, "cipher": CIPHER, "door": _best(ours)}
        program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            found["sshd"] = "not on this machine: no comparison was made"
        else:
            with _plain_sshd(program, door.folder) as line:
                theirs = [_both_ways(line, content, digest, door.folder) for _ in range(asked.rounds)]
            found["sshd"] = _best(theirs)
            found["share"] = {way: _best(ours)[way] / _best(theirs)[way] for way in ("there", "back")}
        found["parallel"] = _many(door, asked.sessions)
    text = json.dumps(found, indent=2)
    print(text)
    asked.out.write_text(text + "\n")


def _make(file: Path, megabytes: int) -> str:
    digest, block = hashlib.sha256(), os.urandom(1 << 20)
    with file.open("wb") as out:
        for number in range(megabytes):
            piece = number.to_bytes(8, "big") + block[8:]
            out.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def _door_line(door: RunningDoor) -> list[str]:
    options = door.options(door.folder / "id_ana", f"-oCiphers={CIPHER}")
    return ["scp", "-q", *options, f"-P{door.port}", "ana@127.0.0.1"]


def _both_ways(line: list[str], content: Path, digest: str, folder: Path) -> dict[str, float]:
    *scp, place = line
    back = folder / "back.bin"
    took = {}
    for way, ends in {"there": (str(content), f"{place}:copy.bin"), "back": (f"{place}:copy.bin", str(back))}.items():
        began = time.perf_counter()
        subprocess.run([*scp, *ends], check=True, stdin=subprocess.DEVNULL)
        took[way] = content.stat().st_size / (time.perf_counter() - began) / 1e6
    with back.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest
    back.unlink()
    return took


def _best(rounds: list[dict[str, float]]) -> dict[str, float]:
    """MB/s of the best round: what others of the machine did meanwhile is not ours."""
    return {way: round(max(each[way] for each in rounds), 1) for way in ("there", "back")}


@contextmanager
def _plain_sshd(program: str, folder: Path) -> Iterator[list[str]]:
    place, port = folder / "sshd", free_port()
    place.mkdir(mode=0o700)
    for name in ("host", "id"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)], check=True)
    (place / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {place}/host\nAuthorizedKeysFile {place}/id.pub\n"
        "StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([program, "-D", "-e", "-f", str(place / "config")], stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        user = pwd.getpwuid(os.getuid()).pw_name
        known = f"-oUserKnownHostsFile={place}/known"
        trust = ["-oStrictHostKeyChecking=no", known, "-oIdentitiesOnly=yes", f"-oIdentityFile={place}/id"]
        yield ["scp", "-q", "-F", "none", *trust, f"-oCiphers={CIPHER}", f"-P{port}", f"{user}@127.0.0.1"]
    finally:
        server.terminate()
        server.wait()
        Path.home().joinpath("copy.bin").unlink(missing_ok=True)


def _many(door: RunningDoor, sessions: int) -> dict[str, float]:
    def one(number: int) -> float:
        began = time.perf_counter()
        done = door.ssh("ana", f"echo {number}; sleep 1", timeout=300)
        assert done.stdout == f"{number}\n".encode(), done.stderr
        return time.perf_counter() - began - 1

    with ThreadPoolExecutor(sessions) as pool:
        took = sorted(pool.map(one, range(sessions)))
    return {"sessions": sessions, "median_s": round(took[len(took) // 2], 2), "slowest_s": round(took[-1], 2)}


if __name__ == "__main__":
    main()
