"""The proxy in front of the lab, where its supervisor runs it: a hub that ends takes nobody's line along."""

from jupyterhub.proxy import ConfigurableHTTPProxy
from tornado.ioloop import PeriodicCallback

TOKEN = "CONFIGPROXY_AUTH_TOKEN"  # noqa: S105 - the variable's name
"""Environment variable with the secret that the supervisor gives proxy and hub."""


class StandingProxy(ConfigurableHTTPProxy):  # type: ignore[misc]  # JupyterHub has no types
    """A proxy that runs already, and goes on after this hub; one that was started anew is told the routes again."""

    async def start(self) -> None:
        """Look after its routes from now on; the hub itself then waits until it answers."""
        self._check_running_callback = PeriodicCallback(self.check_running, 1000 * self.check_running_interval)
        self._check_running_callback.start()

    def stop(self) -> None:
        """Look after it no more."""
        if self._check_running_callback is not None:
            self._check_running_callback.stop()

    async def check_running(self) -> None:
        """Tell it all routes where it does not know the hub's."""
        if self.app.hub.routespec not in await self.get_all_routes():
            await self.restore_routes()
