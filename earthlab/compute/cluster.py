"""``el.cluster()``: workers for a notebook, found without an address, gone when they are no longer needed."""

import atexit
import html
import os
import time
import warnings
import weakref
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from earthlab.compute.environment import Mismatch, differences, here, is_fatal
from earthlab.compute.turns import Turn, take_turn
from earthlab.errors import (
    BadRequest,
    ComputeUnavailable,
    EarthlabError,
    EarthlabWarning,
    FallbackWarning,
    NotAllowed,
)
from earthlab.notice import Notice
from earthlab.settings import ComputeSettings, load_settings
from earthlab.witness import tell

if TYPE_CHECKING:
    from earthlab.compute.connection import Connection, Offer

_INTERVAL = 0.1

_OTHERWISE_SECONDS = 20.0
"""How long a workshop's cluster without a worker is waited for where one's own will do, too."""

_MOST_TRIES = 8
"""Starts of a cluster without a wanted size, each for what the gateway said a moment before that it had."""


class Cluster:
    """A running Dask cluster, the user's own or a workshop's, with the client that computes on it.

    ``with el.cluster() as client:`` gives the client and stops the cluster at the end of the block. Over several
    cells: ``lab = el.cluster()``, then ``lab.client``, ``lab.scale(3)`` and at last ``lab.close()``. While it is open
    it is where dask computes; then dask computes again where it did before.

    A workshop's cluster is left, not stopped, and keeps the workers that its organiser has planned. Whoever shares it
    can see and change what is computed there, and act in the kernels of others by a forged answer.
    """

    def __init__(
        self,
        name: str,
        client: Any,
        *,
        connection: "Connection | None" = None,
        end: Callable[[], object],
        shared: str = "",
    ) -> None:
        self.name = name
        self.client = client
        self.shared = shared
        self._connection = connection
        self._end = end
        self._closed = False
        _open.add(self)
        tell("clustered", name=name)

    @property
    def is_local(self) -> bool:
        """Whether it is only threads of this process."""
        return self._connection is None

    @property
    def workers(self) -> int:
        """How many workers are there now."""
        return 0 if self._closed else len(self.client.nthreads())

    def scale(self, workers: int, *, timeout: float = 60.0, notice: Notice | None = None) -> None:
        """Have so many workers and wait for them, `timeout` seconds at most; a line tells when it lasts.

        Raises
        ------
        BadRequest
            For what is not a number of workers.
        ComputeUnavailable
            Where they are more than the user may have; the message says how many are left.
        NotAllowed
            For a workshop's cluster.
        """
        count = _norm_workers(workers, least=0)
        self._elastic().scale(self.name, count)
        with notice or Notice() as line:
            self._wait_for(count, until=time.monotonic() + timeout, notice=line)

    def adapt(self, minimum: int = 0, maximum: int | None = None) -> None:
        """Have as many workers as there is work for, between two numbers; by default up to all the user may have.

        Raises
        ------
        ComputeUnavailable
            Where `maximum` is more than the user may have.
        NotAllowed
            For a workshop's cluster.
        """
        self._elastic().adapt(self.name, minimum, maximum)

    def close(self) -> None:
        """Stop the cluster, or only leave it where it was joined by name. A second time does nothing."""
        if self._closed:
            return
        self._closed = True
        self.client.close()
        _compute_as_before()
        try:
            self._end()
        except ComputeUnavailable as exc:
            warnings.warn(
                f"Cluster {self.name[:8]} is left, but could not be told to stop; it will, having no client. {exc}",
                EarthlabWarning,
                stacklevel=2,
            )

    def stop(self) -> None:
        """Stop the cluster even where it was joined by name: ``el.cluster("3fa2").stop()`` ends a forgotten one.

        Raises
        ------
        NotAllowed
            For a workshop's cluster.
        """
        self._require_own()
        self.close()
        if self._connection is not None:
            self._connection.stop(self.name)

    def _elastic(self) -> "Connection":
        if self._closed:
            raise BadRequest(f"cluster {self.name[:8]} is closed. Start another: el.cluster().")
        self._require_own()
        if self._connection is None:
            raise BadRequest("a cluster inside this process keeps its number of threads. Close it and start another.")
        return self._connection

    def _require_own(self) -> None:
        if self.shared:
            raise NotAllowed(
                f"La grappe {self.shared} est à tout l’atelier : elle garde ses workers et finit avec lui ; close() la "
                "quitte. Une grappe à vous : el.cluster(shared=False). | "
                f"The cluster {self.shared} is the whole workshop's: it keeps its workers and ends with it; close() "
                "leaves it. One of your own: el.cluster(shared=False)."
            )

    def _wait_for(self, count: int, *, until: float, notice: Notice) -> None:
        while (there := self.workers) != count and time.monotonic() < until:
            notice.say(f"Cluster {self.name[:8]} : {there}/{count} workers…")
            time.sleep(_INTERVAL)
        if there < count:
            self._report_missing(there, count)
        notice.say(f"Cluster {self.name[:8]} : {_counted(there)}")

    def _report_missing(self, there: int, count: int) -> None:
        if there == 0:
            raise ComputeUnavailable(
                f"Le cluster {self.name[:8]} n'a reçu aucun worker à temps. Réessayez, ou demandez-en moins. | "
                f"Cluster {self.name[:8]} got no worker in time. Try again, or ask for fewer."
            )
        warnings.warn(
            f"Cluster {self.name[:8]}: {there} of {count} workers are there, the others are late. It computes with "
            "those; more may still join.",
            FallbackWarning,
            stacklevel=4,
        )

    def __enter__(self) -> Any:
        return self.client

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<earthlab.Cluster {self._label}: {self._state()}>"

    def _repr_html_(self) -> str:
        return f"<b>Cluster {html.escape(self._label)}</b> · {self._state()}"

    @property
    def _label(self) -> str:
        return self.shared or self.name[:8]

    def _state(self) -> str:
        if self._closed:
            return "quittée | left" if self.shared else "arrêté | closed"
        if self.shared:
            return f"{THEIRS}, {_counted(self.workers)}, {_SEEN}"
        threads = sum(self.client.nthreads().values())
        place = "dans ce processus | in this process" if self.is_local else _counted(self.workers)
        return f"{place}, {threads} thread{'s' * (threads > 1)}"


