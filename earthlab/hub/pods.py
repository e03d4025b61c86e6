"""Starting a user's server as a pod: the queue, the profiles and the rights of one machine, on KubeSpawner."""

from collections.abc import AsyncIterator
from typing import Any

from kubespawner import KubeSpawner
from traitlets import Dict, Instance, Tuple

from earthlab.hub.absence import wait_for_database
from earthlab.hub.fetching import plan_far_handout
from earthlab.hub.kubernetes import HOME, choose_keys, key_words
from earthlab.hub.passes import PassStore, Share, parse_seat
from earthlab.hub.places import describe_wait, holds_place, keep_place
from earthlab.hub.profiles import SIZE, fit_seat, offered, plan_profile, seat_profile
from earthlab.hub.rights import granted_classes


class PodSpawner(KubeSpawner):  # type: ignore[misc]  # JupyterHub has no types
    """Runs each server in a pod of its own; who has no choice between profiles is asked for none."""

    profiles = Tuple(config=True, help="The `Profile`s of the lab.")
    passes = Instance(PassStore, config=True, help="The seats of workshops.")
    cube_keys = Dict(config=True, help="Secrets with the keys of shared cubes, by access classes.")
    account = None
    """Pods have no accounts of this machine: see `earthlab.hub.places`."""

    def _offer(self) -> list[dict[str, Any]]:
        found = offered(self.profiles, {group.name for group in self.user.groups})
        if parse_seat(self.user.name):
            # A class sees no choice of sizes: its workshop has planned one.
            found = (seat_profile(self.profiles),)
        return [plan_profile(each, default=each is found[0]) for each in found]

    async def load_user_options(self) -> None:
        """Choose the profile, of those that the user is offered at this moment."""
        self.profile_list = self._offer()
        await super().load_user_options()
        if share := self.passes.share(self.user.name):
            self._fit(share)

    def _fit(self, share: Share) -> None:
        size = {name: getattr(self, name) for name in SIZE}
        for name, planned in fit_seat(size, share).items():
            setattr(self, name, planned)

    async def get_options_form(self) -> str:
        """The choice between profiles, or nothing where there is none: then the server starts at once."""
        offer = self._offer()
        form: str = self._render_options_form(offer) if len(offer) > 1 else ""
        return form

    def get_env(self) -> dict[str, Any]:
        """What KubeSpawner plans, the rules of licensed data that let the user read today, and keys for no more."""
        env: dict[str, Any] = super().get_env()
        granted = granted_classes(self.user, shared=False)
        if self.cube_keys:
            secret, granted = choose_keys(self.cube_keys, granted)
            env |= key_words(secret)
        env |= plan_far_handout(self.user.name, HOME)
        return env | {"EARTHLAB__CUBES__ACCESS": ",".join(granted)}

    async def start(self) -> str:
        """Start the pod, and stay until JupyterHub can write down where it is, within the limit of a start."""
        url: str = await super().start()
        await wait_for_database(self)
        return url

    def load_state(self, state: dict[str, Any]) -> None:
        """Find the pod that an earlier hub has started, which holds its place in the queue."""
        super().load_state(state)
        if "pod_name" in state:
            keep_place(self)

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What the waiting page tells: the place in the queue, then what the cluster does for the pod."""
        async for event in describe_wait(self, until=lambda: holds_place(self)):
            yield event
        async for event in super().progress():
            yield event
