"""How much one user may take, over all of their clusters: pure decisions and the words of the refusals."""

from collections.abc import Iterable
from dataclasses import dataclass

WORKERS_A_CORE = 4
"""Workers of one machine for each of its cores: beyond, they take turns and nobody is served sooner."""

_WORKER_NEEDS = 400 * 2**20
"""Bytes that a further worker with its share of a scheduler takes before it has computed anything."""

_KEPT_FREE = 2 * 2**30
"""Bytes that clusters leave to servers and kernels."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One live cluster of a user and the workers it holds: those it wants or those it has, whichever is more."""

    cluster: str
    workers: int


def free_workers(holdings: Iterable[Holding], cap: int, *, besides: str = "") -> int:
    """Workers that the user may still take; the cluster named by `besides` is not counted against them."""
    return max(0, cap - sum(h.workers for h in holdings if h.cluster != besides))


def machine_room(held: int, cap: int, free_memory: int) -> int:
    """Workers that the machine still takes, whoever asks, where ``held`` are there or on their way."""
    by_memory = max(0, free_memory - _KEPT_FREE) // _WORKER_NEEDS
    return max(0, min(cap - held, by_memory))


def total_workers(total: int, max_workers: int, cores: int) -> int:
    """Workers of one machine, over all users: `total` where the operator has set it, else as many as its cores feed."""
    return total or max(WORKERS_A_CORE * cores, max_workers)


def parse_count(value: object) -> int | None:
    """The number of workers a message asks for, or None where it is not a number of workers."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and value >= 0 else None  # type: ignore[operator,return-value]


def cluster_refusal(running: Iterable[str], stopping: int, cap: int) -> str | None:
    """Why the user may not start one more cluster, or None where they may.

    Clusters that are being stopped do not count, but only up to as many again: who starts and stops in a loop waits.
    """
    names = sorted(running)
    if len(names) >= cap:
        listed = ", ".join(name[:8] for name in names)
        return (
            f"Vous avez déjà {len(names)} cluster(s) sur {cap} ({listed}). Arrêtez-en un. | "
            f'You already have {len(names)} of {cap} cluster(s). Stop one: el.cluster("{names[0][:8]}").stop()'
        )
    if len(names) + stopping >= 2 * cap:
        return (
            f"{stopping} de vos clusters sont en cours d'arrêt. Réessayez dans quelques secondes. | "
            f"{stopping} of your clusters are still stopping. Try again in a few seconds."
        )
    return None


def machine_refusal(asked: int, room: int) -> str | None:
    """Why the machine does not take so many more workers, or None where it does."""
    if asked <= room:
        return None
    return (
        f"La machine n'a plus de place que pour {room} worker(s) de plus, {asked} demandé(s). Demandez-en moins, ou "
        f"calculez dans ce noyau. | The machine has room for {room} more worker(s), {asked} asked. Ask for fewer, or "
        "compute in this kernel."
    )


def worker_refusal(asked: object, free: int, cap: int) -> str | None:
    """Why a cluster may not have the number of workers that was asked, or None where it may."""
    count = parse_count(asked)
    if count is None:
        return (
            f"Nombre de workers {asked!r} : un entier positif ou nul est attendu. | "
            f"Number of workers {asked!r}: expected a whole number, 0 or more."
        )
    if count > cap:
        return (
            f"{count} workers demandés ; la limite est {cap} par personne. Demandez-en {cap} au plus. | "
            f"{count} workers asked; the limit is {cap} a person. Ask for {cap} at most."
        )
    if count > free:
        return (
            f"{count} workers demandés ; il vous en reste {free} sur {cap}, vos autres clusters ont le reste. "
            f"Demandez-en {free} ou fermez un cluster. | "
            f"{count} workers asked; you have {free} of {cap} left, your other clusters hold the rest. "
            f"Ask for {free} or close a cluster."
        )
    return None