THEIRS = "grappe de l’atelier | the workshop’s cluster"
"""What a cluster is called that a workshop's people share."""

_SEEN = "visible de tous ceux qui la partagent | seen by all who share it"

_open: "weakref.WeakSet[Cluster]" = weakref.WeakSet()


@atexit.register
def _close_open_clusters() -> None:
    for one in list(_open):
        with suppress(EarthlabError, OSError):  # at the end of the process nobody reads it; the lease does the rest
            one.close()


def _compute_as_before() -> None:
    import dask
    from distributed import default_client  # 0.4 s to import: only once there is a cluster

    # Of two clients closed in the order they were made, the last leaves dask pointing at the first, which is gone.
    if dask.config.get("scheduler", None) == "dask.distributed":
        try:
            default_client()
        except ValueError:
            dask.config.set(scheduler=None)


def computes_shared(client: Any) -> bool:
    """Whether what this client computes is computed on a workshop's cluster."""
    return any(one.shared and one.client is client for one in _open)


def cluster(
    name: str | None = None,
    *,
    workers: int | None = None,
    shared: bool | None = None,
    timeout: float = 90.0,
    settings: ComputeSettings | None = None,
) -> Cluster:
    """A Dask cluster on the lab's gateway, ready to compute; inside the lab it needs no argument.

    In the hours of a workshop that has a cluster, its participants and trainers get that one, and what they compute on
    it can be seen and changed by all who share it. Everybody else gets one of their own.

    One's own starts in about two seconds. It is stopped when it is closed, half a minute after its kernel is gone, when
    its owner's server stops, and after half an hour without work. Where no gateway is configured, or the machine has no
    room for another worker, threads of this process stand in, and a warning says so; on a machine that is full, people
    take turns with those.

    Parameters
    ----------
    name : str, optional
        Join the user's running cluster of that name (or beginning of a name) instead of starting one, or that of a
        workshop: ``"atelier-neige"``. Leaving it does not stop it.
    workers : int, optional
        How many workers, of a cluster of one's own; by default as many as the machine has cores and the user may still
        have.
    shared : bool, optional
        ``True`` for the workshop's cluster and no other, ``False`` for one of one's own; by default the workshop's
        where there is one and no number of workers is given.
    timeout : float
        Seconds to wait for the cluster, and then for its workers.
    settings : ComputeSettings, optional
        Another gateway than that of the process's settings.

    Returns
    -------
    Cluster
        ``with el.cluster() as client:`` gives its ``distributed.Client``.

    Raises
    ------
    ComputeUnavailable
        Where the gateway is away, the user already has all they may have, or there is no shared cluster where one is
        wanted; the message says what to do.
    BadRequest
        For a `name` that no running cluster has, a number of workers below one, several shared clusters of which none
        is named, and arguments that do not go together.

    Warns
    -----
    FallbackWarning
        Where this process's threads stand in for a gateway, one's own cluster for the workshop's, or some workers are
        late.
    """
    chosen = load_settings().compute if settings is None else settings
    wanted = None if workers is None else _norm_workers(workers, least=1)
    if shared and (name is not None or wanted is not None):
        raise BadRequest("shared=True: a workshop's cluster has its name and workers. Leave name and workers out.")
    if not chosen.gateway:
        return _local_cluster(name, wanted, shared=bool(shared))
    if name is not None:
        return _joined_cluster(chosen, name, timeout=timeout)
    with Notice() as notice:
        return _any_cluster(chosen, wanted, shared=False if wanted else shared, timeout=timeout, notice=notice)


