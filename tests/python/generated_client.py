"""Generates a client from the .proto files, stores a Blueprint, submits an issue and watches it.

Usage: generated_client.py <address> <directory of the .proto files>
"""

import hashlib
import pathlib
import sys
import tempfile

import grpc
from grpc_tools import protoc

DOCUMENT = """
id: from-python
flow: {kind: seq, children: []}
agents: []
unknown: {empty: [], none: null, big: 1152921504606846977, one: 1.0}
"""


def generate(proto_dir: pathlib.Path) -> None:
    """Adds the generated modules of all .proto files to the module path."""
    out = tempfile.mkdtemp(prefix="draftsman-python-")
    files = [str(path) for path in sorted(proto_dir.glob("enhance/v1/*.proto"))]
    well_known = pathlib.Path(protoc.__file__).parent / "_proto"
    arguments = [
        "protoc",
        f"-I{proto_dir}",
        f"-I{well_known}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
    ]
    assert protoc.main(arguments + files) == 0, "protoc failed"
    sys.path.insert(0, out)


def main() -> None:
    address, proto_dir = sys.argv[1], pathlib.Path(sys.argv[2])
    generate(proto_dir)
    from enhance.v1 import blueprint_service_pb2 as blueprints
    from enhance.v1 import blueprint_service_pb2_grpc as blueprints_grpc
    from enhance.v1 import enhance_log_service_pb2 as log
    from enhance.v1 import enhance_log_service_pb2_grpc as log_grpc
    from enhance.v1 import intake_service_pb2 as intake
    from enhance.v1 import intake_service_pb2_grpc as intake_grpc
    from enhance.v1 import issue_pb2 as issues

    with grpc.insecure_channel(address) as channel:
        store = blueprints_grpc.BlueprintServiceStub(channel)
        queue = intake_grpc.IntakeServiceStub(channel)
        put = store.PutBlueprint(blueprints.PutBlueprintRequest(document=DOCUMENT))
        assert put.created and put.commit.seq == 1, put

        request = intake.SubmitIssueRequest(
            blueprint_id="from-python", intent="describe as seen from Python"
        )
        issue = queue.SubmitIssue(request).issue
        assert issue.state == issues.ISSUE_STATE_PENDING, issue
        watch = queue.WatchIssue(intake.WatchIssueRequest(issue_id=issue.issue_id), timeout=60)
        seen = [item.issue for item in watch]  # Ends by itself, or raises.
        assert [i.revision for i in seen] == sorted({i.revision for i in seen}), seen
        assert seen[-1].state == issues.ISSUE_STATE_APPLIED, seen[-1]

        head = store.GetBlueprint(blueprints.GetBlueprintRequest(blueprint_id="from-python"))
        assert head.commit.version == seen[-1].new_version
        assert hashlib.sha256(head.document_yaml.encode()).hexdigest() == head.commit.version
        assert (
            '"big":1152921504606846977' in head.document_json.replace(" ", "")
        ), head.document_json

        entries = log_grpc.EnhanceLogServiceStub(channel)
        entry = entries.GetLogEntry(log.GetLogEntryRequest(issue_id=issue.issue_id)).entry
        assert (
            entry.status == "applied" and [v.status for v in entry.verdicts] == ["pass"] * 4
        ), entry

        try:
            queue.SubmitIssue(intake.SubmitIssueRequest(blueprint_id="nobody", intent="x"))
            raise AssertionError("an unknown target was taken")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error


if __name__ == "__main__":
    main()
