"""``python -m earthlab.kernel -f CONNECTION_FILE``: one kernel, started by Jupyter."""

from typing import Any

from ipykernel.kernelapp import IPKernelApp

import earthlab


def main() -> None:
    """Run the kernel until Jupyter ends it."""
    app: Any = IPKernelApp.instance()
    app.initialize()
    # As IPython's own names, so that %who leaves it out.
    app.shell.push({"el": earthlab}, interactive=False)
    app.start()


if __name__ == "__main__":
    main()
