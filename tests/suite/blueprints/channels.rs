//! Channels over gRPC and on the command line: reasons of refusals, promote and rollback.

use proto::v1;
use proto::v1::version_selector::Selector;
use serde_json::Value;
use tests::factory;
use tests::programs::{Finished, Program, run};
use tests::rig::Rig;
use tonic::{Code, Status};
use tonic_types::StatusExt;

fn set(channel: &str, version: &str) -> v1::SetChannelRequest {
    v1::SetChannelRequest {
        blueprint_id: "swarm".to_owned(),
        channel: channel.to_owned(),
        version: version.to_owned(),
        ..Default::default()
    }
}

async fn send(rig: &Rig, request: v1::SetChannelRequest) -> Result<v1::SetChannelResponse, Status> {
    let answer = rig.client.blueprints.clone().set_channel(request).await?;
    Ok(answer.into_inner())
}

fn assert_refused(status: &Status, code: Code, reason: &str) {
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!((status.code(), info.reason.as_str()), (code, reason));
    assert_eq!(info.metadata["blueprint_id"], "swarm", "{status}");
}

async fn draftsman(rig: &Rig, args: &[&str]) -> Finished {
    let addr = format!("http://{}", rig.address);
    run(Program::Draftsman, args, &[("DRAFTSMAN_ADDR", &addr)]).await
}

async fn done(rig: &Rig, args: &[&str]) -> String {
    let finished = draftsman(rig, args).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished.stdout
}

#[tokio::test]
async fn a_channel_is_set_listed_and_read_through() {
    let rig = Rig::without_worker().await;
    let first = rig.client.put(factory::small("swarm")).await;
    let second = rig.client.put(factory::two_kb("swarm")).await;
    let mut blueprints = rig.client.blueprints.clone();
    let request = v1::SetChannelRequest {
        expected_revision: Some(0),
        reason: Some("the first one".to_owned()),
        ..set("production", &first.version)
    };
    let made = send(&rig, request).await.expect("SetChannel");
    let channel = made.channel.expect("a channel");
    assert!(made.moved);
    assert_eq!((channel.seq, channel.revision), (1, 1));
    assert_eq!(
        (channel.name.as_str(), &channel.version),
        ("production", &first.version)
    );
    assert_eq!(channel.reason, "the first one");
    assert!(!channel.moved_by.is_empty() && channel.moved_at.is_some());
    let again = send(&rig, set("production", &first.version)).await;
    let again = again.expect("SetChannel");
    assert_eq!((again.moved, again.channel), (false, Some(channel.clone())));
    let moved = rig
        .client
        .set_channel("swarm", "production", &second.version)
        .await;
    let staging = rig
        .client
        .set_channel("swarm", "staging", &first.version)
        .await;

    let request = v1::ListChannelsRequest {
        blueprint_id: "swarm".to_owned(),
    };
    let listed = blueprints.list_channels(request).await.expect("channels");
    assert_eq!(listed.into_inner().channels, [moved.clone(), staging]);
    let selector = |name: &str| Some(Selector::Channel(name.to_owned()));
    let read = rig.client.select("swarm", selector("staging")).await;
    assert_eq!(read.expect("a version").commit, Some(first.clone()));
    let request = v1::ListChannelMovesRequest {
        blueprint_id: "swarm".to_owned(),
        channel: Some("production".to_owned()),
        page_size: 1,
        ..Default::default()
    };
    let page = blueprints.list_channel_moves(request.clone()).await;
    let page = page.expect("ListChannelMoves").into_inner();
    let newest = &page.moves[0];
    assert_eq!((newest.revision, newest.seq), (2, 2));
    assert_eq!(newest.from_version, first.version);
    assert_eq!(newest.to_version, second.version);
    assert_eq!(
        (&newest.actor, newest.moved_at),
        (&moved.moved_by, moved.moved_at)
    );
    let request = v1::ListChannelMovesRequest {
        page_token: page.next_page_token,
        ..request
    };
    let page = blueprints.list_channel_moves(request).await;
    let page = page.expect("ListChannelMoves").into_inner();
    assert_eq!(
        (page.moves[0].revision, page.moves[0].from_version.as_str()),
        (1, "")
    );
    assert_eq!(page.moves[0].reason, "the first one");
}

