"""The sample consumer of the profile `consumer`: its start, a promotion and a rollback."""

import json
import subprocess
import threading
import time
from pathlib import Path

from engine import Failed, Project, docker, eventually, run

SWARM = "id: swarm\nflow: {{kind: seq, children: []}}\nagents: []\nmetadata: {{tags: [{tag}]}}\n"
CONSUMER = "sample-consumer"


class Lines:
    """The lines that a container prints, each with the time of its arrival here."""

    def __init__(self, container: str):
        self.seen: list[tuple[float, str]] = []
        command = ["docker", "logs", "--follow", container]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        for line in self.process.stdout:
            self.seen.append((time.monotonic(), line.strip()))

    def runs(self) -> list[tuple[float, str]]:
        """Returns the versions that the consumer has run so far, oldest first."""
        start = "consumer: runs swarm in version "
        return [
            (at, line.removeprefix(start)) for at, line in self.seen if line.startswith(start)
        ]

    def until_run(self, version: str, count: int) -> float:
        """Waits for the consumer's run number `count`, of this version. Returns its time."""

        def look():
            runs = self.runs()
            if len(runs) < count:
                raise Failed(f"{runs}")
            return runs[count - 1]

        at, found = eventually(f"the consumer runs {version}", look)
        if found != version:
            raise Failed(f"run {count} is of {found}, not of {version}: {self.runs()}")
        return at

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Consumer:
    """The steps. Each runs against the deployment that the previous step left."""

    def __init__(self, project: Project, intake: str, programs: Path, scratch: Path, say):
        self.project, self.scratch, self.say = project, scratch, say
        self.draftsman = [programs / "draftsman", "--addr", f"http://{intake}"]

    def cli(self, *words) -> dict:
        return json.loads(run(*self.draftsman, *words, "--output", "json"))

    def put(self, tag: str) -> str:
        """Writes a version and returns it."""
        file = self.scratch / "swarm.yaml"
        file.write_text(SWARM.format(tag=tag))
        return self.cli("put", file)["commit"]["version"]

    def until_applied(self, version: str) -> None:
        """Waits until `consumers` shows that the consumer has applied the version."""

        def look():
            shown = self.cli("consumers", "swarm")["consumers"]
            mine = [one for one in shown if one["consumer_id"] == CONSUMER]
            if [(one["version"], one["status"]) for one in mine] != [(version, "applied")]:
                raise Failed(f"{shown}")
            return True

        eventually(f"{CONSUMER} has applied {version}", look)

    def play(self) -> None:
        first = self.put("first")
        self.cli("promote", "swarm", "production", "--yes")
        self.project.compose("--profile", "consumer", "up", "--detach", "--no-build", "consumer")
        (container,) = eventually("the consumer runs", lambda: self.project.containers("consumer"))
        lines = Lines(container)
        try:
            lines.until_run(first, 1)
            self.until_applied(first)
            self.say("`sync --once` has fed the sample consumer, which has applied the version")
            second = self.put("second")
            self.cli("promote", "swarm", "production", "--yes")
            lines.until_run(second, 2)
            self.until_applied(second)
            began = time.monotonic()
            self.cli("rollback", "swarm", "production")
            arrived = lines.until_run(first, 3)
            self.until_applied(first)
            self.say(f"a rollback has reached the consumer after {arrived - began:.3f} s")
            held = docker("exec", container, "sha256sum", "/blueprints/swarm.yaml").split()[0]
            if held != first:
                raise Failed(f"the file has version {held}, not {first}")
            run(*self.draftsman, "archive", "swarm")
            stopped = "consumer: stops swarm"
            eventually("the consumer stops", lambda: any(stopped == s for _, s in lines.seen))
        finally:
            lines.close()
        codes = self.exit_code_of_init()
        if codes != "0":
            raise Failed(f"`sync --once` ended with status {codes}")

    def exit_code_of_init(self) -> str:
        labels = [
            f"label=com.docker.compose.project={self.project.name}",
            "label=com.docker.compose.service=blueprints",
        ]
        words = [word for one in labels for word in ("--filter", one)]
        (container,) = docker("ps", "--all", "--quiet", *words).split()
        return docker("inspect", "--format", "{{.State.ExitCode}}", container).strip()
