"""What builds and runs images on this machine: BuildKit where Docker answers, else buildah, which needs no service."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

AUTHORITIES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
"""Variables by which an institution names the authorities of its proxy."""

USER = "1000:1000"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One image: its Dockerfile, the folder it is built from, and what its ARGs are given."""

    name: str
    dockerfile: Path
    context: Path
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


class Engine(Protocol):
    """Builds images and runs programs in them."""

    def build(self, recipe: Recipe) -> None:
        """Build and name an image."""

    def has(self, reference: str) -> bool:
        """Whether an image can be had, from this machine or a registry."""

    @contextmanager
    def container(self, image: str, mounts: Mapping[Path, str]) -> Iterator["Container"]:
        """A container of an image, with folders of this machine: see `plan_mounts`."""


class Container(Protocol):
    """Where programs of one image run, as its user."""

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], *, user: str = USER
    ) -> subprocess.Popen[str]:
        """Start a program; its lines can be read."""

    def size(self) -> int:
        """Bytes of all files of the image, unpacked."""


def find_engine(state: Path) -> Engine:
    """BuildKit where a Docker service answers, else buildah with its images in ``state``."""
    if _answers("docker", "info") and _answers("docker", "buildx", "version"):
        return BuildKit()
    if not shutil.which("buildah"):
        raise SystemExit(
            "earthlab: ni Docker ni buildah ; installez l’un des deux (apt-get install buildah) · "
            "neither Docker nor buildah is here: install one of them (apt-get install buildah)."
        )
    return Buildah(state)


def _answers(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _secrets() -> list[str]:
    named = [os.environ[name] for name in AUTHORITIES if os.environ.get(name)]
    return ["--secret", f"id=authorities,src={named[0]}"] if named else []


def _given(recipe: Recipe) -> list[str]:
    pairs = [("--build-arg", f"{name}={value}") for name, value in recipe.arguments.items()]
    pairs += [("--label", f"{name}={value}") for name, value in recipe.labels.items()]
    return [word for pair in pairs for word in pair]


class BuildKit:
    """Docker's own builder."""

    def build(self, recipe: Recipe) -> None:
        """See `Engine`."""
        where = ["--file", str(recipe.dockerfile), "--tag", recipe.name, str(recipe.context)]
        subprocess.run(["docker", "buildx", "build", "--load", *_secrets(), *_given(recipe), *where], check=True)

    def has(self, reference: str) -> bool:
        """See `Engine`."""
        return _answers("docker", "image", "inspect", reference) or _answers("docker", "pull", "--quiet", reference)

    @contextmanager
    def container(self, image: str, mounts: Mapping[Path, str]) -> Iterator["DockerContainer"]:
        """See `Engine`."""
        yield DockerContainer(image, mounts)


@dataclass(frozen=True, slots=True)
class DockerContainer:
    """Each program in a container of its own, on this machine's network."""

    image: str
    mounts: Mapping[Path, str]

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], *, user: str = USER
    ) -> subprocess.Popen[str]:
        """See `Container`."""
        given = plan_mounts(self.mounts) + plan_words(environment)
        line = ["docker", "run", "--rm", "--init", "--interactive", "--network=host", f"--user={user}", "--read-only"]
        line += ["--tmpfs=/tmp", "--tmpfs=/run", "--tmpfs=/home/earthlab:uid=1000,gid=1000", "--entrypoint="]
        return _open([*line, *given, self.image, *command])

    def size(self) -> int:
        """See `Container`."""
        told = subprocess.run(
            ["docker", "image", "inspect", "--format", "{{.Size}}", self.image],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(told.stdout)


class Buildah:
    """Buildah with its chroot isolation: it runs where no container may be started, as inside of one.

    Parameters
    ----------
    state : Path
        Where images are kept.
    """

    def __init__(self, state: Path) -> None:
        driver = "overlay" if "overlay" in Path("/proc/filesystems").read_text() and os.getuid() == 0 else "vfs"
        places = ["--root", str(state / "root"), "--runroot", str(state / "run"), "--storage-driver", driver]
        self._buildah = ["buildah", *places]

    def build(self, recipe: Recipe) -> None:
        """See `Engine`."""
        how = ["--isolation", "chroot", "--layers", "--format", "docker"]
        where = ["--file", str(recipe.dockerfile), "--tag", recipe.name, str(recipe.context)]
        subprocess.run([*self._buildah, "bud", *how, *_secrets(), *_given(recipe), *where], check=True)

    def has(self, reference: str) -> bool:
        """See `Engine`."""
        return _answers(*self._buildah, "inspect", "--type", "image", reference) or _answers(
            *self._buildah, "pull", "--quiet", reference
        )

    @contextmanager
    def container(self, image: str, mounts: Mapping[Path, str]) -> Iterator["BuildahContainer"]:
        """See `Engine`."""
        name = f"earthlab-{uuid.uuid4().hex[:12]}"
        subprocess.run(
            [*self._buildah, "from", "--quiet", "--name", name, image], check=True, stdout=subprocess.DEVNULL
        )
        try:
            yield BuildahContainer(self._buildah, name, mounts)
        finally:
            subprocess.run([*self._buildah, "rm", name], check=True, stdout=subprocess.DEVNULL)


@dataclass(frozen=True, slots=True)
class BuildahContainer:
    """A container that programs are run in one after another, or together, on this machine's network."""

    buildah: Sequence[str]
    name: str
    mounts: Mapping[Path, str]

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], *, user: str = USER
    ) -> subprocess.Popen[str]:
        """See `Container`."""
        given = plan_mounts(self.mounts) + plan_words(environment)
        how = ["run", "--isolation", "chroot", "--user", user]
        return _open([*self.buildah, *how, *given, self.name, "--", *command])

    def size(self) -> int:
        """See `Container`."""
        mounted = subprocess.run([*self.buildah, "mount", self.name], capture_output=True, text=True, check=True)
        try:
            told = subprocess.run(
                ["du", "--summarize", "--bytes", mounted.stdout.strip()], capture_output=True, text=True, check=True
            )
        finally:
            subprocess.run([*self.buildah, "umount", self.name], check=True, stdout=subprocess.DEVNULL)
        return int(told.stdout.split()[0])


def plan_mounts(mounts: Mapping[Path, str]) -> list[str]:
    """Options for folders of this machine: to read, but for those whose place ends with ``:rw``."""
    places = (f"{here}:{there}" if there.endswith(":rw") else f"{here}:{there}:ro" for here, there in mounts.items())
    return [word for place in places for word in ("--volume", place)]


def plan_words(environment: Mapping[str, str]) -> list[str]:
    """Options for the environment of a program."""
    return [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]


def _open(line: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
