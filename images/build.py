"""Builds the lab's images from this checkout and runs their smoke tests: ``make images``.

The wheel is built once, and every image installs that one file. On a machine that reaches no registry of images the
base is made from Debian's packages, by debootstrap.
"""

import argparse
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from distributed.security import Security
from engine import Container, Engine, Recipe, find_engine

from earthlab.testing.ports import free_row

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent
BASE = "debian:trixie-slim"
MADE_HERE = "localhost/earthlab/debian:trixie"
DEBIAN = "trixie"
NAMES = ("environment", "lab", "worker", "services", "hub")
LARGEST = {"lab": 1_500_000_000}
"""Bytes that an image may take, unpacked."""


@dataclass(frozen=True, slots=True)
class Release:
    """Which images are made: how they are called, and of what."""

    prefix: str
    tag: str
    base: str
    version: str
    revision: str
    created: str

    def image(self, name: str) -> str:
        """The full name of an image."""
        return f"{self.prefix}/{name}:{self.tag}"


def main() -> int:
    """Build, look, say."""
    given = parse_arguments()
    state = given.state or Path(tempfile.gettempdir()) / f"earthlab-images-{os.getuid()}"
    engine = find_engine(state)
    base = given.base or resolve_base(engine)
    release = resolve_release(given.prefix, given.tag, base)
    if not given.smoke:
        with tempfile.TemporaryDirectory(prefix="earthlab-images-") as folder:
            for recipe in plan_recipes(release, gather(Path(folder))):
                say(recipe.name)
                engine.build(recipe)
    sizes = smoke(engine, release, given.samples)
    if os.environ.get("EARTHLAB_CHARTS"):
        say("hub, as the JupyterHub chart starts it")
        words = {"EARTHLAB_IMAGES": str(state), "EARTHLAB_HUB_IMAGE": release.image("hub")}
        test = [sys.executable, "-m", "pytest", "-q", CHECKOUT / "tests/images"]
        subprocess.run(test, env={**os.environ, **words}, check=True)
    for name, size in sizes.items():
        print(f"{release.image(name):<44} {size / 1e6:8.0f} MB")
    return 0


def parse_arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--base", help=f"image to start from; {BASE} by default, or one made here by debootstrap")
    parser.add_argument("--prefix", default="localhost/earthlab", help="registry and project of the images' names")
    parser.add_argument("--tag", default="latest")
    parser.add_argument("--smoke", action="store_true", help="only try out images that are built already")
    parser.add_argument("--state", type=Path, help="where buildah keeps images; a temporary folder by default")
    parser.add_argument(
        "--samples", type=Path, default=os.environ.get("EARTHLAB_SAMPLES") or CHECKOUT.parent / "shared/data"
    )
    return parser.parse_args()


def say(words: str) -> None:
    """A step begins."""
    print(f"\n== {words}", flush=True)


def resolve_base(engine: Engine) -> str:
    """Debian's own image where a registry has it, else one made here."""
    if engine.has(BASE):
        return BASE
    if not engine.has(MADE_HERE):
        say(f"debootstrap {DEBIAN}")
        make_base(engine)
    return MADE_HERE


def make_base(engine: Engine) -> None:
    """A minimal Debian from its packages; takes root and a minute or two."""
    if os.getuid() != 0 or not shutil.which("debootstrap"):
        raise SystemExit(
            f"earthlab: {BASE} est hors d’atteinte ; donnez une image par --base, ou debootstrap et root · "
            f"{BASE} cannot be reached: name an image by --base, or install debootstrap and be root."
        )
    with tempfile.TemporaryDirectory(prefix="earthlab-debian-", dir="/var/tmp") as name:
        folder = Path(name)
        root = folder / "root"
        subprocess.run(["debootstrap", "--variant=minbase", DEBIAN, root], check=True, stdout=subprocess.DEVNULL)
        left = ("./var/cache/apt/archives/*.deb", "./var/lib/apt/lists/*", "./dev/*")
        subprocess.run(
            ["tar", *(f"--exclude={each}" for each in left), "-C", root, "-cf", folder / "debian.tar", "."], check=True
        )
        shutil.rmtree(root)
        (folder / "Dockerfile").write_text('FROM scratch\nADD debian.tar /\nCMD ["/bin/bash"]\n')
        engine.build(Recipe(MADE_HERE, folder / "Dockerfile", folder))


