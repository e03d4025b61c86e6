"""Clients of a debug adapter that are processes of whatever account."""

import subprocess
import sys

CLIENT = """
import json, socket, sys
asked = json.dumps({"seq": 1, "type": "request", "command": "initialize", "arguments": {"adapterID": "x"}})
with socket.socket(getattr(socket, sys.argv[1])) as line:
    line.settimeout(60)
    line.connect((sys.argv[2], int(sys.argv[3])))
    try:
        line.sendall(f"Content-Length: {len(asked)}\\r\\n\\r\\n{asked}".encode())
        print(len(line.recv(1)) if sys.argv[4] == "stay" else "gone")
    except ConnectionError:
        print(0)
"""


def ask(port: int, *, user: int, stay: bool = True, family: str = "AF_INET", host: str = "127.0.0.1") -> str:
    """What somebody hears who asks for a session: the number of bytes; ``gone`` where they do not wait for them."""
    command = [sys.executable, "-I", "-S", "-c", CLIENT, family, host, str(port), "stay" if stay else "go"]
    done = subprocess.run(command, user=user, cwd="/", capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.strip()


def is_let_in(port: int, *, user: int) -> bool:
    """Whether an adapter says a word to somebody of an account; False where it closes the line without one."""
    return ask(port, user=user) == "1"
