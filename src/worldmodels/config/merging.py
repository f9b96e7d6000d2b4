"""Entries of a configuration laid over others."""

from collections.abc import Mapping
from typing import Any


def merged(base: Mapping[str, Any], override: Mapping[str, Any], whole: tuple[str, ...] = ()) -> dict[str, Any]:
    """`base` with the entries of `override`: mappings merge, anything else replaces, and so do the keys in `whole`."""
    result = dict(base)
    for key, value in override.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value, whole) if both and key not in whole else value
    return result
