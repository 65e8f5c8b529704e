"""The client of docs/clients.md: submits an issue and follows it across restarts of intake.

Usage: reconnecting_client.py <address> <directory of the .proto files>
"""

import pathlib
import sys

import grpc

from generated_client import generate

DOCUMENT = '{"id": "reconnecting", "flow": {}, "agents": []}'

generate(pathlib.Path(sys.argv[2]))

# ---- docs/clients.md shows what follows, up to the next such line ----
import time
import uuid

import grpc
from enhance.v1 import intake_service_pb2 as intake
from enhance.v1 import intake_service_pb2_grpc as intake_grpc
from enhance.v1 import issue_pb2 as issues

FINAL = (issues.ISSUE_STATE_APPLIED, issues.ISSUE_STATE_REJECTED)
# Each of the last three can end a stream whose connection broke.
TEMPORARY = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
)


def submit_and_wait(channel, blueprint_id, intent, timeout_secs=600):
    """Submits an issue once, across interruptions, and returns it when it is decided."""
    queue = intake_grpc.IntakeServiceStub(channel)
    # The caller chooses the id, so it is safe to submit the same content again.
    request = intake.SubmitIssueRequest(
        blueprint_id=blueprint_id, intent=intent, issue_id=str(uuid.uuid4())
    )
    give_up_at = time.monotonic() + timeout_secs
    issue = None
    while issue is None or issue.state not in FINAL:
        try:
            if issue is None:
                issue = queue.SubmitIssue(request, timeout=30).issue
            for message in queue.WatchIssue(intake.WatchIssueRequest(issue_id=issue.issue_id)):
                issue = message.issue
        except grpc.RpcError as error:
            if error.code() not in TEMPORARY or time.monotonic() > give_up_at:
                raise
            time.sleep(1)
    return issue
# ---- the end of what docs/clients.md shows ----


def main() -> None:
    from enhance.v1 import blueprint_service_pb2 as blueprints
    from enhance.v1 import blueprint_service_pb2_grpc as blueprints_grpc

    with grpc.insecure_channel(sys.argv[1]) as channel:
        blueprints_grpc.BlueprintServiceStub(channel).PutBlueprint(
            blueprints.PutBlueprintRequest(document=DOCUMENT)
        )
        issue = submit_and_wait(channel, "reconnecting", "tag found")
        assert issue.state == issues.ISSUE_STATE_APPLIED, issue


if __name__ == "__main__":
    main()
