"""The chart as Helm itself renders it, with the charts that it stands on where they are at hand, else with stubs."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
from ruamel.yaml import YAML

CHART = Path(__file__).resolve().parents[2] / "helm/earthlab"
DEPENDENCIES = {"jupyterhub": "4.4.0", "dask-gateway": "2026.3.0"}
NEWEST = ("1.37.0", "1.36.0")
"""The two newest versions of Kubernetes that `kubernetes_validate` has the schemas of."""
UNITS = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a profile makes of the chart."""

    profile: str
    values: Mapping[str, Any]
    """All of them, the defaults too."""
    objects: tuple[dict[str, Any], ...]
    whole: bool
    """Whether the two charts below are the real ones."""

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [each for each in self.objects if each["kind"] in kinds]

    def named(self, kind: str, name: str) -> dict[str, Any]:
        (found,) = (each for each in self.of(kind) if each["metadata"]["name"] == name)
        return found

    def pods(self) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Each pod that the chart plans: its name, its metadata and its spec."""
        for each in self.objects:
            template = each.get("spec", {}).get("template") if each["kind"] != "Pod" else each
            if isinstance(template, dict) and "containers" in template.get("spec", {}):
                yield f"{each['kind']}/{each['metadata']['name']}", template["metadata"], template["spec"]


def amount(quantity: str | float) -> float:
    """Cores or bytes, as Kubernetes writes them: `200m`, `1.5Gi`."""
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(quantity))
    assert found, quantity
    return float(found[1]) * UNITS[found[2]]


def charts_at_hand() -> Path | None:
    folder = os.environ.get("EARTHLAB_CHARTS")
    return Path(folder) if folder else None


OF_THE_CHARTS = pytest.mark.skipif(charts_at_hand() is None, reason="EARTHLAB_CHARTS names no folder of the two charts")
"""What only the two charts themselves can show: stubs stand in for them where they are not at hand."""


def gather(folder: Path) -> Path:
    """A copy of the chart with what it stands on: from `EARTHLAB_CHARTS`, or stubs that take any value."""
    chart = folder / "earthlab"
    shutil.copytree(CHART, chart)
    given = charts_at_hand()
    for name, version in DEPENDENCIES.items():
        place = chart / "charts" / name
        if given:
            found = given / name if (given / name).is_dir() else next(given.glob(f"{name}-*.tgz"))
            (shutil.copytree if found.is_dir() else shutil.copy)(found, place if found.is_dir() else place.parent)
        else:
            place.mkdir(parents=True)
            (place / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: {version}\n")
    return chart


def profiles() -> list[str]:
    return ["defaults", *sorted(each.stem for each in (CHART / "profiles").glob("*.yaml"))]


def read_profile(name: str) -> dict[str, Any]:
    return {} if name == "defaults" else YAML(typ="safe").load((CHART / f"profiles/{name}.yaml").read_text())


def render(chart: Path, profile: str, values: Mapping[str, Any] | None = None) -> Rendered:
    given = json.loads(json.dumps({**read_profile(profile), **(values or {})}))
    with helm.Chart.load(chart) as loaded:
        whole = loaded.merge_values(given)
        found = loaded.render(given, name="labo", namespace="earthlab", is_install=True)
    return Rendered(profile, whole, tuple(_objects(found)), charts_at_hand() is not None)


def _objects(found: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for file, text in found.items():
        if not file.endswith("NOTES.txt"):
            yield from (each for each in YAML(typ="safe").load_all(text) if each)
