"""What every notebook of a pole has, and what none has; that they run is nbval's to show."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(ROOT.glob("*/*.ipynb"))
CURATED = [path for path in NOTEBOOKS if path.parent.name != "start"]
MOST_LINES = 10


def _read(path: Path):
    return nbformat.read(path, as_version=4)


def _code(path: Path) -> list[str]:
    return [cell.source for cell in _read(path).cells if cell.cell_type == "code"]


def _words(path: Path) -> str:
    return "\n".join(cell.source for cell in _read(path).cells if cell.cell_type == "markdown")


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def test_every_pole_has_a_notebook():
    poles = {path.parent.name for path in CURATED}
    assert poles == {"aeris", "dinamis", "formater", "odatis", "pndb", "theia"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=_name)
def test_a_notebook_is_valid_and_runs_on_the_lab_s_kernel(path):
    notebook = _read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "earthlab"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=_name)
def test_a_notebook_keeps_text_alone(path):
    for cell in _read(path).cells:
        for output in cell.get("outputs", ()):
            assert output.output_type in {"stream", "execute_result", "display_data"}
            assert output.get("name", "stdout") == "stdout"
            assert set(output.get("data", {})) <= {"text/plain"}
        assert "nbval-skip" not in cell.metadata.get("tags", ())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=_name)
def test_no_function_of_a_notebook_is_longer_than_ten_lines(path):
    for source in _code(path):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
                assert node.end_lineno - node.lineno < MOST_LINES, ast.unparse(node)[:80]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=_name)
def test_a_notebook_reads_through_the_catalogue_and_by_no_path(path):
    code = "\n".join(_code(path))
    assert re.search(r"el\.(search|open|table|plan)\(", code)
    assert not re.search(
        r"samples\.fetch|Path\(|open\(['\"]|read_csv|read_parquet|open_dataset|rasterio|/tmp|\.\./", code
    )
    assert not re.search(r"\bimport (requests|urllib|subprocess)|^!|^%", code, re.MULTILINE)


@pytest.mark.parametrize("path", CURATED, ids=_name)
def test_a_curated_notebook_tells_its_question_data_method_limits_and_how_to_go_on(path):
    words = _words(path)
    assert words.startswith("# ")
    assert re.search(r"\bIn English\b", words)
    for french in (
        "licence",
        "réel|construit|simul",
        "ne (prouve|prouvent|dit|disent) pas|ne .{0,40}prouve",
        "exercice|à vous",
        "vos données",
    ):
        assert re.search(french, words, re.IGNORECASE), french


@pytest.mark.parametrize("path", CURATED, ids=_name)
def test_a_curated_notebook_checks_a_reference_asks_the_class_and_cites_last(path):
    code = _code(path)
    whole = "\n".join(code)
    assert re.search(r"(^|\s)check\(", whole)
    assert re.search(r"(^|\s)exercise\(", whole)
    assert re.search(r"el\.show\(|\.explore\(", whole)
    assert re.search(r"\b(plot|curve)\(", whole)
    assert "cite(" in code[-1]
