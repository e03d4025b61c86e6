"""What people may choose of on a cluster: cores, memory and image of their pod, offered by group."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from earthlab.errors import SetupError, did_you_mean
from earthlab.hub.passes import Share
from earthlab.settings import Settings, parse_bytes

_SLUG = re.compile(r"[a-z][a-z0-9-]{0,30}")


@dataclass(frozen=True, slots=True)
class Profile:
    """One size of pod.

    A pod is given ``cores`` and ``memory`` at most; ``cores_kept`` and ``memory_kept`` are what a node keeps for it.
    """

    slug: str
    title_fr: str
    title_en: str
    cores: float
    memory: str
    cores_kept: float = 0.0
    """0 for a tenth of ``cores``: people think more than they compute."""
    memory_kept: str = ""
    """Half of ``memory`` by default."""
    image: str = ""
    """The lab's own by default."""
    groups: tuple[str, ...] = ()
    """Groups of the hub whose members are offered it; everybody by default."""
    nodes: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Labels that a node must have."""


WORKSHOP = Profile("atelier", "Atelier", "Workshop", cores=2.0, memory="4 GiB", cores_kept=0.2, memory_kept="512 MiB")
"""What a pod gets where the operator names no profile: as little as a class needs."""


def parse_profiles(text: str, source: str) -> tuple[Profile, ...]:
    """The profiles of a JSON list of objects, whose first is what people get who do not choose.

    Raises
    ------
    SetupError
        Where it is none; the message names the source, the profile and the field.
    """
    try:
        given = json.loads(text)
    except ValueError as exc:
        raise SetupError(f"{source} is not JSON: {exc}. It is a list of profiles; see the chart's values.") from exc
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise SetupError(f"{source} holds no list of profiles. Give one at least, as the chart's values do.")
    found = tuple(_parse_profile(each, source) for each in given)
    twice = {each.slug for each in found if [one.slug for one in found].count(each.slug) > 1}
    if twice:
        raise SetupError(
            f"{source}: more than one profile is called {', '.join(sorted(twice))}. Give each its own slug."
        )
    if found[0].groups:
        raise SetupError(
            f"{source}: the first profile, {found[0].slug}, is for {', '.join(found[0].groups)} alone. It is what "
            "everybody gets who may not choose: put one without `groups` first."
        )
    return found


def read_profiles(settings: Settings) -> tuple[Profile, ...]:
    """The lab's profiles.

    Raises
    ------
    SetupError
        Where the file named by ``kubernetes.profiles`` cannot be read or is not right.
    """
    file = settings.kubernetes.profiles
    if file is None:
        return (WORKSHOP,)
    try:
        text = file.read_text()
    except OSError as exc:
        raise SetupError(f"kubernetes.profiles is {file}, which cannot be read: {exc.strerror}. Mend it.") from exc
    return parse_profiles(text, str(file))


def _parse_profile(given: Mapping[str, Any], source: str) -> Profile:
    slug = given.get("slug")
    if not isinstance(slug, str) or not _SLUG.fullmatch(slug):
        raise SetupError(f"{source}: a profile's slug is {slug!r}, expected small letters, digits and hyphens.")
    here, known = f"{source}: profile {slug}", {each.name: each for each in fields(Profile)}
    for name in given.keys() - known.keys():
        raise SetupError(f"{here} has no field {name!r}. {did_you_mean(name, known)}")
    for name, each in known.items():
        needed = each.default is MISSING and each.default_factory is MISSING
        if needed and name not in given:
            raise SetupError(f"{here} lacks {name!r}. Add it.")
    words = {name: _parse_word(given[name], f"{here}: {name}") for name in ("title_fr", "title_en")}
    profile = Profile(
        slug,
        **words,
        cores=_parse_cores(given["cores"], f"{here}: cores", least=0.05),
        memory=_parse_word(given["memory"], f"{here}: memory"),
        cores_kept=_parse_cores(given.get("cores_kept", 0), f"{here}: cores_kept"),
        memory_kept=_parse_word(given.get("memory_kept", ""), f"{here}: memory_kept"),
        image=_parse_word(given.get("image", ""), f"{here}: image"),
        groups=tuple(_parse_word(each, f"{here}: groups") for each in given.get("groups", ())),
        nodes={name: _parse_word(value, f"{here}: nodes") for name, value in given.get("nodes", {}).items()},
    )
    memory = parse_bytes(profile.memory, f"{here}: memory")
    if profile.memory_kept and parse_bytes(profile.memory_kept, f"{here}: memory_kept") > memory:
        raise SetupError(f"{here} sets {profile.memory_kept} aside of {profile.memory} at most. Lower memory_kept.")
    if profile.cores_kept > profile.cores:
        raise SetupError(f"{here} sets {profile.cores_kept} cores aside of {profile.cores} at most. Lower cores_kept.")
    return profile


def _parse_word(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise SetupError(f"{name} is {value!r}, expected text.")
    return value


def _parse_cores(value: Any, name: str, least: float = 0.0) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= 1024:
        raise SetupError(f"{name} is {value!r}, expected a number of cores from {least:g} to 1024.")
    return float(value)


def offered(profiles: Sequence[Profile], groups: Collection[str]) -> tuple[Profile, ...]:
    """Those that a member of such groups may choose of, in their order."""
    return tuple(each for each in profiles if not each.groups or set(each.groups) & set(groups))


def seat_profile(profiles: Sequence[Profile]) -> Profile:
    """What a workshop's participants get, who choose nothing: what everybody gets who may not choose."""
    return profiles[0]


SIZE = ("mem_limit", "mem_guarantee", "cpu_limit", "cpu_guarantee")
"""What KubeSpawner calls memory in bytes and cores: at most, and kept."""


def fit_seat(size: Mapping[str, float], share: Share) -> dict[str, float]:
    """A pod's `SIZE` with what a workshop has planned for its seats, and never more than the profile has."""
    memory = min(size["mem_limit"], share.memory)
    return {
        "mem_limit": memory,
        "mem_guarantee": min(size["mem_guarantee"], memory),
        "cpu_limit": size["cpu_limit"],
        "cpu_guarantee": min(size["cpu_guarantee"] * share.cores, size["cpu_limit"]),
    }


def plan_profile(profile: Profile, *, default: bool) -> dict[str, Any]:
    """A profile as KubeSpawner's ``profile_list`` takes it."""
    memory = parse_bytes(profile.memory, "memory")
    kept = parse_bytes(profile.memory_kept, "memory_kept") if profile.memory_kept else memory // 2
    override: dict[str, Any] = {
        "cpu_limit": profile.cores,
        "cpu_guarantee": profile.cores_kept or profile.cores / 10,
        "mem_limit": memory,
        "mem_guarantee": kept,
    }
    if profile.image:
        override["image"] = profile.image
    if profile.nodes:
        override["node_selector"] = dict(profile.nodes)
    return {
        "slug": profile.slug,
        "display_name": f"{profile.title_fr} · {profile.title_en}",
        "description": _describe(profile),
        "default": default,
        "kubespawner_override": override,
    }


def _describe(profile: Profile) -> str:
    cores = f"{profile.cores:g}"
    return (
        f"{cores.replace('.', ',')} cœur(s), {profile.memory} de mémoire au plus · "
        f"{cores} core(s), {profile.memory} of memory at most"
    )
