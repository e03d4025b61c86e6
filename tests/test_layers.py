"""The house plan, checked: who may import whom, and how long a function or a file may be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
MOST_FUNCTION_LINES = 60
MOST_FILE_LINES = 700


def test_imports_point_down_only():
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"], cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_the_library_loads_no_science():
    heavy = "{'numpy', 'dask', 'xarray', 'rasterio', 'pystac_client', 'ipyleaflet'}"
    code = f"import sys, earthlab; found = {heavy} & set(sys.modules); sys.exit(f'loaded: {{found}}' if found else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "path", sorted((CHECKOUT / "earthlab").rglob("*.py")), ids=lambda p: str(p.relative_to(CHECKOUT))
)
def test_a_file_and_its_functions_stay_readable(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MOST_FILE_LINES
    long = {
        node.name: body_lines(node)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > MOST_FUNCTION_LINES
    }
    assert not long


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0
