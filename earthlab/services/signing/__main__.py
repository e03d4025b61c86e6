"""``python -m earthlab.services.signing``: the signing broker, as the hub starts it."""

import os
import sys
from collections.abc import Mapping

from earthlab.hub.layout import Layout, resolve_accounts, resolve_layout
from earthlab.rights import load_rules
from earthlab.services.doors import HubTokens, resolve_hub
from earthlab.services.serving import run_app
from earthlab.services.signing.app import create_app
from earthlab.services.signing.audit import Audit
from earthlab.services.signing.desk import Desk
from earthlab.services.signing.keys import KeyVault
from earthlab.services.signing.persons import HubPersons
from earthlab.services.signing.providers import plan_providers
from earthlab.services.starting import resolve_start, run_service
from earthlab.settings import load_settings


def main() -> int:
    """Serve until the hub says stop; 1 where that cannot be, with one line that says what to do."""
    return run_service(lambda: serve(os.environ))


def serve(environ: Mapping[str, str]) -> None:
    """Serve at the address the hub gave.

    Raises
    ------
    SetupError
        Where no hub started this process.
    """
    settings, hub = load_settings(environ=environ), resolve_hub(environ)
    token, host, port = resolve_start(
        environ, "The signing broker is started by the hub, which gives it a token and an address: make lab."
    )
    app = create_app(
        open_desk(resolve_layout(settings)),
        HubTokens(hub, keep=0.0),
        HubPersons(hub, token, shared=resolve_accounts(settings) == "shared"),
        prefix=environ.get("JUPYTERHUB_SERVICE_PREFIX", ""),
    )
    run_app(app, host, port)


def open_desk(layout: Layout) -> Desk:
    """The lab's own desk: rules and providers as shipped, keys and book in the operator's folder."""
    return Desk(load_rules(), plan_providers(), KeyVault(layout.signing / "keys"), Audit(layout.signing / "audit"))


if __name__ == "__main__":
    sys.exit(main())
