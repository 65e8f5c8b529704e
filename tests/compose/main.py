"""`make test-compose`: deploy/docker-compose.yml on a real engine, without a registry.

The test submits 1,000 issues from outside. Meanwhile it scales workers to 6, 2 and 8, kills one,
pauses one, disconnects one, and restarts Redis. After each step all issues must be decided without
waiting for the removed workers. At the end the checker must find nothing. Then the sample consumer
must follow a promotion and a rollback. The test removes everything that it created, also after a
failure, and changes nothing else.

Usage: main.py <directory of the built programs>
"""

import json
import os
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

import engine
import images
from consumer import Consumer
from engine import ROOT, Failed, Project, docker, eventually, run
from load import Load

STARTED = time.monotonic()
# The default would not show that the variables work.
PASSWORD = "compose0test"


def say(text: str) -> None:
    print(f"test-compose: {time.monotonic() - STARTED:5.0f} s  {text}", flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def hold(truth: bool, text: str) -> None:
    if not truth:
        raise Failed(text)


class Scenario:
    """The steps. Each runs against the deployment that the previous step left."""

    def __init__(
        self, project: Project, intake: str, redis_url: str, programs: Path, scratch: Path
    ):
        self.project, self.intake, self.redis_url = project, intake, redis_url
        self.programs, self.scratch = programs, scratch

    def scale(self, count: int) -> list[str]:
        self.project.compose("up", "--detach", "--no-build", "--scale", f"worker={count}")
        return self.project.until_healthy("worker", count)

    def under_load(self, count: int, title: str):
        """Starts to submit and waits for work in flight.

        Returns a function that waits for the decisions.
        """
        say(f"{count} issues; {title}")
        accepted = self.load.submit(count)
        self.load.until_working()

        def until_decided():
            accepted()
            self.load.until_decided()

        return until_decided

    def play(self) -> None:
        # Without `--scale`, .env says how many workers run.
        self.project.compose("up", "--detach", "--no-build")
        self.project.until_healthy("worker", 3)
        self.scale(6)
        self.project.until_healthy("intake", 1)
        self.load = Load(self.intake)
        say("intake and 6 workers are healthy")

        until_decided = self.under_load(250, "6 workers become 2")
        before = time.time()
        self.scale(2)
        codes = self.project.exit_codes("worker", before)
        hold(codes == [0, 0, 0, 0], f"four workers were asked to end; exit codes {codes}")
        until_decided()

        until_decided = self.under_load(150, "2 workers become 8")
        workers = self.scale(8)
        until_decided()

        until_decided = self.under_load(150, "one is killed")
        docker("kill", "--signal", "KILL", workers[0])
        until_decided()

        until_decided = self.under_load(150, "one is paused")
        docker("pause", workers[1])
        until_decided()
        docker("unpause", workers[1])

        until_decided = self.under_load(150, "the network of one is cut")
        network = f"{self.project.name}_default"
        docker("network", "disconnect", network, workers[2])
        until_decided()
        docker("network", "connect", network, workers[2])

        until_decided = self.under_load(150, "Redis is restarted")
        self.project.compose("restart", "redis")
        until_decided()

        # The paused and the disconnected worker are healthy again; the killed one is replaced.
        self.scale(8)
        self.check()
        self.check_containers()
        self.over_tls()
        Consumer(self.project, self.intake, self.programs, self.scratch, say).play()

    def check(self) -> None:
        ids = self.load.all_accepted()
        hold(len(ids) == 1000, f"{len(ids)} issues were accepted")
        listing = self.scratch / "accepted"
        listing.write_text("".join(f"{issue_id}\n" for issue_id in ids))
        found = run(self.programs / "check", "--intake", self.intake, "--redis-url", self.redis_url,
                    "--acknowledged", listing, "--most-attempts", 5)
        say(found.strip().splitlines()[-1])
        doctor = self.project.compose("exec", "-T", "intake", "draftsman", "doctor")
        hold("bad " not in doctor, doctor)

    def check_containers(self) -> None:
        """Checks that the engine applies the limits, and that Redis requires its password."""
        for service in ("redis", "intake", "worker"):
            for container in self.project.containers(service):
                host = json.loads(docker("inspect", container))[0]["HostConfig"]
                limits = host["PidsLimit"], host["LogConfig"]["Config"].get("max-size")
                hold(limits == (512, "10m"), f"{service}: {limits}")
                hold(host["Memory"] > 0 and host["ReadonlyRootfs"], f"{service}: {host}")
        answer = self.project.compose("exec", "-T", "redis", "env", "-u", "REDISCLI_AUTH",
                                      "redis-cli", "ping")
        hold("NOAUTH" in answer, f"Redis without a password: {answer}")
        say("limits and password are in effect")

    def over_tls(self) -> None:
        """Reaches the second intake, of the profile tls, with its certificate."""
        if shutil.which("openssl") is None:
            say("no openssl: the profile tls was not tried")
            return
        tls = Path(self.project.env["DRAFTSMAN_TLS_DIR"])
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-noenc", "-days", 1, "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost",
            "-addext", "basicConstraints=critical,CA:FALSE",
            "-keyout", tls / "key.pem", "-out", tls / "cert.pem")
        (tls / "key.pem").chmod(0o644)  # The container's user must be able to read it.
        self.project.compose(
            "--profile", "tls", "up", "--detach", "--no-build", "--no-deps", "intake-tls"
        )
        self.project.until_healthy("intake-tls", 1)
        port = self.project.env["DRAFTSMAN_PUBLISH_TLS"].rsplit(":", 1)[1]
        arguments = ["--addr", f"https://localhost:{port}", "--ca", tls / "cert.pem", "stats"]
        eventually("intake-tls answers", lambda: run(self.programs / "draftsman", *arguments))
        say("the intake of the profile tls answers")


