"""JSON as requests send it: standard values only, and text that can be written again."""

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises
    ------
    ValueError
        Where it is not JSON, is nested too deeply, holds NaN, Infinity or a number beyond all doubles, or halves of
        surrogate pairs, which are no characters.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError as exc:
        raise ValueError("the JSON is nested too deeply") from exc
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
