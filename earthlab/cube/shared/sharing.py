"""Sharing a cube: built once, whoever asks first, and opened by everyone."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import xarray as xr

from earthlab.cube.description import describe_cube
from earthlab.cube.faults import Fault, record_building
from earthlab.cube.plan import CubePlan
from earthlab.cube.shared.access import granted_classes, may_read, require_access, resolve_address
from earthlab.cube.shared.eviction import evict, survey, sweep
from earthlab.cube.shared.item import write_item
from earthlab.cube.shared.layout import ITEM, MARKER, Marker, Place, norm_token, read_marker, torn
from earthlab.cube.shared.lease import Claim, Head, Lease, LeaseLost, Patience, Watch, claim_head
from earthlab.cube.shared.levels import plan_levels, plan_squares, stored_bytes
from earthlab.cube.shared.overviews import LevelShard, describe_overview, write_overviews
from earthlab.cube.shared.readers import begin_reading
from earthlab.cube.shared.reading import stored_bands
from earthlab.cube.shared.sources import Stamp, refuse_secrets, stamp_sources
from earthlab.cube.shared.stores import Found, Store, open_store
from earthlab.cube.shared.tasks import ClusterLost
from earthlab.cube.shared.writing import Target, Written, write_cube
from earthlab.errors import AskLess, EarthlabError, NothingFound, ReadFault, SetupError
from earthlab.settings import load_settings, parse_bytes
from earthlab.types import canonical_json

_EXPIRY = timedelta(hours=1)
"""How long a cube stands whose build met reads that failed in passing."""

_ABANDONED = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far the build of a cube is, here or in another process."""

    done: int
    of: int
    remaining: float | None
    """Seconds the builder expects to need."""
    here: bool
    """Whether this process builds; else it waits for ``host`` and ``pid``."""
    host: str
    pid: int


OnProgress = Callable[[BuildProgress], None]


@dataclass(frozen=True, slots=True)
class SharedCube:
    """A finished cube of a store."""

    place: Place = field(repr=False)
    marker: Marker = field(repr=False)
    built: bool = False
    """Whether this call built it."""

    @property
    def token(self) -> str:
        """The token by which ``el.open("cube:<token>")`` finds it."""
        return self.place.token

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The reads that failed when it was built: their pixels are nodata."""
        return self.marker.faults

    @property
    def href(self) -> str:
        """Path or URL of the Zarr group, for any program that reads Zarr."""
        return self.place.store.locate(self.place.generation(self.marker.generation).rstrip("/"))

    @property
    def item(self) -> dict[str, Any]:
        """The cube as a STAC item, as the lab's catalogue has it."""
        return write_item(self.marker, self.href)

    @property
    def levels(self) -> tuple[int, ...]:
        """The factors of its overviews."""
        return self.marker.levels

    def open(self, level: int = 1) -> xr.Dataset:
        """The cube, lazily: as `earthlab.open` gives it from the items, with its values taken from the store.

        Parameters
        ----------
        level : int
            1 for the cube itself, or one of `levels`: for pictures, with so many times larger pixels. Each is the mean
            of those observed, to the nearest of the integers that the band is stored as; of bands that may hold
            classes, it is the pixel in the middle. An overview carries no plan.

        Raises
        ------
        BadRequest
            Where there is no such level.
        NotAllowed
            Where the user may not read its access class.
        ReadFault
            Where the cube is not whole, now or when it is computed.
        """
        require_access(self.place.access)
        return _open(self.place, self.marker, level)


