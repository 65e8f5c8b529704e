//! The limits of intake: bytes, headers, connections, watchers.

use proto::v1;
use tests::client::Client;
use tests::eventually::eventually;
use tests::factory;
use tests::rig::Rig;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tonic::{Code, Request};
use tonic_types::StatusExt;

#[tokio::test]
async fn a_request_above_the_limit_is_told_the_limit() {
    let rig = Rig::without_worker().await;
    let request = v1::PutBlueprintRequest {
        document: "x".repeat(5 << 20),
        ..Default::default()
    };
    let refused = rig
        .client
        .blueprints
        .clone()
        .put_blueprint(request)
        .await
        .expect_err("too large");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert!(refused.message().contains("4194304 bytes"), "{refused:?}");
    let info = refused.get_details_error_info().expect("ErrorInfo");
    assert_eq!(info.reason, "REQUEST_TOO_LARGE");
    // The connection stays open.
    rig.client.stats().await;
}

#[tokio::test]
async fn headers_above_the_limit_are_refused() {
    let rig = Rig::without_worker().await;
    let mut request = Request::new(v1::GetQueueStatsRequest {});
    let long = "x".repeat(100 << 10).parse().expect("a header");
    request.metadata_mut().insert("x-long", long);
    rig.client
        .intake
        .clone()
        .get_queue_stats(request)
        .await
        .expect_err("too long");
    Client::connect(&rig.address).await.stats().await;
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_a_free_place_is_taken() {
    let mut rig = Rig::without_worker().await;
    rig.restart_intake_with(&[("DRAFTSMAN_MAX_CONNECTIONS", "2")])
        .await;
    // The rig's client has one connection.
    let second = TcpStream::connect(&rig.address)
        .await
        .expect("a connection");
    rig.client.stats().await;
    let mut third = TcpStream::connect(&rig.address)
        .await
        .expect("a connection");
    eventually("the third is closed", async || {
        match third.read(&mut [0; 64]).await {
            Ok(0) | Err(_) => Ok(()),
            Ok(n) => Err(format!("{n} bytes came")),
        }
    })
    .await;
    rig.intake.until_event("connection.refused", &[]).await;
    rig.client.stats().await;
    drop(second);
    Client::connect(&rig.address).await.stats().await;
}

#[tokio::test]
async fn one_watcher_too_many_is_told_so_and_a_free_place_is_taken() {
    let mut rig = Rig::without_worker().await;
    rig.restart_intake_with(&[("DRAFTSMAN_MAX_WATCHES", "1")])
        .await;
    rig.client.put(factory::small("watched")).await;
    let issue_id = rig.client.submit("watched", "tag x").await.issue_id;
    let watch = async || {
        let request = v1::WatchIssueRequest {
            issue_id: issue_id.clone(),
            ..Default::default()
        };
        rig.client.intake.clone().watch_issue(request).await
    };
    let first = watch().await.expect("one may");
    let refused = watch().await.expect_err("two may not");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(
        refused.get_details_error_info().expect("ErrorInfo").reason,
        "TOO_MANY_WATCHERS"
    );
    assert!(refused.get_details_retry_info().is_some(), "{refused:?}");
    drop(first);
    eventually("the place is free", async || {
        watch().await.map(drop).map_err(|s| s.to_string())
    })
    .await;
}

#[tokio::test]
async fn reflection_can_be_switched_off() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    let mut rig = Rig::without_worker().await;
    rig.restart_intake_with(&[("DRAFTSMAN_REFLECTION", "off")])
        .await;
    let mut client = ServerReflectionClient::new(rig.client.channel.clone());
    let asked = client
        .server_reflection_info(futures::stream::iter([ServerReflectionRequest::default()]))
        .await;
    assert_eq!(asked.expect_err("switched off").code(), Code::Unimplemented);
}
