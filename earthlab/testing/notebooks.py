"""A pytest plugin that gives notebooks what the hub would: ``pytest -p earthlab.testing.notebooks --nbval …``.

The real embedded catalogue is served on a free port while the session runs, and the kernels find it through
the same two variables as in the lab. There is no gateway: `earthlab.cluster` falls back to a local cluster and says so.
What is compared is text: printed lines and plain representations. At the end a table lists every figure that the
notebooks compared with its reference, see `earthlab.teaching.check`.

``python -m earthlab.testing.notebooks FILE…`` runs notebooks in the same surroundings and writes into them the outputs
that are compared, and no others.
"""

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import nbformat
import pytest
from nbclient import NotebookClient

from earthlab.services.stac.archive import build_catalogue
from earthlab.teaching import RECORD
from earthlab.testing.catalogues import bring_catalogue
from earthlab.testing.stac import serve_catalogue

_TOKEN = "notebooks-under-test"  # noqa: S105 - guards nothing but this session's own service
_COMPARED = ("text/plain",)
_NOT_COMPARED = ("stderr", "text/html", "application/vnd.jupyter.widget-view+json", "image/png")
"""Progress and warnings, which name places of this machine, and pictures: figures are checked by their data."""
_IGNORED = "nbval-ignore-output"
_CELL_SECONDS = 300
_CHECKS = "checks"
"""What a report of pytest carries from the process that ran a cell to the one that prints the table."""


@dataclass(slots=True)
class _Session:
    stack: ExitStack
    record: Path
    read: int = 0
    checks: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def read_new_checks(self) -> list[dict[str, str]]:
        lines = self.record.read_text(encoding="utf-8").splitlines() if self.record.exists() else []
        new, self.read = lines[self.read :], len(lines)
        return [json.loads(line) for line in new]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        notebook = Path(report.nodeid.partition("::")[0]).stem
        self.seconds[notebook] = self.seconds.get(notebook, 0.0) + report.duration
        for name, checks in report.user_properties:
            if name == _CHECKS:
                self.checks += [(notebook, check) for check in cast("list[dict[str, str]]", checks)]


_SESSION = pytest.StashKey[_Session]()


@contextmanager
def notebook_surroundings(folder: Path) -> Iterator[None]:
    """The catalogue, built in ``folder`` unless it is there, and served; and the variables by which kernels find it."""
    build_catalogue(folder / "catalogue", lambda *_: None)
    with (
        serve_catalogue(folder / "catalogue", _TOKEN) as served,
        _environment(EARTHLAB__CATALOGUE__URL=served.url, JUPYTERHUB_API_TOKEN=_TOKEN),
    ):
        yield


def pytest_configure(config: pytest.Config) -> None:
    """Serve the catalogue before the first notebook starts its kernel; one for all processes of pytest-xdist."""
    stack = ExitStack()
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="earthlab-notebooks-")))
    session = config.stash[_SESSION] = _Session(stack, folder / "checks")
    config.pluginmanager.register(session)
    if not hasattr(config, "workerinput"):
        bring_catalogue(config, folder)
        stack.enter_context(notebook_surroundings(folder))
    stack.enter_context(_environment(**{RECORD: str(session.record)}))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the service and remove what was built."""
    config.stash[_SESSION].stack.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have nbval compare text alone."""
    for item in items:
        item.parent.skip_compare = (*item.parent.skip_compare, *_NOT_COMPARED)  # type: ignore[union-attr]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note what the cell compared."""
    report = yield
    report.user_properties.append((_CHECKS, item.config.stash[_SESSION].read_new_checks()))
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table of figures."""
    session = config.stash[_SESSION]
    terminalreporter.section("figures of the notebooks, beside their references")
    for line in render_table(sorted(session.checks, key=lambda check: check[0]), session.seconds):
        terminalreporter.write_line(line)


def render_table(checks: Sequence[tuple[str, dict[str, str]]], seconds: Mapping[str, float]) -> Iterator[str]:
    """Notebook, what was compared, reference, found, tolerance; then each notebook's seconds."""
    head = {"name": "figure", "reference": "reference", "found": "found", "tolerance": "tolerance"}
    rows = [("notebook", head), *checks]
    columns = [[notebook for notebook, _ in rows], *([said[key] for _, said in rows] for key in head)]
    widths = [min(max(map(len, column)), 44) for column in columns]
    for row in zip(*columns, strict=True):
        yield "  ".join(_fit(text, width) for text, width in zip(row, widths, strict=True)).rstrip()
    yield ""
    compared = Counter(notebook for notebook, _ in checks)
    for notebook, taken in sorted(seconds.items()):
        yield f"{notebook:40} {taken:6.1f} s  {compared[notebook]} figures"


def _fit(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 1] + "…"


def write_outputs(path: Path) -> None:
    """Run a notebook and keep in it the outputs that are compared."""
    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(path.parent)}}
    # What a cell prints comes in as many parts as the machine is slow: one text, so that the file stays the same.
    client = NotebookClient(notebook, timeout=_CELL_SECONDS, resources=folder, coalesce_streams=True)
    client.execute()
    for number, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), start=1):
        ignored = _IGNORED in cell.metadata.get("tags", ())
        cell.execution_count = number
        cell.outputs = [] if ignored else list(_kept_outputs(cell.outputs, number))
        cell.metadata.pop("execution", None)
    notebook.metadata.pop("widgets", None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    nbformat.write(notebook, path)


def _kept_outputs(outputs: Iterable[Any], number: int) -> Iterator[Any]:
    for output in outputs:
        if output.output_type == "stream" and output.name == "stdout":
            yield output
        elif "data" in output and any(kind in output.data for kind in _COMPARED):
            data = {kind: output.data[kind] for kind in _COMPARED if kind in output.data}
            counted = {"execution_count": number} if output.output_type == "execute_result" else {}
            yield nbformat.v4.new_output(output.output_type, data=data, **counted)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def main(arguments: Sequence[str]) -> None:
    """Write the outputs of notebooks."""
    parser = argparse.ArgumentParser(prog="python -m earthlab.testing.notebooks", description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path)
    with tempfile.TemporaryDirectory(prefix="earthlab-notebooks-") as folder, notebook_surroundings(Path(folder)):
        for path in parser.parse_args(arguments).notebooks:
            write_outputs(path)
            print(f"{path}: written")  # noqa: T201 - a command


if __name__ == "__main__":
    main(sys.argv[1:])
