"""Prints a software bill of materials in CycloneDX 1.5, from `cargo metadata` on standard input.

It has the packages that are compiled into intake, worker and draftsman: no tools of the build and
no dependencies of tests.
"""

import json
import sys

PROGRAMS = {"intake", "worker", "cli"}


def reached(metadata: dict) -> list[str]:
    """Returns the ids of the packages in the programs, sorted."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    members = set(metadata["workspace_members"])
    waiting = [
        package["id"]
        for package in metadata["packages"]
        if package["id"] in members and package["name"] in PROGRAMS
    ]
    found = set()
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        for dependency in nodes[one]["deps"]:
            # The kind of an ordinary dependency is null.
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    return sorted(found)


def component(package: dict) -> dict:
    """Returns the description of a package."""
    described = {
        "type": "library",
        "name": package["name"],
        "version": package["version"],
        "bom-ref": f"{package['name']}@{package['version']}",
        "purl": f"pkg:cargo/{package['name']}@{package['version']}",
    }
    if package["license"]:
        # An old form of `OR`.
        expression = package["license"].replace("/", " OR ")
        described["licenses"] = [{"expression": expression}]
    return described


def main() -> None:
    metadata = json.load(sys.stdin)
    packages = {package["id"]: package for package in metadata["packages"]}
    version = next(p["version"] for p in metadata["packages"] if p["name"] == "cli")
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "name": "draftsman", "version": version}
        },
        "components": [component(packages[one]) for one in reached(metadata)],
    }
    json.dump(bom, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
