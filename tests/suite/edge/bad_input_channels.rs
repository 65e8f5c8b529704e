//! The cases of `bad_input.rs` about channels and consumers.

use futures::FutureExt;
use proto::v1;
use proto::v1::version_selector::Selector;
use tests::client::Client;
use tests::factory::selector;
use tonic::Code;

use super::bad_input::{Case, refused};

/// The cases of channels.
pub(super) fn channel_cases(client: &Client, cases: &mut Vec<Case>) {
    let zero = "0".repeat(64);
    let set = |blueprint_id: &str, channel: &str, version: &str| v1::SetChannelRequest {
        blueprint_id: blueprint_id.to_owned(),
        channel: channel.to_owned(),
        version: version.to_owned(),
        ..Default::default()
    };
    let long = v1::SetChannelRequest {
        reason: Some("x".repeat(1025)),
        ..set("", "head", "")
    };
    refused! { cases, client, blueprints.set_channel(long), "SetChannel", "all wrong", InvalidArgument, ["blueprint_id", "channel", "version", "reason"] }
    for bad in ["", "Production", "1st", "latest", "a_b"] {
        refused! { cases, client, blueprints.set_channel(set("sample", bad, &zero)), "SetChannel", "no name", InvalidArgument, ["channel"] }
    }
    refused! { cases, client, blueprints.set_channel(set("nobody", "a", &zero)), "SetChannel", "unknown", NotFound, [] }
    refused! { cases, client, blueprints.set_channel(set("sample", "a", &zero)), "SetChannel", "an unknown version", FailedPrecondition, ["version"] }
    let stale = v1::SetChannelRequest {
        expected_revision: Some(1),
        ..set("sample", "a", &zero)
    };
    refused! { cases, client, blueprints.set_channel(stale), "SetChannel", "another revision", Aborted, [] }
    let delete = |blueprint_id: &str, channel: &str| v1::DeleteChannelRequest {
        blueprint_id: blueprint_id.to_owned(),
        channel: channel.to_owned(),
        expected_revision: None,
    };
    refused! { cases, client, blueprints.delete_channel(delete("", "")), "DeleteChannel", "all wrong", InvalidArgument, ["blueprint_id", "channel"] }
    refused! { cases, client, blueprints.delete_channel(delete("nobody", "a")), "DeleteChannel", "unknown", NotFound, [] }
    refused! { cases, client, blueprints.delete_channel(delete("sample", "a")), "DeleteChannel", "an unknown channel", NotFound, [] }
    let list = |blueprint_id: &str| v1::ListChannelsRequest {
        blueprint_id: blueprint_id.to_owned(),
    };
    refused! { cases, client, blueprints.list_channels(list("a/b")), "ListChannels", "no id", InvalidArgument, ["blueprint_id"] }
    refused! { cases, client, blueprints.list_channels(list("nobody")), "ListChannels", "unknown", NotFound, [] }
    let moves = |blueprint_id: &str, channel: &str, page_size| v1::ListChannelMovesRequest {
        blueprint_id: blueprint_id.to_owned(),
        channel: Some(channel.to_owned()),
        page_size,
        page_token: "zz".to_owned(),
    };
    refused! { cases, client, blueprints.list_channel_moves(moves("", "A", 0)), "ListChannelMoves", "no names", InvalidArgument, ["blueprint_id", "channel"] }
    refused! { cases, client, blueprints.list_channel_moves(moves("sample", "", -1)), "ListChannelMoves", "no page", InvalidArgument, ["page_size", "page_token"] }
    let unknown = v1::ListChannelMovesRequest {
        blueprint_id: "nobody".to_owned(),
        ..Default::default()
    };
    refused! { cases, client, blueprints.list_channel_moves(unknown), "ListChannelMoves", "unknown", NotFound, [] }
    let get = v1::GetBlueprintRequest {
        blueprint_id: "sample".to_owned(),
        selector: selector(Selector::Channel("head".to_owned())),
    };
    refused! { cases, client, blueprints.get_blueprint(get), "GetBlueprint", "no name of a channel", InvalidArgument, ["selector.channel"] }
    let get = v1::GetBlueprintRequest {
        blueprint_id: "sample".to_owned(),
        selector: selector(Selector::Channel("a".to_owned())),
    };
    refused! { cases, client, blueprints.get_blueprint(get), "GetBlueprint", "an unknown channel", NotFound, [] }
}

/// The cases of consumers and what they watch.
pub(super) fn consumer_cases(client: &Client, cases: &mut Vec<Case>) {
    let report = |blueprint_id: &str, channel: &str| v1::ReportVersionRequest {
        consumer_id: "c".to_owned(),
        blueprint_id: blueprint_id.to_owned(),
        channel: channel.to_owned(),
        version: "0".repeat(64),
        status: v1::ConsumerStatus::Applied.into(),
        message: String::new(),
    };
    let wrong = v1::ReportVersionRequest {
        channel: "head".to_owned(),
        message: "x".repeat(1025),
        ..Default::default()
    };
    refused! { cases, client, blueprints.report_version(wrong), "ReportVersion", "all wrong", InvalidArgument, ["consumer_id", "blueprint_id", "channel", "version", "status", "message"] }
    let status = v1::ReportVersionRequest {
        status: 99,
        ..report("sample", "")
    };
    refused! { cases, client, blueprints.report_version(status), "ReportVersion", "no status", InvalidArgument, ["status"] }
    refused! { cases, client, blueprints.report_version(report("nobody", "")), "ReportVersion", "unknown", NotFound, [] }
    refused! { cases, client, blueprints.report_version(report("sample", "a")), "ReportVersion", "an unknown channel", NotFound, [] }
    refused! { cases, client, blueprints.report_version(report("sample", "")), "ReportVersion", "an unknown version", FailedPrecondition, ["version"] }
    let list = v1::ListConsumersRequest {
        blueprint_id: Some("a/b".to_owned()),
        page_size: 0,
        page_token: String::new(),
    };
    refused! { cases, client, blueprints.list_consumers(list), "ListConsumers", "no id", InvalidArgument, ["blueprint_id"] }
    let list = v1::ListConsumersRequest {
        page_size: -1,
        page_token: "zz".to_owned(),
        ..Default::default()
    };
    refused! { cases, client, blueprints.list_consumers(list), "ListConsumers", "no page", InvalidArgument, ["page_size", "page_token"] }
    let watch = v1::WatchBlueprintsRequest {
        patterns: vec!["a/b".to_owned()],
        channel: "Production".to_owned(),
        known_versions: [("a".to_owned(), "1".to_owned())].into(),
        consumer_id: "a/b".to_owned(),
        ..Default::default()
    };
    refused! { cases, client, blueprints.watch_blueprints(watch), "WatchBlueprints", "all wrong", InvalidArgument, ["patterns[0]", "channel", "consumer_id", "known_versions"] }
    for n_patterns in [0, 65] {
        let watch = v1::WatchBlueprintsRequest {
            patterns: vec!["*".to_owned(); n_patterns],
            ..Default::default()
        };
        refused! { cases, client, blueprints.watch_blueprints(watch), "WatchBlueprints", "no or too many patterns", InvalidArgument, ["patterns"] }
    }
}
