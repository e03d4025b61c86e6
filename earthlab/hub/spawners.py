"""Starting a user's server as a process of this machine, under the account the user has on it."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

from jupyterhub.spawner import LocalProcessSpawner
from tornado.ioloop import IOLoop
from traitlets import Enum, Instance

from earthlab.errors import EarthlabError, SetupError
from earthlab.hub.accounts import Account, account_lock, account_name, resolve_account
from earthlab.hub.cubes import open_licensed_cubes
from earthlab.hub.layout import AccountMode, Layout
from earthlab.hub.rights import granted_classes


class AccountSpawner(LocalProcessSpawner):  # type: ignore[misc]  # JupyterHub has no types
    """Runs each server as its user's own Unix account, or all of them as one where the lab shares accounts."""

    layout = Instance(Layout, config=True)
    accounts = Enum(["unix", "shared"], config=True, help="Whether each user has a Unix account of their own.")
    account = Instance(Account, allow_none=True)
    access: tuple[str, ...] = ()
    """The rules of licensed data that let the user read, when the server was started."""

    async def start(self) -> tuple[str, int]:
        """Make the account and its folders where need be, then start the server."""
        self.access = granted_classes(self.user, shared=self.accounts == "shared")
        try:
            # In a thread: `useradd` takes its time, and a class arrives all at once.
            self.account = await IOLoop.current().run_in_executor(None, self._prepare)
        except EarthlabError as exc:
            exc.jupyterhub_message = str(exc)  # type: ignore[attr-defined]  # what the hub shows on its page
            raise
        place: tuple[str, int] = await super().start()
        return place

    def _prepare(self) -> Account:
        account = resolve_account(self.user.name, self.layout, cast("AccountMode", self.accounts))
        with account_lock(self.layout):
            open_licensed_cubes(self.layout, cast("AccountMode", self.accounts), account.name, self.access)
        make_runtime_folder(self._runtime_folder(), account)
        return account

    def _runtime_folder(self) -> Path:
        # Not the whole account name: Jupyter's socket names leave few of the 107 bytes.
        return self.layout.run / account_name(self.user.name, self.layout.lab_id)[-6:]

    def make_preexec_fn(self, _name: str) -> Callable[[], None] | None:
        """What the new process does first: give up every right but those of the user's account."""
        assert self.account is not None
        return _become(self.account) if os.getuid() == 0 else None

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """``env`` with the account's own names and folders."""
        assert self.account is not None
        runtime = str(self._runtime_folder())
        own = {"EARTHLAB_OWN_ACCOUNT": "1"} if self.accounts == "unix" else {}
        return (
            env
            | own
            | {
                "EARTHLAB__CUBES__ACCESS": ",".join(self.access),
                "USER": self.account.name,
                "LOGNAME": self.account.name,
                "HOME": str(self.account.home),
                "SHELL": "/bin/bash",
                "JUPYTER_RUNTIME_DIR": runtime,
                "XDG_RUNTIME_DIR": runtime,
            }
        )

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what an earlier hub noted, but not the pid: no server outlives its hub, others may have that pid."""
        super().load_state({name: value for name, value in state.items() if name != "pid"})

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """The words on the waiting page."""
        yield {"progress": 40, "message": "Votre JupyterLab démarre… · Your JupyterLab is starting…"}


def make_runtime_folder(folder: Path, account: Account) -> None:
    """The 0700 folder of an account's sockets.

    Raises
    ------
    SetupError
        Where it belongs to somebody else.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid == os.getuid() != account.uid:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    if folder.is_symlink() or folder.lstat().st_uid != account.uid:
        raise SetupError(f"{folder} belongs to uid {folder.lstat().st_uid}, expected {account.uid}. Remove it.")
    folder.chmod(0o700)


def _become(account: Account) -> Callable[[], None]:
    # Between fork and exec nothing is looked up.
    groups = os.getgrouplist(account.name, account.gid)

    def become() -> None:
        os.setgroups(groups)
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)

    return become