def share_cube(
    plan: CubePlan,
    *,
    store: str | None = None,
    on_progress: OnProgress | None = None,
    patience: Patience | None = None,
) -> SharedCube:
    """The shared cube of a plan, built now if nobody has: of all who ask at once, one builds and the others wait.

    Parameters
    ----------
    plan : CubePlan
        What the cube is.
    store : str, optional
        A folder or ``s3://bucket/prefix``; the setting ``cubes.store`` by default.
    on_progress : callable, optional
        Called as the build goes on, here or elsewhere.
    patience : Patience, optional
        The rhythm of the builders' heartbeat.

    Returns
    -------
    SharedCube
        Finished, whole, and not yet read.

    Raises
    ------
    NotAllowed
        Where the user may not read the plan's access class, or an href carries a secret.
    AskLess
        Where the cube is larger than the quota, or the store is full.
    SetupError
        Where the store cannot be reached or written.
    ComputeUnavailable
        Where the cluster dies that dask computes on; of others who wait for the same cube, one builds it then.
    """
    require_access(plan.access)
    refuse_secrets(plan)
    place = Place(open_store(resolve_address(store)), plan.access, plan.token)
    return _Sharing(plan, place, on_progress or _say_nothing, patience or Patience()).run()


def find_shared(plan: CubePlan, *, store: str | None = None, wait: bool = True) -> SharedCube | None:
    """The finished shared cube of a plan, or ``None``; two small reads of the store.

    Parameters
    ----------
    plan : CubePlan
        What the cube is.
    store : str, optional
        A folder or ``s3://bucket/prefix``; the setting ``cubes.store`` by default.
    wait : bool
        Whether to wait for a store that is away.

    Raises
    ------
    NotAllowed
        Where the user may not read the plan's access class.
    StoreUnavailable
        Where the store does not answer.
    """
    require_access(plan.access)
    kept = open_store(resolve_address(store))
    return _find(Place(kept if wait else kept.impatient(), plan.access, plan.token))


def open_shared(token: str, *, store: str | None = None) -> xr.Dataset:
    """The cube of a token, from the store: values, coordinates and attributes as the plan's own cube has them.

    Parameters
    ----------
    token : str
        ``plan.token``, or the same after ``cube:``.
    store : str, optional
        A folder or ``s3://bucket/prefix``; the setting ``cubes.store`` by default.

    Returns
    -------
    xarray.Dataset
        Lazy; dask chunks are the shards of the store. While it lives, the cube is not evicted.

    Raises
    ------
    BadRequest
        Where that is not a token.
    NothingFound
        Where the store has no such cube that this user may read.
    ReadFault
        Where the cube is not whole.
    """
    token = norm_token(str(token).removeprefix("cube:"))
    kept = open_store(resolve_address(store))
    for access in granted_classes():
        if may_read(access) and (found := _find(Place(kept, access, token), strict=True)):
            return found.open()
    raise NothingFound(
        f"There is no shared cube {token} in {kept.locate('')}. It was never built or has been evicted: open its items "
        "with share=True, or list what there is with: earthlab cubes"
    )


def list_shared(*, store: str | None = None) -> tuple[SharedCube, ...]:
    """Every finished cube of a store that this user may read, least recently used first; torn ones are left out."""
    found = (_find(use.place) for use in survey(open_store(resolve_address(store))) if may_read(use.place.access))
    return tuple(cube for cube in found if cube)


def _find(place: Place, *, strict: bool = False) -> SharedCube | None:
    try:
        head = place.read_head()[1]
        return SharedCube(place, read_marker(place, head.current)) if head.current else None
    except ReadFault:
        if strict:
            raise
        return None


def _open(place: Place, marker: Marker, factor: int = 1) -> xr.Dataset:
    reading = begin_reading(place)
    record_building(place.token, marker.faults)
    if reading is not None and place.read_head()[1].current != marker.generation:
        marker = _newer(place)
    if marker.plan.token != place.token:
        raise torn(place, "its plan is another cube's")
    bands = stored_bands(place, marker, reading, factor)
    if factor == 1:
        return describe_cube(marker.plan, bands)
    return describe_overview(marker.plan, marker.level(factor), bands)


def _newer(place: Place) -> Marker:
    found = _find(place, strict=True)
    if found is None:
        raise torn(place, "it was evicted a moment ago")
    return found.marker


