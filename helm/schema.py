"""Writes helm/earthlab/values.schema.json: what the chart's values may hold, from the lab's own settings and profiles.

``make chart-schema`` runs it after a change of either; a test compares.
"""

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from earthlab.hub.profiles import Profile
from earthlab.settings import Settings

FILE = Path(__file__).resolve().parent / "earthlab/values.schema.json"
TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
QUANTITY = {"type": ["string", "number"], "pattern": r"^[0-9.]+(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"}
ADDRESS_BLOCK = {"type": "string", "pattern": r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"}
OUTSIDE = {
    "anyOf": [
        {"enum": ["0.0.0.0/0", "::/0"]},
        {"type": "string", "pattern": r"^[0-9.]+/([89]|[12][0-9]|3[0-2])$", "not": {"pattern": r"^169[.]"}},
        {
            "type": "string",
            "pattern": r"^[0-9a-fA-F:]+/(1[6-9]|[2-9][0-9]|1[01][0-9]|12[0-8])$",
            "not": {"pattern": "^[fF][c-eC-E]"},
        },
    ]
}
"""Blocks that cannot hold the cloud's metadata, and the two of which that is taken out."""
PORTS = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 1, "maximum": 65535}}
LABELS = {"type": "object", "additionalProperties": TEXT}
KEY = {"type": "string", "pattern": r"^[A-Za-z0-9._-]+$"}


def main() -> None:
    """Write the file."""
    FILE.write_text(render_schema())


def render_schema() -> str:
    """The whole schema as it is kept."""
    return json.dumps(plan_schema(), indent=1, ensure_ascii=False) + "\n"


def plan_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12."""
    volume = closed(
        {
            "size": {"type": "string"},
            "storageClass": TEXT,
            "mountPath": TEXT,
            "accessMode": {"enum": ["ReadWriteOnce", "ReadWriteMany"]},
        },
        needed=["size"],
    )
    service: dict[str, Any] = {
        "enabled": {"type": "boolean"},
        "replicas": {"type": "integer", "minimum": 1},
        "resources": closed({kind: closed({"cpu": QUANTITY, "memory": QUANTITY}) for kind in ("requests", "limits")}),
        "volume": volume,
        "prepare": {"type": "array", "items": TEXT},
        "env": LABELS,
    }
    door = {
        "type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
        "annotations": LABELS,
        "from": {"type": "array", "items": ADDRESS_BLOCK},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **closed(
            {
                "global": {"type": "object"},
                "settings": of_settings(),
                "profiles": {"type": "array", "minItems": 1, "items": of_dataclass(Profile)},
                "secrets": closed(
                    {
                        "cubes": TEXT,
                        "hub": {"type": "string", "minLength": 1},
                    }
                ),
                "image": closed(
                    {
                        "name": {"type": "string", "minLength": 1},
                        "tag": TEXT,
                        "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
                        "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
                    }
                ),
                "trust": closed({"configMap": TEXT, "key": KEY}),
                "imagePullSecrets": {"type": "array", "items": closed({"name": TEXT})},
                "nodeSelector": LABELS,
                "tolerations": {"type": "array", "items": {"type": "object"}},
                "labels": LABELS,
                "services": closed(
                    dict.fromkeys(("stac", "signing", "tiles", "workshops"), closed(service))
                    | {"ssh": closed(service | door)}
                ),
                "hubState": closed({"size": {"type": "string", "minLength": 1}, "storageClass": TEXT}),
                "networkPolicy": closed(
                    {
                        "denyByDefault": {"type": "boolean"},
                        "metadata": {"type": "array", "items": ADDRESS_BLOCK},
                        "outside": {"type": "array", "items": OUTSIDE},
                        "private": {
                            "type": "array",
                            "items": closed({"cidr": ADDRESS_BLOCK, "ports": PORTS}, needed=["cidr", "ports"]),
                        },
                        "dns": closed(
                            {
                                "namespace": TEXT,
                                "labels": LABELS,
                                "addresses": {"type": "array", "items": ADDRESS_BLOCK},
                                "ports": PORTS,
                            }
                        ),
                        "apiPorts": PORTS,
                    }
                ),
                "route": closed(
                    {
                        "enabled": {"type": "boolean"},
                        "gateway": TEXT,
                        "gatewayNamespace": TEXT,
                        "hostnames": {"type": "array", "items": TEXT},
                    }
                ),
                "monitoring": closed(
                    {
                        "enabled": {"type": "boolean"},
                        "namespace": {"type": "string", "minLength": 1},
                        "token": closed({"name": TEXT, "key": KEY}),
                        "labels": LABELS,
                    }
                ),
                # These two have schemas of their own.
                "jupyterhub": {"type": "object"},
                "dask-gateway": {"type": "object"},
            }
        ),
    }


def closed(properties: Mapping[str, Any], needed: list[str] | None = None) -> dict[str, Any]:
    """An object that takes these and nothing else."""
    required = {"required": needed} if needed else {}
    return {"type": "object", "additionalProperties": False, **required, "properties": dict(properties)}


def of_settings() -> dict[str, Any]:
    """All sections of the lab's settings."""
    hints = get_type_hints(Settings)
    return closed(
        {
            each.name: of_dataclass(hints[each.name], partial=True)
            for each in fields(Settings)
            if is_dataclass(hints[each.name])
        }
    )


def of_dataclass(kind: Any, *, partial: bool = False) -> dict[str, Any]:
    """A record's fields; those without a default are needed, unless any part of it may be given."""
    hints = get_type_hints(kind)
    needed = [each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING]
    return closed({each.name: of_type(hints[each.name]) for each in fields(kind)}, None if partial else needed)


def of_type(hint: Any) -> dict[str, Any]:
    """What a field takes."""
    origin, within = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return of_type(next(each for each in within if each is not type(None)))
    if origin is Literal:
        return {"enum": list(within)}
    if origin is tuple:
        return {"type": "array", "items": of_type(within[0])}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": of_type(within[1])}
    return {str: TEXT, Path: TEXT, int: COUNT, float: {"type": "number", "minimum": 0}, bool: {"type": "boolean"}}[hint]


if __name__ == "__main__":
    main()
