"""What the code of a notebook may try against others: sent whole into a kernel, so it needs the standard library alone.

Each attack is tried on a target that is somebody else's, where it must fail, and on one of the attacker's own, where it
must succeed: an attack that fails on both would prove nothing.
"""

import ctypes
import json
import mmap
import os
import resource
import signal
import socket
import struct
import time
import urllib.error
import urllib.request
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
PIDFD_GETFD, PROCESS_VM_READV, IOPRIO_SET = 438, 310, 251
SEIZE = 0x4206
HELD_SEGMENTS = []
HELD = bytearray(b"something of a process that others may want to read")


def call(number, *words):
    found = LIBC.syscall(number, *(ctypes.c_long(word) for word in words))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found


def check(found):
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found


def read(path, count=4096):
    with Path(path).open("rb", 0) as file:
        return file.read(count)


def read_memory(pid):
    # Copies of one template have one layout: whoever knows where something is in their own memory, knows of others'.
    here = ctypes.addressof(ctypes.c_char.from_buffer(HELD))
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        memory.seek(here)
        return memory.read(8)


def read_across(pid):
    here = ctypes.addressof(ctypes.c_char.from_buffer(HELD))
    into = ctypes.create_string_buffer(8)
    local = struct.pack("QQ", ctypes.addressof(into), 8)
    remote = struct.pack("QQ", here, 8)
    a, b = ctypes.create_string_buffer(local), ctypes.create_string_buffer(remote)
    return call(PROCESS_VM_READV, pid, ctypes.addressof(a), 1, ctypes.addressof(b), 1, 0)


def take_descriptor(pid):
    handle = os.pidfd_open(pid)
    try:
        return [os.close(call(PIDFD_GETFD, handle, number, 0)) for number in range(3)]
    finally:
        os.close(handle)


def send_by_handle(pid):
    handle = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(handle, signal.SIGWINCH)
    finally:
        os.close(handle)


def trace(pid):
    LIBC.ptrace.argtypes = [ctypes.c_long] * 4
    return check(LIBC.ptrace(SEIZE, pid, 0, 0))


def open_descriptors(pid):
    # That of the folder itself is gone once it has been read.
    files = list(Path(f"/proc/{pid}/fd").iterdir())
    return [str(file.readlink()) for file in files if os.path.lexists(file)]


def names_in(folder):
    return [each.name for each in Path(folder).iterdir()]


def write(path, text, flags=os.O_WRONLY):
    file = os.open(path, flags)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


PROCESS = {
    "its environment": lambda pid: read(f"/proc/{pid}/environ"),
    "its memory": read_memory,
    "its memory by a system call": read_across,
    "its map of memory": lambda pid: read(f"/proc/{pid}/maps"),
    "its pages": lambda pid: read(f"/proc/{pid}/pagemap", 8),
    "its use of memory": lambda pid: read(f"/proc/{pid}/smaps_rollup"),
    "its descriptors": open_descriptors,
    "one of its descriptors": take_descriptor,
    "its folder": lambda pid: names_in(f"/proc/{pid}/cwd"),
    "its root": lambda pid: names_in(f"/proc/{pid}/root"),
    "its program": lambda pid: Path(f"/proc/{pid}/exe").readlink(),
    "its initial words": lambda pid: read(f"/proc/{pid}/auxv"),
    "its system calls": lambda pid: read(f"/proc/{pid}/io"),
    "its limits": lambda pid: resource.prlimit(pid, resource.RLIMIT_CORE),
    "its limits, to change": lambda pid: resource.prlimit(pid, resource.RLIMIT_NOFILE, (4096, 4096)),
    "a signal": lambda pid: os.kill(pid, 0),
    "a stop": lambda pid: (os.kill(pid, signal.SIGSTOP), os.kill(pid, signal.SIGCONT)),
    "a signal to its group": lambda pid: os.killpg(os.getpgid(pid), signal.SIGWINCH),
    "a signal by a handle": send_by_handle,
    "its priority": lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 15),
    "its priority of reading": lambda pid: call(IOPRIO_SET, 1, pid, 3 << 13),
    "its cores": lambda pid: os.sched_setaffinity(pid, {min(os.sched_getaffinity(0))}),
    "its scheduler": lambda pid: os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0)),
    "its place when memory is short": lambda pid: write(f"/proc/{pid}/oom_score_adj", "1000"),
    "a trace of it": trace,
}
"""Done to one process of a target."""


def connect(path):
    kinds = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)
    told = []
    for kind in kinds:
        line = socket.socket(socket.AF_UNIX, kind)
        line.settimeout(5)
        try:
            line.connect(path)
            return "connected"
        except OSError as exc:
            told.append(exc)
        finally:
            line.close()
    raise told[-1]