def main() -> int:
    reason = engine.missing() or images.missing()
    if reason:
        print(f"test-compose: skipped: {reason}")
        return 0
    programs = Path(sys.argv[1]).resolve()
    name = f"draftsman-test-{os.getpid()}"
    given = os.environ.get("DRAFTSMAN_TEST_BASE_IMAGE")
    base, image = given or f"{name}:base", f"{name}:programs"
    (ROOT / "target").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="compose-", dir=ROOT / "target") as scratch:
        scratch = Path(scratch)
        scratch.chmod(0o755)
        tls = scratch / "tls"
        tls.mkdir()
        intake, redis_port = f"127.0.0.1:{free_port()}", free_port()
        redis_url = f"redis://:{PASSWORD}@127.0.0.1:{redis_port}"
        # Keeps the developer's .env and shell variables out of the containers.
        env = {
            key: os.environ[key] for key in ("PATH", "HOME", "DOCKER_HOST") if key in os.environ
        } | {
            "DRAFTSMAN_IMAGE": image,
            "REDIS_IMAGE": base,
            "DRAFTSMAN_PUBLISH": intake,
            "DRAFTSMAN_PUBLISH_TLS": f"127.0.0.1:{free_port()}",
            "DRAFTSMAN_TLS_DIR": str(tls),
            "DRAFTSMAN_LEASE_SECS": "3",
            "DRAFTSMAN_CONCURRENCY": "4",
            "TEST_REDIS_PORT": str(redis_port),
            "REDIS_PASSWORD": PASSWORD,
            "DRAFTSMAN_REDIS_URL": f"redis://:{PASSWORD}@redis:6379",
            "DRAFTSMAN_WORKERS": "3",
        }
        project = Project(
            name, [ROOT / "deploy/docker-compose.yml", ROOT / "tests/compose/override.yml"], env
        )
        try:
            if not given:
                images.make_base(base, scratch)
                say("the base image is made")
            images.make_programs(image, base, programs)
            say("the image of Draftsman is built")
            Scenario(project, intake, redis_url, programs, scratch).play()
        except Failed as failure:
            print(f"test-compose: failed: {failure}", file=sys.stderr)
            for service in ("redis", "intake", "worker", "blueprints", "consumer"):
                for container in project.containers(service):
                    print(f"--- {service} {container[:12]}", file=sys.stderr)
                    os.system(f"docker logs --tail 30 {container} >&2")
            return 1
        finally:
            project.remove()
            for tag in [image] if given else [image, base]:
                if docker("images", "--quiet", tag):
                    docker("rmi", tag)
    say("everything was removed; passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