def _counted(workers: int) -> str:
    return f"{workers} worker{'s' * (workers > 1)}"


def _norm_workers(value: object, *, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise BadRequest(f"workers: found {value!r}, expected a whole number, {least} or more.")
    return value


def _local_cluster(name: str | None, workers: int | None, *, shared: bool) -> Cluster:
    if shared:
        raise _no_shared()
    if name is not None:
        raise ComputeUnavailable(
            f"Aucune passerelle n'est configurée : il n'y a pas de cluster {name!r} à rejoindre. Ouvrez un carnet du "
            f"laboratoire. | No gateway is configured, so there is no cluster {name!r} to join. Open a notebook in the "
            "lab, or set EARTHLAB__COMPUTE__GATEWAY."
        )
    threads = workers or os.cpu_count() or 1
    warnings.warn(
        f"Pas de passerelle Dask configurée : calcul dans ce processus, {threads} threads. | No Dask Gateway is "
        f"configured: computing in this process, {threads} threads. In the lab, el.cluster() finds the gateway itself.",
        FallbackWarning,
        stacklevel=3,
    )
    return _threads_here(threads)


def _threads_here(threads: int, turn: Turn | None = None) -> Cluster:
    from earthlab.compute.local import start_local  # distributed takes 0.4 s to import: not with `import earthlab`

    local = start_local(threads)
    with ExitStack() as ends:
        if turn is not None:
            ends.callback(turn.end)
        ends.callback(local.close)
        return Cluster("local", local.get_client(), end=ends.pop_all().close)


def _joined_cluster(settings: ComputeSettings, name: str, *, timeout: float) -> Cluster:
    from earthlab.compute.connection import resolve_connection  # as above

    connection = resolve_connection(settings)
    offer = connection.ask_offer()
    _refuse_mismatch(offer.environment or here())
    if name in offer.shared:
        return _entered(connection, offer, name, timeout=timeout)
    report = connection.find(name)
    shared = next((label for label, found in offer.shared.items() if found == report.name), "")
    return Cluster(report.name, connection.connect(report), connection=connection, end=_leave, shared=shared)


def _any_cluster(
    settings: ComputeSettings, workers: int | None, *, shared: bool | None, timeout: float, notice: Notice
) -> Cluster:
    from earthlab.compute.connection import resolve_connection  # as above

    connection = resolve_connection(settings)
    offer = connection.ask_offer()
    _refuse_mismatch(offer.environment or here())
    if shared or (shared is None and offer.shared):
        label = _choose_shared(offer)
        try:
            patience = timeout if shared else min(timeout, _OTHERWISE_SECONDS)
            return _entered(connection, offer, label, timeout=patience)
        except ComputeUnavailable as exc:
            if shared:
                raise
            warnings.warn(
                f"Sans la grappe de l’atelier : un cluster à vous. | Without the workshop's cluster: one of your own. "
                f"{exc}",
                FallbackWarning,
                stacklevel=3,
            )
    return _new_cluster(connection, offer, workers, settings, timeout=timeout, notice=notice)


def _choose_shared(offer: "Offer") -> str:
    if not offer.shared:
        raise _no_shared()
    if len(offer.shared) > 1:
        first, *_ = names = sorted(offer.shared)
        raise BadRequest(
            f"Vous partagez plusieurs grappes ({', '.join(names)}) : nommez-en une, ou prenez la vôtre. | "
            f'You share several clusters ({", ".join(names)}): name one, el.cluster("{first}"), or take one of your '
            "own, el.cluster(shared=False)."
        )
    return next(iter(offer.shared))


def _no_shared() -> ComputeUnavailable:
    return ComputeUnavailable(
        "Vous ne partagez aucune grappe en ce moment : celle d’un atelier s’ouvre et se ferme avec lui. Prenez la "
        "vôtre : el.cluster(). | You share no cluster at this moment: a workshop's opens and closes with it. Take one "
        "of your own: el.cluster()."
    )


def _entered(connection: "Connection", offer: "Offer", label: str, *, timeout: float) -> Cluster:
    name = offer.shared[label]
    if not name:
        raise ComputeUnavailable(
            f"La grappe {label} n’est pas en marche ; le labo la relance. Réessayez dans une minute. | "
            f"The cluster {label} does not run; the lab is starting it. Try again in a minute."
        )
    client = connection.connect(connection.report(name))
    found = Cluster(name, client, connection=connection, end=_leave, shared=label)
    with ExitStack() as undo:
        undo.callback(found.close)
        # At once, and not only where it lasts: whoever computes there must know who else sees it.
        with Notice(delay=0) as line:
            _wait_for_any(found, until=time.monotonic() + timeout, notice=line)
        undo.pop_all()
    return found


def _wait_for_any(found: Cluster, *, until: float, notice: Notice) -> None:
    while not (there := found.workers):
        if time.monotonic() > until:
            raise ComputeUnavailable(
                f"La grappe {found.shared} n’a aucun worker : la machine est pleine. Réessayez plus tard. | "
                f"The cluster {found.shared} has no worker: the machine is full. Try again later."
            )
        notice.say(f"{THEIRS} ({found.shared}) : 0 worker…")
        time.sleep(_INTERVAL)
    notice.say(f"{THEIRS} ({found.shared}) : {_counted(there)}, {_SEEN}")


def _leave() -> None:
    """Nothing: who has joined a cluster only goes away."""


def _new_cluster(
    connection: "Connection",
    offer: "Offer",
    workers: int | None,
    settings: ComputeSettings,
    *,
    timeout: float,
    notice: Notice,
) -> Cluster:
    from earthlab.compute.connection import Refused  # as above

    tries = 1
    while not offer.is_full():
        count = _resolve_workers(workers, offer)
        try:
            return _started(connection, count, offer.environment, timeout, notice)
        except Refused:
            # Others may have taken the last places between the question and the start.
            offer = connection.ask_offer()
            if not offer.is_full() and (workers is not None or tries == _MOST_TRIES):
                raise
            tries += 1
        except Mismatch:
            raise
        except ComputeUnavailable as exc:
            if workers is not None:
                raise
            # Whoever did not ask for workers wants a result: slowly, rather than not at all.
            return _cluster_of_a_full_machine(offer, settings.turns, notice, why=str(exc))
    return _cluster_of_a_full_machine(offer, settings.turns, notice)


def _started(
    connection: "Connection", workers: int, environment: Mapping[str, str], timeout: float, notice: Notice
) -> Cluster:
    report = connection.start(until=time.monotonic() + timeout, notice=notice)
    with ExitStack() as undo:
        undo.callback(connection.stop, report.name)
        end = partial(connection.stop, report.name)
        found = Cluster(report.name, connection.connect(report), connection=connection, end=end)
        undo.callback(found.close)
        if not environment:
            _refuse_mismatch(_ask_environment(found.client))
        found.scale(workers, timeout=timeout, notice=notice)
        undo.pop_all()
    return found


def _cluster_of_a_full_machine(offer: "Offer", turns: str, notice: Notice, *, why: str = "") -> Cluster:
    threads = offer.cores or os.cpu_count() or 1
    warnings.warn(
        f"La machine n'a plus de place pour un worker : calcul dans ce noyau, {threads} threads. | The machine has no "
        f"room for another worker: computing in this kernel, {threads} threads. {why}".rstrip(),
        FallbackWarning,
        stacklevel=5,
    )
    turn = take_turn(turns, notice)
    with ExitStack() as undo:
        undo.callback(turn.end)
        found = _threads_here(threads, turn)
        undo.pop_all()
    return found


def _resolve_workers(asked: int | None, offer: "Offer") -> int:
    count = offer.usual_workers() if asked is None else asked
    if offer.free_workers is not None and (count > offer.free_workers or count == 0):
        wanted, left = _counted(count or 1), f"{offer.free_workers} / {offer.max_workers}"
        raise ComputeUnavailable(
            f"{wanted} : il vous en reste {left}. Demandez-en moins ou arrêtez un cluster. | "
            f"{wanted} asked, you have {left} left. Ask for fewer, or stop a cluster. {_stop_lines(offer.clusters)}"
        )
    return count


def _stop_lines(clusters: Mapping[str, int]) -> str:
    return "; ".join(f'{_counted(n)}: el.cluster("{name[:8]}").stop()' for name, n in clusters.items())


def _ask_environment(client: Any) -> Mapping[str, str]:
    """What the scheduler of a gateway that tells nothing beforehand says of itself, before a worker starts."""
    try:
        theirs: Mapping[str, str] = client.run_on_scheduler(here)
    except Exception as exc:
        raise Mismatch(
            f"Le scheduler ne comprend pas ce noyau ({type(exc).__name__}) : l’image des workers n’est pas celle de ce "
            "noyau. Prévenez l’équipe du labo. | The scheduler does not understand this kernel "
            f"({type(exc).__name__}): the image of the workers is not this kernel's. Tell the lab's team."
        ) from exc
    return theirs


def _refuse_mismatch(theirs: Mapping[str, str]) -> None:
    found = differences(here(), theirs)
    if not found:
        return
    listed = "; ".join(f"{name} {versions}" for name, versions in found.items())
    if is_fatal(found):
        raise Mismatch(
            f"Ce noyau et les workers ne se comprennent pas : {listed}. Choisissez le noyau « EarthLab ». | "
            f"This kernel and the workers do not understand each other: {listed}. Choose the kernel “EarthLab”."
        )
    warnings.warn(
        f"Kernel and workers differ: {listed}. Results may too. Choose the kernel “EarthLab”.",
        FallbackWarning,
        stacklevel=4,
    )