def ask(address, token=None, method="GET", body=None):
    request = urllib.request.Request(address, method=method, data=body)
    if token:
        request.add_header("Authorization", f"token {token}")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirects).open(
            request, timeout=20
        ) as told:
            return told.read(200).decode(errors="replace")
    except urllib.error.HTTPError as exc:
        raise OSError(f"HTTP {exc.code}") from exc


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def attach_shared_memory(key):
    number = check(LIBC.shmget(key, 0, 0))
    LIBC.shmat.restype = ctypes.c_void_p
    found = LIBC.shmat(number, None, 0o10000)
    return check(-1 if found in (None, ctypes.c_void_p(-1).value) else 0)


def make_in(folder):
    file = Path(folder, f"of-{os.getpid()}-{time.monotonic_ns()}")
    file.touch()
    file.unlink()


PLACES = {
    "its runtime folder": lambda it: names_in(it["runtime"]),
    "a file in its runtime folder": lambda it: make_in(it["runtime"]),
    "its nursery": lambda it: connect(it["nursery"]),
    "its kernel's socket": lambda it: connect(it["kernel_socket"]),
    "its connection file": lambda it: read(it["connection_file"]),
    "its home": lambda it: names_in(it["home"]),
    "a file in its home": lambda it: make_in(it["home"]),
    "its secret file": lambda it: read(it["secret"]),
    "its secret file by its process": lambda it: read(f"/proc/{it['kernel']}/root{it['secret']}"),
    "its shared memory": lambda it: read(it["shm"]),
    "its shared memory by its process": lambda it: read(f"/proc/{it['kernel']}/root{it['shm']}"),
    "its temporary file": lambda it: read(it["tmp"]),
    "its temporary file by its process": lambda it: read(f"/proc/{it['kernel']}/root{it['tmp']}"),
    "its sealed file": lambda it: read(f"/proc/{it['kernel']}/fd/{it['memfd']}"),
    "its System V memory": lambda it: attach_shared_memory(it["sysv"]),
    "its server": lambda it: ask(f"{it['server_url']}api/kernels", it["with_token"]),
    "its server past the proxy": lambda it: ask(f"{it['server_direct']}api/kernels", it["with_token"]),
    "its terminals": lambda it: ask(f"{it['server_direct']}api/terminals", it["with_token"]),
    "what the hub knows of it": lambda it: ask(it["user_model"], it["with_token"]),
}
"""Done to a person: files, sockets, shared memory, doors."""


def own_groups():
    """Where this process's control groups may be in the file system."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for base in (f"/sys/fs/cgroup/{controllers}", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
            if path != "/" and Path(base + path).is_dir():
                yield Path(base + path)


def leave_group():
    """Into the lab's group, and into everybody else's in it."""
    for group in own_groups():
        for other in (group.parent, *(each for each in group.parent.iterdir() if each.is_dir())):
            attempts = attempt(write, other / "cgroup.procs", "0")
            if attempts.startswith("done"):
                return str(other)
    raise OSError("no group takes us")


def raise_limit():
    """Of one's own control group."""
    for group in own_groups():
        for name in ("memory.limit_in_bytes", "memory.max", "pids.max", "cpu.shares", "cpu.weight", "cgroup.procs"):
            if (group / name).exists() and attempt(write, group / name, "0").startswith("done"):
                return str(group / name)
    raise OSError("no limit can be written")


def raise_own(kind):
    hard = resource.getrlimit(kind)[1]
    if hard == resource.RLIM_INFINITY:
        return "unbounded"
    try:
        return resource.setrlimit(kind, (hard + 1, hard + 1))
    except ValueError as exc:
        raise OSError(str(exc)) from exc


def mount_here():
    return check(LIBC.mount(b"none", b"/mnt", b"tmpfs", 0, None))


def lower_score():
    for score in range(0, 100, 10):
        write("/proc/self/oom_score_adj", str(score))