def resolve_release(prefix: str, tag: str, base: str) -> Release:
    """What the labels of the images say."""
    revision = _git("rev-parse", "HEAD") + ("-changed" if _git("status", "--porcelain") else "")
    moment = datetime.fromtimestamp(int(_git("log", "-1", "--format=%ct")), UTC)
    version = subprocess.run(
        [sys.executable, "-m", "hatchling", "version"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    return Release(prefix, tag, base, version.stdout.strip(), revision, moment.isoformat())


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.strip()


def gather(folder: Path) -> Path:
    """What all images are built from: the wheel of this checkout, with the panels built, and the locks."""
    for name in ("environment", "services", "hub", "tools"):
        shutil.copyfile(HERE / name / "requirements.lock", folder / f"{name}.lock")
    shutil.copyfile(HERE / "environment/tidy", folder / "tidy")
    wheel = [
        "pip",
        "wheel",
        CHECKOUT,
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--quiet",
        "--wheel-dir",
        folder,
    ]
    subprocess.run([sys.executable, "-m", *map(str, wheel)], check=True)
    # The same files give the same layers, whenever they are built.
    for each in folder.iterdir():
        os.utime(each, (0, 0))
    return folder


def plan_recipes(release: Release, context: Path) -> list[Recipe]:
    """All images in the order in which each finds what it is made from."""
    labels = {
        "org.opencontainers.image.version": release.version,
        "org.opencontainers.image.revision": release.revision,
        "org.opencontainers.image.created": release.created,
        "org.opencontainers.image.vendor": "EarthLab",
    }
    arguments = {
        "environment": {"BASE": release.base},
        "hub": {"BASE": release.base, "LAB": release.image("lab")},
    }
    return [
        Recipe(
            release.image(name),
            HERE / name / "Dockerfile",
            context,
            arguments.get(name, {"ENVIRONMENT": release.image("environment")}),
            labels,
        )
        for name in NAMES
    ]


def smoke(engine: Engine, release: Release, samples: Path) -> dict[str, int]:
    """Run every image's own test in it; the lab's against a service and a cluster of the other images.

    Returns
    -------
    dict
        Bytes of each image, unpacked.
    """
    token = secrets.token_hex(16)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="earthlab-smoke-")))
        write_certificates(folder)
        data = {samples.resolve(): "/samples"} if samples.is_dir() else {}
        # Kernels and workers read the catalogue's pixels where its service has them, as on a volume that all mount.
        kept = folder / "kept"
        kept.mkdir()
        kept.chmod(0o777)

        def container(name: str) -> Container:
            shared = {kept: "/kept:rw" if name == "services" else "/kept"}
            mounts = {HERE / name: "/smoke", folder: "/certificates", **shared, **data}
            return stack.enter_context(engine.container(release.image(name), mounts))

        made = {name: container(name) for name in NAMES if name != "environment"}
        words = {"EARTHLAB_SAMPLES": "/samples", "EARTHLAB_SMOKE_TOKEN": token, "HOME": "/tmp", "LANG": "C.UTF-8"}
        say("hub")
        finish(made["hub"], words)
        say("services")
        catalogue = stack.enter_context(kept_running(made["services"], words, "catalogue"))
        say("worker")
        port = str(free_row(1))
        scheduler = stack.enter_context(kept_running(made["worker"], words, "scheduler", port))
        say("lab")
        finish(
            made["lab"],
            words
            | {
                "EARTHLAB_SMOKE_SCHEDULER": scheduler,
                "EARTHLAB__CATALOGUE__URL": catalogue,
                "EARTHLAB_SERVICES": catalogue.removesuffix("/stac/"),
                "JUPYTERHUB_API_TOKEN": token,
            },
        )
        sizes = {name: one.size() for name, one in made.items()}
    for name, most in LARGEST.items():
        if sizes[name] > most:
            raise SystemExit(f"earthlab: {name}: {sizes[name]:,} B > {most:,} B")
    return sizes


def finish(container: Container, words: Mapping[str, str]) -> None:
    """Run an image's smoke test to its end."""
    process = container.start(["python", "-P", "/smoke/smoke.py"], words)
    assert process.stdin
    process.stdin.close()
    assert process.stdout
    for line in process.stdout:
        print(f"   {line}", end="", flush=True)
    if code := process.wait():
        raise SystemExit(f"earthlab: the smoke test ended with {code}")


@contextlib.contextmanager
def kept_running(container: Container, words: Mapping[str, str], awaited: str, *arguments: str) -> Iterator[str]:
    """Run an image's part for the others until the context ends; gives what follows the awaited word."""
    process = container.start(["python", "-P", "/smoke/smoke.py", *arguments], words)
    assert process.stdout
    assert process.stdin
    try:
        for line in process.stdout:
            print(f"   {line}", end="", flush=True)
            name, _, told = line.strip().partition(" ")
            if name == awaited:
                break
        else:
            raise SystemExit(f"earthlab: the smoke test ended with {process.wait()}")
        yield told
    finally:
        process.stdin.close()
        for _ in process.stdout:
            pass
        process.wait()
        process.stdout.close()


def write_certificates(folder: Path) -> None:
    """One key pair for client, scheduler and worker, as Dask Gateway makes one for each cluster."""
    pair = Security.temporary()
    files = {"ca.pem": pair.tls_ca_file, "pair.pem": pair.tls_client_key + "\n" + pair.tls_client_cert}
    for name, content in files.items():
        (folder / name).write_text(content)
    # For the images' own user; the key is good for these minutes.
    folder.chmod(0o755)


if __name__ == "__main__":
    began = time.monotonic()
    try:
        code = main()
    except subprocess.CalledProcessError as exc:
        sys.exit(f"earthlab: {exc.cmd[0]}: {exc.returncode}")
    print(f"{(time.monotonic() - began) / 60:.1f} min")
    sys.exit(code)
