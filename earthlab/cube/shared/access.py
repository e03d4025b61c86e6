"""Who may open which class of cubes, and which store they are in."""

from collections.abc import Callable

from earthlab.cube.shared.stores import StoreAddress
from earthlab.errors import NotAllowed
from earthlab.rights import OPEN, find_rules
from earthlab.settings import Settings, load_settings, resolve_cubes

AccessCheck = Callable[[str], bool]

_checks: list[AccessCheck] = []


def set_access_check(check: AccessCheck | None) -> None:
    """Have ``check`` say, at each opening, whether this user may read cubes of an access class; ``None`` takes it away.

    Without one, the setting ``cubes.access`` says it. Cubes of the class ``open`` are everyone's and not asked about.
    What truly keeps others out are the rights of the files, or the bucket's policy.
    """
    _checks[:] = [] if check is None else [check]


def granted_classes() -> tuple[str, ...]:
    """The access classes that the settings grant, ``open`` first."""
    names = [name.strip() for name in load_settings().cubes.access.split(",")]
    return tuple(dict.fromkeys([OPEN, *(name for name in names if name)]))


def may_read(access: str) -> bool:
    """Whether this user may read cubes of an access class; of several classes in one, each must be granted."""
    if access == OPEN:
        return True
    return _checks[0](access) if _checks else set(access.split("--")) <= set(granted_classes())


def require_access(access: str) -> None:
    """Check that this user may read cubes of an access class.

    Raises
    ------
    NotAllowed
        Where not, naming the class.
    """
    if not may_read(access):
        ways = " ".join(f"{rule.how['fr']} / {rule.how['en']}" for rule in find_rules(access))
        raise NotAllowed(
            f"Cubes of the access class {access!r} are for its licensees, and this user was not one when the server "
            f"started. {ways or 'Ask the operator of the lab for the class, or use an open collection.'}"
        )


def resolve_address(store: str | None, settings: Settings | None = None) -> StoreAddress:
    """Where shared cubes are: the store named, else the setting, else a folder of the lab's or the user's.

    Parameters
    ----------
    store : str, optional
        A folder or ``s3://bucket/prefix``.
    settings : Settings, optional
        The settings in force, by default.

    Raises
    ------
    SetupError
        Where none is named and the lab has no store.
    """
    settings = settings or load_settings()
    cubes = settings.cubes
    return StoreAddress(store or resolve_cubes(settings), cubes.endpoint, cubes.region, cubes.group, cubes.patience)
