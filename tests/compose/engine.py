"""Functions over the container engine and its Compose, for both kinds of Compose."""

import json
import shutil
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Far above any real duration on two busy cores; only a failing test waits that long.
WAIT_LIMIT_SECS = 180


class Failed(Exception):
    """A failed expectation. The text says what was expected and what was observed."""


def run(*command, env=None, cwd=ROOT, stdin=None) -> str:
    """Returns what a command prints. Raises Failed with all its output if it does not succeed."""
    done = subprocess.run(
        [str(word) for word in command],
        env=env,
        cwd=cwd,
        stdin=stdin,
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise Failed(
            f"{' '.join(map(str, command))}: status {done.returncode}\n"
            f"{done.stdout}\n{done.stderr}"
        )
    return done.stdout


def docker(*arguments, **options) -> str:
    return run("docker", *arguments, **options)


def eventually(what: str, look):
    """Calls `look` until it returns a true value, and returns that value.

    Until then, `look` may raise Failed.
    """
    began, seen = time.monotonic(), None
    while time.monotonic() - began < WAIT_LIMIT_SECS:
        try:
            found = look()
            if found:
                return found
            seen = found
        except Failed as error:
            seen = error
        time.sleep(0.2)  # Interval of polling.
    raise Failed(f"{what}: not within {WAIT_LIMIT_SECS} s; last seen: {seen}")


def missing() -> str | None:
    """Returns the reason why nothing can run on this machine, or None if it can."""
    if shutil.which("docker") is None:
        return "there is no docker"
    answer = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    if answer.returncode != 0 or "ERROR" in answer.stdout:
        return "no container engine answers `docker info`"
    if compose_command() is None:
        return "there is neither `docker compose` nor `docker-compose`"
    return None


def compose_command() -> list[str] | None:
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            answer = subprocess.run([*command, "version"], capture_output=True, check=False)
            if answer.returncode == 0:
                return command
    return None


class Project:
    """The containers, networks and volumes of one Compose project: everything with its label."""

    def __init__(self, name: str, files: list[Path], env: dict):
        self.name, self.env = name, env
        self.command = [*compose_command(), "--project-name", name]
        for file in files:
            self.command += ["--file", file]

    def compose(self, *arguments, **options) -> str:
        return run(*self.command, *arguments, env=self.env, **options)

    def containers(self, service: str, *filters: str) -> list[str]:
        """Returns the ids of the running containers of a service."""
        labels = [
            f"label=com.docker.compose.project={self.name}",
            f"label=com.docker.compose.service={service}",
        ]
        words = [word for one in [*labels, *filters] for word in ("--filter", one)]
        return docker("ps", "--quiet", "--no-trunc", *words).split()

    def until_healthy(self, service: str, count: int) -> list[str]:
        """Waits until exactly `count` containers of a service run and are healthy."""

        def look():
            all_of_them, healthy = (
                self.containers(service),
                self.containers(service, "health=healthy"),
            )
            if len(all_of_them) == len(healthy) == count:
                return healthy
            raise Failed(f"{len(all_of_them)} run, {len(healthy)} healthy")

        return eventually(f"{count} of {service} are healthy", look)

    def exit_codes(self, service: str, since: float) -> list[int]:
        """Returns the exit codes of a service's containers since a time in seconds of the epoch."""
        filters = ["event=die", f"label=com.docker.compose.project={self.name}",
                   f"label=com.docker.compose.service={service}"]
        words = [word for one in filters for word in ("--filter", one)]
        window = ["--since", f"{since:.3f}", "--until", f"{time.time():.3f}"]
        lines = docker(
            "events", *window, *words, "--format", "{{json .Actor.Attributes}}"
        ).splitlines()
        return [int(json.loads(line)["exitCode"]) for line in lines]

    def remove(self) -> None:
        """Removes everything of the project, including items that Compose no longer lists."""
        subprocess.run(
            [
                *map(str, self.command), "--profile", "tls", "--profile", "consumer",
                "down", "--volumes", "--timeout", "5",
            ],
            env=self.env,
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        mine = ["--quiet", "--filter", f"label=com.docker.compose.project={self.name}"]
        for listing, removing in (
            (["ps", "--all"], ["rm", "--force", "--volumes"]),
            (["network", "ls"], ["network", "rm"]),
            (["volume", "ls"], ["volume", "rm"]),
        ):
            left = docker(*listing, *mine).split()
            if left:
                docker(*removing, *left)