#[tokio::test]
async fn refusals_have_their_reasons() {
    let rig = Rig::without_worker().await;
    let first = rig.client.put(factory::small("swarm")).await;
    let mut blueprints = rig.client.blueprints.clone();
    rig.client
        .set_channel("swarm", "production", &first.version)
        .await;
    let stale = v1::SetChannelRequest {
        expected_revision: Some(0),
        ..set("production", &first.version)
    };
    let status = send(&rig, stale).await.expect_err("stale");
    assert_refused(&status, Code::Aborted, "CHANNEL_MOVED");
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.metadata["channel"], "production");
    assert_eq!(info.metadata["actual_revision"], "1");
    let unknown = send(&rig, set("production", &"0".repeat(64))).await;
    assert_refused(
        &unknown.expect_err("unknown"),
        Code::FailedPrecondition,
        "VERSION_NOT_IN_HISTORY",
    );
    let read = rig
        .client
        .select("swarm", Some(Selector::Channel("nope".to_owned())))
        .await;
    assert_refused(
        &read.expect_err("no channel"),
        Code::NotFound,
        "CHANNEL_NOT_FOUND",
    );
    let read = rig
        .client
        .select("nobody", Some(Selector::Channel("nope".to_owned())))
        .await;
    let info = read.expect_err("no Blueprint").get_details_error_info();
    assert_eq!(info.expect("an ErrorInfo").reason, "BLUEPRINT_NOT_FOUND");
    let delete = |channel: &str, expected_revision| v1::DeleteChannelRequest {
        blueprint_id: "swarm".to_owned(),
        channel: channel.to_owned(),
        expected_revision,
    };
    let status = blueprints.delete_channel(delete("nope", None)).await;
    assert_refused(
        &status.expect_err("no channel"),
        Code::NotFound,
        "CHANNEL_NOT_FOUND",
    );
    let status = blueprints
        .delete_channel(delete("production", Some(7)))
        .await;
    assert_refused(&status.expect_err("stale"), Code::Aborted, "CHANNEL_MOVED");
    for n in 1..32 {
        rig.client
            .set_channel("swarm", &format!("c{n}"), &first.version)
            .await;
    }
    let status = send(&rig, set("one-more", &first.version)).await;
    assert_refused(
        &status.expect_err("too many"),
        Code::FailedPrecondition,
        "TOO_MANY_CHANNELS",
    );
    let deleted = blueprints
        .delete_channel(delete("production", Some(1)))
        .await;
    deleted.expect("DeleteChannel");
    let archive = v1::ArchiveBlueprintRequest {
        blueprint_id: "swarm".to_owned(),
    };
    blueprints
        .archive_blueprint(archive)
        .await
        .expect("ArchiveBlueprint");
    let status = send(&rig, set("c1", &first.version)).await;
    assert_refused(
        &status.expect_err("archived"),
        Code::FailedPrecondition,
        "BLUEPRINT_ARCHIVED",
    );
    let status = blueprints.delete_channel(delete("c1", None)).await;
    assert_refused(
        &status.expect_err("archived"),
        Code::FailedPrecondition,
        "BLUEPRINT_ARCHIVED",
    );
}

#[tokio::test]
async fn a_person_promotes_and_rolls_back() {
    let rig = Rig::without_worker().await;
    let first = rig.client.put(factory::small("swarm")).await;
    let production = async || -> Value {
        let listed = done(&rig, &["channels", "swarm", "--output", "json"]).await;
        let listed: Value = serde_json::from_str(&listed).expect("JSON");
        listed["channels"][0].clone()
    };
    let made = done(&rig, &["promote", "swarm", "production", "--yes"]).await;
    assert!(made.contains("is now at commit 1"), "{made}");
    let none = draftsman(&rig, &["rollback", "swarm", "production"]).await;
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(none.stderr.contains("no version before"), "{none:?}");
    let second = rig.client.put(factory::two_kb("swarm")).await;

    // Without an answer nothing moves, and the difference was shown.
    let asked = draftsman(&rig, &["promote", "swarm", "production"]).await;
    assert_eq!(asked.code, Some(1), "{asked:?}");
    assert!(
        asked.stdout.contains("@@") && asked.stderr.contains("[y/N]"),
        "{asked:?}"
    );
    assert_eq!(production().await["version"], first.version);
    let args = [
        "promote",
        "swarm",
        "production",
        "--yes",
        "--reason",
        "tested",
    ];
    done(&rig, &args).await;
    let now = production().await;
    assert_eq!(
        (&now["version"], &now["revision"]),
        (&second.version.clone().into(), &2.into())
    );
    assert_eq!(now["reason"], "tested");
    let again = done(&rig, &["promote", "swarm", "production"]).await;
    assert!(again.contains("already was at commit 2"), "{again}");
    let read = done(&rig, &["get", "swarm", "--channel", "production"]).await;
    assert_eq!(read, rig.client.head("swarm").await.document_yaml);

    let back = done(&rig, &["rollback", "swarm", "production"]).await;
    assert!(back.contains("is now at commit 1"), "{back}");
    assert_eq!(production().await["reason"], "rollback of revision 2");
    let by_number = done(&rig, &["promote", "swarm", "staging", "2", "--yes"]).await;
    assert!(by_number.contains("is now at commit 2"), "{by_number}");
    let all = done(&rig, &["channels"]).await;
    assert_eq!(all.lines().count(), 2, "{all}");
    let moves = done(
        &rig,
        &["channels", "swarm", "--moves", "--channel", "production"],
    )
    .await;
    assert_eq!(moves.lines().count(), 3, "{moves}");
    assert!(
        moves
            .lines()
            .next()
            .unwrap()
            .contains("rollback of revision 2"),
        "{moves}"
    );
    let unknown = draftsman(&rig, &["get", "swarm", "--channel", "nope"]).await;
    assert!(unknown.stderr.contains("CHANNEL_NOT_FOUND"), "{unknown:?}");
}