def _seems_abandoned(claim: Claim) -> bool:
    """Silent for so long that no clock of a host is that wrong; were it so, the lease would still fence."""
    return datetime.now(UTC) - datetime.fromisoformat(claim.at) > _ABANDONED


def _say_nothing(_progress: BuildProgress) -> None:
    return None


@dataclass(slots=True)
class _Sharing:
    """One call: looks at the head until the cube is there, and builds it if nobody else does."""

    plan: CubePlan
    place: Place
    on_progress: OnProgress
    patience: Patience
    watched: set[str] = field(default_factory=set)

    def run(self) -> SharedCube:
        watch = Watch(self.patience)
        while True:
            found, head = self._look()
            cube = _find(self.place) if head.current else None
            if cube and not (cube.marker.has_expired() and self._may_claim(found, head, watch)):
                return cube
            self._raise_failure(head)
            if self._may_claim(found, head, watch):
                built = self._build(found, head.current if cube else None, cube)
                if built:
                    return built
            elif head.claim:
                self._wait(head.claim)

    def _look(self) -> tuple[Found | None, Head]:
        try:
            return self.place.read_head()
        except ReadFault:
            return self.place.store.get(self.place.head_key), Head()

    def _may_claim(self, found: Found | None, head: Head, watch: Watch) -> bool:
        return head.claim is None or found is None or _seems_abandoned(head.claim) or watch.is_stale(found)

    def _raise_failure(self, head: Head) -> None:
        if head.failure and head.failure.builder in self.watched:
            raise SetupError(f"The builder of the shared cube {self.place.token} gave up: {head.failure.cause}")

    def _wait(self, claim: Claim) -> None:
        self.watched.add(claim.builder)
        if claim.of:
            self.on_progress(
                BuildProgress(claim.done, claim.of, claim.remaining, here=False, host=claim.host, pid=claim.pid)
            )
        time.sleep(self.patience.poll)

    def _build(self, found: Found | None, current: str | None, standing: SharedCube | None) -> SharedCube | None:
        """The cube, built; the standing one where it need not be built at once; ``None`` where another was quicker."""
        try:
            lease = claim_head(self.place.store, self.place.head_key, found, current=current, patience=self.patience)
        except EarthlabError:
            if standing:
                return standing
            raise
        if lease is None:
            return None
        try:
            return _Build(self.plan, self.place, lease, self.on_progress).run()
        except LeaseLost:
            return None