def always_refused(it):
    """What nobody's code may do at all, whoever asks."""
    return {
        "the template": lambda: connect(it["template"]),
        "in place of the template": lambda: Path(it["template"]).unlink(),
        "who else has sockets": lambda: names_in(it["run"]),
        "a socket among the lab's": lambda: make_in(it["run"]),
        "who else has a home": lambda: names_in(it["homes"]),
        "a home": lambda: make_in(it["homes"]),
        "the hub's folder": lambda: names_in(it["hub_folder"]),
        **{f"the hub's {name}": lambda path=f"{it['hub_folder']}/{name}": read(path) for name in it["hub_files"]},
        "root": lambda: os.setuid(0),
        "root's group": lambda: os.setgroups([0]),
        "another root": lambda: os.chroot("/tmp"),
        "a mount": mount_here,
        "a better priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, -5),
        "to be ended later": lower_score,
        "a core file": lambda: raise_own(resource.RLIMIT_CORE),
        "more memory": lambda: raise_own(resource.RLIMIT_DATA),
        "more processes": lambda: raise_own(resource.RLIMIT_NPROC),
        "out of the group": leave_group,
        "a larger group": raise_limit,
        "the machine's memory": lambda: read("/dev/mem"),
        "the first process": lambda: read("/proc/1/environ"),
        "the proxy's routes": lambda: ask(f"{it['proxy_api']}/api/routes"),
        "the proxy's routes with a token": lambda: ask(f"{it['proxy_api']}/api/routes", it["token"]),
        "a route": lambda: ask(
            f"{it['proxy_api']}/api/routes/m", it["token"], "POST", b'{"target": "http://127.0.0.1"}'
        ),
        "the hub's users": lambda: ask(f"{it['hub_api']}/users", it["token"]),
        "the hub's users without a token": lambda: ask(f"{it['hub_api']}/users"),
        "the hub's services": lambda: ask(f"{it['hub_api']}/services", it["token"]),
        "the hub's figures": lambda: ask(f"{it['hub_url']}/metrics", it["token"]),
        "the hub's end": lambda: ask(f"{it['hub_api']}/shutdown", it["token"], "POST"),
        "a user": lambda: ask(f"{it['hub_api']}/users/mallory2", it["token"], "POST"),
        "a token of another": lambda: ask(f"{it['hub_api']}/users/{it['other']}/tokens", it["token"], "POST"),
        "the end of another's server": lambda: ask(
            f"{it['hub_api']}/users/{it['other']}/server", it["token"], "DELETE"
        ),
        "another's server without a token": lambda: ask(f"{it['other_server']}api/kernels"),
        "the clusters' own door": lambda: ask(f"{it['gateway_api']}/api/v1/clusters/"),
        "clusters without a token": lambda: ask(f"{it['gateway']}/api/v1/clusters/"),
        "rights without a token": lambda: ask(f"{it['signing']}/services/signing/rights"),
    }


def own_child():
    """A process of the attacker's own, a copy with the same memory."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGWINCH, signal.SIG_IGN)
        os.setsid()
        time.sleep(600)
        os._exit(0)
    time.sleep(0.2)
    return pid


def attempt(act, *words):
    try:
        return f"done: {act(*words)!r}"[:200]
    except OSError as exc:
        return f"refused: {exc}"


def have_own_things():
    """Memory and files of every kind that people share without a thought, open to everybody; their names."""
    found = {"kernel": os.getpid(), "sysv": os.getpid()}
    HELD_SEGMENTS.append(check(LIBC.shmget(found["sysv"], mmap.PAGESIZE, 0o1666)))
    for kind, folder in (("shm", "/dev/shm"), ("tmp", "/tmp")):
        found[kind] = f"{folder}/of-{os.getpid()}"
        Path(found[kind]).write_text("secret")
        Path(found[kind]).chmod(0o666)
    found["memfd"] = os.memfd_create("own")
    os.write(found["memfd"], b"secret")
    return found


def find_in_own_memory(halves):
    """By name, whether a text whose halves are given is anywhere in this process's memory."""
    found = dict.fromkeys(halves, 0)
    with Path("/proc/self/mem").open("rb", 0) as memory:
        for line in Path("/proc/self/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            if "r" not in rights or "[v" in line:
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            try:
                memory.seek(start)
                held = memory.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue
            for name, (first, second) in halves.items():
                at = held.find(second.encode())
                while at >= 0:
                    found[name] += held[max(0, at - len(first)) : at] == first.encode()
                    at = held.find(second.encode(), at + 1)
            del held
    return [name for name, times in found.items() if times]


def attack_all(facts):
    """Everything, on the other and on one's own."""
    descriptors = open_descriptors("self")
    child = own_child()
    own = {**facts["own"], **have_own_things()}
    try:
        return {
            "processes": {
                whose: {name: attempt(act, pid) for name, act in PROCESS.items()}
                for whose, pid in {**facts["pids"], "own": child}.items()
            },
            "places": {
                whose: {name: attempt(act, it) for name, act in PLACES.items()}
                for whose, it in (("other", facts["other"]), ("own", own))
            },
            "always refused": {name: attempt(act) for name, act in always_refused(facts["lab"]).items()},
            "descriptors": descriptors,
            "in own memory": find_in_own_memory(facts["halves"]),
        }
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        LIBC.shmctl(HELD_SEGMENTS.pop(), 0, None)


def tell(answer):
    print(json.dumps(answer))
