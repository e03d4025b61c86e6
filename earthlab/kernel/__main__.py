"""``python -m earthlab.kernel -f CONNECTION_FILE``: one kernel, started by Jupyter."""

from earthlab.kernel.app import LabKernelApp

if __name__ == "__main__":
    app = LabKernelApp.instance()
    app.initialize()
    app.start()  # type: ignore[no-untyped-call]