@dataclass(slots=True)
class _Build:
    """One build under a lease: a new generation, complete or not at all."""

    plan: CubePlan
    place: Place
    lease: Lease
    on_progress: OnProgress
    begun: float = field(default_factory=time.monotonic)
    stop: threading.Event = field(default_factory=threading.Event)
    attempts: int = 0

    @property
    def prefix(self) -> str:
        return self.place.generation(self.lease.claim.generation)

    @property
    def store(self) -> Store:
        return self.place.store

    def run(self) -> SharedCube:
        try:
            marker = self._write()
            self._publish()
        except BaseException as exc:
            self._give_up(exc)
            raise
        sweep(self.place, [marker.generation])
        evict(self.store, _quota(), keep=[self.place])
        return SharedCube(self.place, marker, built=True)

    def _publish(self) -> None:
        if not self.lease.publish():
            raise self._taken_over()

    def _taken_over(self) -> LeaseLost:
        return LeaseLost(f"The build of cube {self.place.token} was taken over by another builder.")

    def _write(self) -> Marker:
        sweep(self.place, [self.lease.head.current, self.lease.claim.generation])
        evict(self.store, max(_quota() - stored_bytes(self.plan), _quota() // 2), keep=[self.place])
        with ThreadPoolExecutor(1, thread_name_prefix="earthlab-stamps") as aside:
            stamps = aside.submit(stamp_sources, self.plan, self.stop)
            try:
                written = self._write_pixels()
                level_empty = self._write_levels(written)
            except BaseException:
                self.stop.set()
                raise
            marker = self._marker(written, level_empty, stamps.result())
        item = write_item(marker, self.store.locate(self.prefix.rstrip("/")))
        self.store.put(self.prefix + ITEM, canonical_json(item).encode())
        self.store.put(self.prefix + MARKER, marker.render())
        self.store.settle(self.prefix)
        return marker

    def _write_pixels(self) -> Written:
        lease = self.lease
        squares = len(plan_squares(self.plan))

        def report(done: int, of: int) -> None:
            self._report(done, of + squares)

        return write_cube(self.plan, self._begin, on_block=report, lost=lease.lost, patience=lease.patience.workers)

    def _write_levels(self, written: Written) -> tuple[LevelShard, ...]:
        lease, blocks = self.lease, self.lease.claim.done

        def report(done: int, of: int) -> None:
            self._report(blocks + done, blocks + of)

        return write_overviews(
            self.plan, self._target, written, on_square=report, lost=lease.lost, patience=lease.patience.workers
        )

    @property
    def _target(self) -> Target:
        return Target(self.store.address, self.place.head_key, self.lease.claim.generation)

    def _begin(self) -> Target:
        """An empty generation; another one where the first attempt has written to its own."""
        if self.attempts:
            given_up = self.prefix
            if not self.lease.renew():
                raise self._taken_over()
            self.store.delete(given_up)
        self.attempts += 1
        return self._target

    def _report(self, done: int, of: int) -> None:
        spent = time.monotonic() - self.begun
        remaining = spent / done * (of - done) if done else None
        self.lease.report(done, of, remaining)
        claim = self.lease.claim
        self.on_progress(BuildProgress(done, of, remaining, here=True, host=claim.host, pid=claim.pid))
        if done & (done - 1) == 0 or done == of:
            self._require_quota()

    def _require_quota(self) -> None:
        """Looked at when the work has doubled: a cube that is too large does not fill the disk first."""
        quota, size = _quota(), self._size()
        if size > quota:
            raise AskLess(
                f"The shared cube {self.place.token} takes {size:,} bytes so far and the quota of the store is "
                f"{quota:,}. Ask for fewer dates, bands or pixels, open it without share=, or raise cubes.quota."
            )

    def _size(self) -> int:
        return sum(entry.size for entry in self.store.list(self.prefix))

    def _marker(self, written: Written, level_empty: tuple[LevelShard, ...], items: tuple[Stamp, ...]) -> Marker:
        now = datetime.now(UTC)
        passing = any(fault.transient for fault in written.faults)
        return Marker(
            token=self.place.token,
            generation=self.lease.claim.generation,
            access=self.place.access,
            plan_json=self.plan.to_json(),
            shards=written.shards,
            encoded=written.encoded,
            items=items,
            empty=written.empty,
            faults=written.faults,
            size=self._size(),
            created=now.isoformat(timespec="seconds"),
            engine=f"earthlab {version('earthlab')}",
            expires=(now + _EXPIRY).isoformat(timespec="seconds") if passing else None,
            levels=plan_levels(self.plan),
            level_empty=level_empty,
        )

    def _give_up(self, exc: BaseException) -> None:
        """Leave nothing behind, unless the generation was published after all and only the answer was lost.

        The lease goes first: tasks that a cluster still runs see by it that they write for nobody. Where the store is
        away, what counts is the first refusal; the next builder sweeps.
        """
        with suppress(EarthlabError):
            self.lease.release(_cause(exc))
        with suppress(EarthlabError):
            if self.place.read_head()[1].current != self.lease.claim.generation:
                self.store.delete(self.prefix)


def _cause(exc: BaseException) -> str | None:
    """What those who wait are told; nothing where a person interrupted or lost their cluster: one of them builds."""
    if isinstance(exc, ClusterLost):
        return None
    if isinstance(exc, EarthlabError):
        return str(exc)
    return type(exc).__name__ if isinstance(exc, Exception) else None


def _quota() -> int:
    return parse_bytes(load_settings().cubes.quota, "cubes.quota")
