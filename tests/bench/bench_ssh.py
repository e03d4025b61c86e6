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
from functools import partial
from pathlib import Path
from statistics import median

import httpx
import psutil

from earthlab.hub.hostkeys import Address, read_host_key
from earthlab.hub.keys import KeyStore
from earthlab.testing.ports import free_row
from tests.hub.small_hub import SmallHub, small_hub
from tests.services.ssh.running_door import RunningDoor, running_door

CIPHER = "aes128-gcm@openssh.com"
"""The same for both; OpenSSH's own first choice, which the door does not speak, is slower."""

_EACH = 10
"""Sessions of one person."""


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("bench/ssh.json"))
    asked = parser.parse_args()
    with running_door() as door:
        door.add_user("ana")
        door.ssh("ana", "true")
        found = {"cpus": os.cpu_count(), **_transfers(door, asked.megabytes, asked.rounds)}
    found["parallel"] = _many(asked.sessions)
    text = json.dumps(found, indent=2)
    print(text)
    asked.out.write_text(text + "\n")


def _transfers(door: RunningDoor, megabytes: int, rounds: int) -> dict[str, object]:
    content = door.folder / "content.bin"
    digest = _make(content, megabytes)
    found: dict[str, object] = {"megabytes": megabytes, "cipher": CIPHER, "rounds": rounds}
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        ours = [_both_ways(_door_line(door), content, digest, door.folder) for _ in range(rounds)]
        return found | {"door": _medians(ours), "sshd": "not on this machine: no comparison was made"}
    ours, theirs = [], []
    with _plain_sshd(program, door.folder) as line:
        for _ in range(rounds):
            # In turns: what others of the machine do meanwhile is for both.
            theirs.append(_both_ways(line, content, digest, door.folder))
            ours.append(_both_ways(_door_line(door), content, digest, door.folder))
    door_, sshd = _medians(ours), _medians(theirs)
    share = {way: round(door_[way] / sshd[way], 2) for way in door_}
    return found | {"door": door_, "sshd": sshd, "share": share, "each": {"door": ours, "sshd": theirs}}


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
    return ["scp", "-q", *options, f"-P{door.port}", "ana@127.0.0.1:copy.bin"]


def _both_ways(line: list[str], content: Path, digest: str, folder: Path) -> dict[str, float]:
    *scp, place = line
    back = folder / "back.bin"
    took = {}
    for way, ends in {"there": (str(content), place), "back": (place, str(back))}.items():
        began = time.perf_counter()
        subprocess.run([*scp, *ends], check=True, stdin=subprocess.DEVNULL)
        took[way] = round(content.stat().st_size / (time.perf_counter() - began) / 1e6, 1)
    with back.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest
    back.unlink()
    return took


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """MB/s, each way by itself."""
    return {way: median(each[way] for each in rounds) for way in ("there", "back")}


@contextmanager
def _plain_sshd(program: str, folder: Path) -> Iterator[list[str]]:
    place, port = folder / "sshd", free_row(1)
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
        ends = f"{user}@127.0.0.1:{folder}/copy.bin"
        yield ["scp", "-q", "-F", "none", *trust, f"-oCiphers={CIPHER}", f"-P{port}", ends]
    finally:
        server.terminate()
        server.wait()


def _many(sessions: int) -> dict[str, object]:
    """So many at once through the lab's own hub, by so many people that nobody has too many; all are in together."""
    port = free_row(1)
    people = [f"user{number}" for number in range(-(-sessions // _EACH))]
    with small_hub(kept=("ssh",), words={"SSH__PORT": str(port)}) as hub:
        line = _hub_line(hub, port, people)
        for name in people:
            # Their servers run: it is the door that is measured.
            subprocess.run([*line, "-l", name, "127.0.0.1", "true"], check=True, capture_output=True, timeout=120)
        door = _door_process(hub)
        before, began = door.memory_full_info().pss, time.perf_counter()
        clients = [
            subprocess.Popen(
                [*line, "-l", people[number % len(people)], "127.0.0.1", f"echo {number}; exec cat"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
            for number in range(sessions)
        ]  # fmt: skip
        with ThreadPoolExecutor(sessions) as pool:
            took = sorted(pool.map(partial(_arrive, began), clients, range(sessions)))
            during = door.memory_full_info().pss
            content = os.urandom(100_000)
            echoed = list(pool.map(lambda client: client.communicate(content, timeout=60)[0], clients))
        assert echoed == [content] * sessions
        assert all(client.returncode == 0 for client in clients)
    return {
        "sessions": sessions,
        "people": len(people),
        "median_s": round(median(took), 2),
        "slowest_s": round(took[-1], 2),
        "door_mb": round(before / 1e6, 1),
        "mb_a_session": round((during - before) / sessions / 1e6, 2),
    }


def _hub_line(hub: SmallHub, port: int, people: list[str]) -> list[str]:
    key, known = hub.folder / "id", hub.folder / "known_hosts"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    with httpx.Client(base_url=hub.url, follow_redirects=True, timeout=120) as client:
        for name in people:
            client.cookies.clear()
            client.get(hub.link_for(name)).raise_for_status()
    for name in people:
        KeyStore(hub.layout.keys).add(name, key.with_suffix(".pub").read_text())
    known.write_text(Address("127.0.0.1", port, read_host_key(hub.layout)).known_hosts + "\n")
    options = {"UserKnownHostsFile": known, "IdentityFile": key, "IdentitiesOnly": "yes", "LogLevel": "ERROR"}
    return ["ssh", "-F", "none", f"-p{port}", *(f"-o{name}={value}" for name, value in options.items())]


def _door_process(hub: SmallHub) -> psutil.Process:
    ours = psutil.Process(hub.process.pid).children(recursive=True)
    # The program of its command line stands before it, as the tether's last words.
    (door,) = [
        each for each in ours if each.cmdline()[-1] == "earthlab.services.ssh" and "tether" not in str(each.cmdline())
    ]
    return door


def _arrive(began: float, client: "subprocess.Popen[bytes]", number: int) -> float:
    assert client.stdout is not None
    assert client.stdout.readline() == f"{number}\n".encode()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
