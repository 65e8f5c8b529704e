"""The images of the test, built without a registry.

The base comes from debootstrap; the image of Draftsman is built on top of it.
"""

import os
import shutil
import subprocess
from pathlib import Path

from engine import ROOT, docker, run

# The user id in the official image, which the compose file expects.
REDIS_UID = 999


def missing() -> str | None:
    """Returns why no base image can be built here, or None if one can be, or is given."""
    if os.environ.get("DRAFTSMAN_TEST_BASE_IMAGE"):
        return None
    if shutil.which("debootstrap") is None:
        return (
            "there is no debootstrap to make a base image with "
            "(or name one with redis-server in DRAFTSMAN_TEST_BASE_IMAGE)"
        )
    if os.geteuid() != 0:
        return (
            "debootstrap needs root "
            "(or name a base image with redis-server in DRAFTSMAN_TEST_BASE_IMAGE)"
        )
    if release() is None:
        return (
            "this is no Debian: "
            "debootstrap would not know which release fits the programs built here"
        )
    return None


def release() -> str | None:
    """Returns the code name of this machine's Debian, so that programs built here run on it."""
    lines = (
        Path("/etc/os-release").read_text().splitlines()
        if Path("/etc/os-release").exists()
        else []
    )
    facts = dict(line.split("=", 1) for line in lines if "=" in line)
    return facts.get("VERSION_CODENAME") if facts.get("ID") == "debian" else None


def mirror() -> list[str]:
    """Returns the package source of this machine as an argument of debootstrap.

    Without a known source, debootstrap uses its default.
    """
    listing = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)")
    for line in listing.splitlines():
        words = line.split()
        if words[1:] == [release(), "main"]:
            return [words[0]]
    return []


def make_base(tag: str, scratch: Path) -> None:
    """Builds a small Debian with redis-server as the image `tag`."""
    root = scratch / "root"
    run(
        "debootstrap",
        "--variant=minbase",
        "--include=redis-server,ca-certificates",
        release(),
        root,
        *mirror(),
    )
    # The official Redis image has this directory too.
    data = root / "data"
    data.mkdir()
    os.chown(data, REDIS_UID, REDIS_UID)
    # Package lists make up half of the size.
    for useless in (root / "var/lib/apt/lists", root / "var/cache/apt"):
        shutil.rmtree(useless, ignore_errors=True)
    packed = subprocess.Popen(["tar", "--directory", root, "--create", "."], stdout=subprocess.PIPE)
    docker("import", "-", tag, stdin=packed.stdout)
    if packed.wait() != 0:
        raise RuntimeError("tar could not pack the base image")
    shutil.rmtree(root)


def make_programs(tag: str, base: str, programs: Path) -> None:
    """Builds the image of deploy/Dockerfile with the programs of a directory, as `tag`."""
    into = ROOT / "target/image"
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for name in ("intake", "worker", "draftsman"):
        # Debugging information makes up most of a test build.
        run("strip", "--output-file", into / name, programs / name)
    docker("build", "--file", ROOT / "deploy/Dockerfile", "--target", "prebuilt", "--tag", tag,
           "--build-arg", f"RUNTIME_IMAGE={base}", ROOT)
    shutil.rmtree(into)
