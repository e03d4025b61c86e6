"""Run the lab's Dask Gateway until SIGTERM; the hub starts it."""

import logging
import os
import signal
import socket
import sys
from functools import partial

from dask_gateway_server.app import DaskGateway
from traitlets.config import Config

from earthlab.errors import SetupError
from earthlab.hub.accounts import resolve_account
from earthlab.hub.layout import resolve_accounts, resolve_layout, resolve_ports
from earthlab.services.gateway.configure import configure_gateway
from earthlab.settings import load_settings


class EarthlabGateway(DaskGateway):  # type: ignore[misc]  # the gateway ships no types
    """The gateway's server, which stops its clusters first and keeps a quiet log."""

    _ending = False

    def initialize(self, argv: list[str] | None = None) -> None:
        """Prepare the server."""
        super().initialize(argv)
        self.log.addFilter(_is_news)

    def handle_shutdown_signal(self, sig: signal.Signals) -> None:
        """End at the first signal; a second one while clusters are being stopped would only leave things behind."""
        if not self._ending:
            self._ending = True
            super().handle_shutdown_signal(sig)

    async def cleanup(self) -> None:
        """Stop all clusters, then the server: who waits for a cluster's start is told, not waited for."""
        await self.backend.stop_all()
        await super().cleanup()


def _is_news(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or "heartbeat" not in record.getMessage()


def main() -> int:
    """Start the gateway; the exit code is 1, with one line on stderr, where the machine is not as it has to be."""
    try:
        app = _build_app()
    except SetupError as exc:
        sys.stderr.write(f"dask-gateway: {exc}\n")
        return 1
    app.start()
    return 0


def _build_app() -> EarthlabGateway:
    settings = load_settings()
    layout, ports = resolve_layout(settings), resolve_ports(settings)
    config = Config()
    account_of = partial(resolve_account, layout=layout, mode=resolve_accounts(settings))
    configure_gateway(config, layout, settings, os.environ, account_of=account_of)
    refuse_taken_ports(ports.gateway, ports.gateway_tls, ports.gateway_api)
    app = EarthlabGateway(config=config, config_file="")
    app.initialize([])
    return app


def refuse_taken_ports(*ports: int) -> None:
    """Raise SetupError, naming them, where ports that the gateway needs are in use."""
    taken = [str(port) for port in ports if not _is_free(port)]
    if taken:
        raise SetupError(
            f"port {', '.join(taken)} of 127.0.0.1 is taken. Stop what listens there, or set EARTHLAB__LAB__PORT."
        )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
