"""Reads each text with three YAML readers: PyYAML and libyaml (YAML 1.1), ruamel.yaml (YAML 1.2).

Usage: yaml_oracle.py <texts> <readings>

Each line of <texts> is a JSON string. Each line of <readings> is an object with a member for each
reader. It is the JSON text of the result, or null if the reader rejects the text.
"""

import json
import math
import sys

import yaml
from ruamel.yaml import YAML


def as_json(value: object) -> object:
    """Returns the value if JSON can represent it; raises ValueError otherwise."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a float that is not finite")
        return float(value)
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("a key that is not a string")
        return {key: as_json(item) for key, item in value.items()}
    raise ValueError(f"a {type(value).__name__}")


def ruamel(text: str) -> object:
    reader = YAML(typ="safe", pure=True)
    reader.version = (1, 2)
    return reader.load(text)


READERS = {
    "pyyaml": lambda text: yaml.load(text, Loader=yaml.SafeLoader),
    "libyaml": lambda text: yaml.load(text, Loader=yaml.CSafeLoader),
    "ruamel": ruamel,
}


def reading(read: object, text: str) -> str | None:
    try:
        return json.dumps(as_json(read(text)))
    except Exception:  # Each reader has its own exceptions, and some raise others.
        return None


def main() -> None:
    with (
        open(sys.argv[1], encoding="utf-8") as texts,
        open(sys.argv[2], "w", encoding="utf-8") as readings,
    ):
        for line in texts:
            text = json.loads(line)
            found = {name: reading(read, text) for name, read in READERS.items()}
            readings.write(json.dumps(found) + "\n")


main()
