"""Submits issues over gRPC from outside the containers, with a client generated from proto/."""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

from engine import ROOT, Failed, eventually

sys.path.insert(0, str(ROOT / "tests/python"))
import generated_client  # noqa: E402

DOCUMENT = "id: {id}\nflow: {{kind: seq, children: []}}\nagents: []\nmetadata: {{tags: []}}\n"
N_BLUEPRINTS = 40
N_SUBMITTERS = 8


class Load:
    """A client that records the accepted issues.

    It repeats calls that end with UNAVAILABLE, under the same id.
    """

    def __init__(self, address: str):
        generated_client.generate(ROOT / "proto")
        from enhance.v1 import blueprint_service_pb2, blueprint_service_pb2_grpc
        from enhance.v1 import intake_service_pb2, intake_service_pb2_grpc

        self.messages = intake_service_pb2
        channel = grpc.insecure_channel(address)
        self.intake = intake_service_pb2_grpc.IntakeServiceStub(channel)
        blueprints = blueprint_service_pb2_grpc.BlueprintServiceStub(channel)
        self.ids = [f"blueprint-{n:02}" for n in range(N_BLUEPRINTS)]
        for blueprint_id in self.ids:
            document = DOCUMENT.format(id=blueprint_id)
            self.call(
                blueprints.PutBlueprint,
                blueprint_service_pb2.PutBlueprintRequest(document=document),
            )
        # Accepted issues by Blueprint, each in the order of acceptance.
        self.accepted = {blueprint_id: [] for blueprint_id in self.ids}
        self.submitters = ThreadPoolExecutor(N_SUBMITTERS)

    def call(self, method, request):
        """Returns the answer. Waits while intake or its Redis is unavailable."""

        def once():
            try:
                return method(request, timeout=15)
            except grpc.RpcError as error:
                if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise Failed(error.details()) from error
                raise

        return eventually("intake answers", once)

    def submit(self, count: int):
        """Starts to submit `count` issues, evenly over all Blueprints.

        Returns a function that waits until all of them are accepted.
        """
        shares = [count // N_BLUEPRINTS + (n < count % N_BLUEPRINTS) for n in range(N_BLUEPRINTS)]
        running = [self.submitters.submit(self.submit_to, *one) for one in zip(self.ids, shares)]
        return lambda: [one.result() for one in running]

    def submit_to(self, blueprint_id: str, count: int) -> None:
        mine = self.accepted[blueprint_id]
        for _ in range(count):
            issue_id = f"{blueprint_id}-{len(mine):04}"
            request = self.messages.SubmitIssueRequest(
                blueprint_id=blueprint_id, issue_id=issue_id, intent=f"tag n{len(mine)}"
            )
            self.call(self.intake.SubmitIssue, request)
            mine.append(issue_id)

    def stats(self):
        return self.call(self.intake.GetQueueStats, self.messages.GetQueueStatsRequest())

    def until_working(self) -> None:
        """Waits until an issue is in flight."""
        eventually("work is in flight", lambda: self.stats().in_flight > 0)

    def until_decided(self) -> None:
        """Waits until nothing is pending or in flight."""

        def look():
            stats = self.stats()
            if stats.pending == stats.in_flight == 0:
                return True
            raise Failed(
                f"{stats.pending} pending, {stats.delayed} of them delayed, "
                f"{stats.in_flight} in flight"
            )

        eventually("everything is decided", look)

    def all_accepted(self) -> list[str]:
        return [issue_id for ids in self.accepted.values() for issue_id in ids]
