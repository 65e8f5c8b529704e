"""Finds the services by reflection, as grpcurl does, and calls them. It has no .proto file.

Usage: reflection_client.py <address>
"""

import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

DOCUMENT = '{"id": "reflected", "flow": {}, "agents": []}'


def main() -> None:
    with grpc.insecure_channel(sys.argv[1]) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        for name in ["IntakeService", "BlueprintService", "SettingService", "EnhanceLogService"]:
            assert f"enhance.v1.{name}" in services, services
        pool = DescriptorPool(database)

        def method(service, name):
            """Returns the descriptor of a method, and its request built from a dict."""
            found = pool.FindServiceByName(f"enhance.v1.{service}").FindMethodByName(name)
            request, response = (
                GetMessageClass(found.input_type),
                GetMessageClass(found.output_type),
            )
            path = f"/enhance.v1.{service}/{name}"
            return path, request, response

        def call(service, name, **fields):
            path, request, response = method(service, name)
            stub = channel.unary_unary(path, request.SerializeToString, response.FromString)
            return json_format.MessageToDict(
                stub(json_format.ParseDict(fields, request()), timeout=60)
            )

        def stream(service, name, **fields):
            path, request, response = method(service, name)
            stub = channel.unary_stream(path, request.SerializeToString, response.FromString)
            for item in stub(json_format.ParseDict(fields, request()), timeout=60):
                yield json_format.MessageToDict(item)

        assert call("BlueprintService", "PutBlueprint", document=DOCUMENT)["created"] is True
        submitted = call(
            "IntakeService", "SubmitIssue", blueprintId="reflected", intent="tag found"
        )["issue"]
        assert submitted["state"] == "ISSUE_STATE_PENDING", submitted
        seen = list(stream("IntakeService", "WatchIssue", issueId=submitted["issueId"]))
        assert seen[-1]["issue"]["state"] == "ISSUE_STATE_APPLIED", seen[-1]
        head = call("BlueprintService", "GetBlueprint", blueprintId="reflected")
        assert '"found"' in head["documentJson"], head


if __name__ == "__main__":
    main()
