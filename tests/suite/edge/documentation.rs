//! The clients of `docs/clients.md`: each runs here, and the page shows exactly the code that runs.

use std::time::Duration;

use proto::v1::intake_service_client::IntakeServiceClient;
use proto::v1::{Issue, IssueState, SubmitIssueRequest, WatchIssueRequest};
use tests::factory;
use tests::programs::workspace_dir;
use tests::python;
use tests::rig::Rig;
use tonic::transport::Channel;
use tonic::{Code, Status};

const PAGE: &str = include_str!("../../../docs/clients.md");

// ---- docs/clients.md shows what follows, up to the next such line ----
/// Submits an issue once, across interruptions, and returns it when it is decided.
async fn submit_and_wait(
    channel: Channel,
    blueprint_id: &str,
    intent: &str,
) -> Result<Issue, Status> {
    let mut intake = IntakeServiceClient::new(channel);
    // The caller chooses the id, so it is safe to submit the same content again.
    let request = SubmitIssueRequest {
        blueprint_id: blueprint_id.to_owned(),
        intent: intent.to_owned(),
        issue_id: Some(uuid::Uuid::now_v7().to_string()),
        ..Default::default()
    };
    let submitted = loop {
        match intake.submit_issue(request.clone()).await {
            Ok(response) => break response.into_inner().issue.unwrap_or_default(),
            Err(status) => wait_or_fail(status).await?,
        }
    };
    loop {
        match watch(&mut intake, &submitted.issue_id).await {
            Ok(Some(issue)) => return Ok(issue),
            Ok(None) => {}
            Err(status) => wait_or_fail(status).await?,
        }
    }
}

/// Returns the issue when it is decided, or `None` if the stream ends before that.
async fn watch(
    intake: &mut IntakeServiceClient<Channel>,
    issue_id: &str,
) -> Result<Option<Issue>, Status> {
    let request = WatchIssueRequest {
        issue_id: issue_id.to_owned(),
        ..Default::default()
    };
    let mut stream = intake.watch_issue(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        let issue = message.issue.unwrap_or_default();
        if matches!(issue.state(), IssueState::Applied | IssueState::Rejected) {
            return Ok(Some(issue));
        }
    }
    Ok(None)
}

/// Waits a second after a temporary error, and returns any other.
async fn wait_or_fail(status: Status) -> Result<(), Status> {
    match status.code() {
        // Each of the last three can end a stream whose connection broke.
        Code::Unavailable
        | Code::ResourceExhausted
        | Code::Unknown
        | Code::Cancelled
        | Code::Internal => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        }
        _ => Err(status),
    }
}
// ---- the end of what docs/clients.md shows ----

/// The part of a source file that the page shows.
fn shown(source: &str) -> &str {
    let (_, rest) = source
        .split_once("up to the next such line ----\n")
        .expect("a line begins the part");
    let (part, _) = rest.split_once(" ---- the end").expect("a line ends it");
    part.trim_end_matches(['#', '/']).trim_end()
}

#[tokio::test]
async fn the_client_in_rust_submits_and_watches() {
    assert!(
        PAGE.contains(shown(include_str!("documentation.rs"))),
        "docs/clients.md shows another client than tests/suite/edge/documentation.rs"
    );
    let rig = Rig::start().await;
    rig.client.put(factory::small("reconnecting")).await;
    let channel = rig.client.channel.clone();
    let issue = submit_and_wait(channel.clone(), "reconnecting", "tag found").await;
    let issue = issue.expect("the issue is decided");
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    let refused = submit_and_wait(channel, "nobody", "tag found").await;
    assert_eq!(refused.expect_err("no such target").code(), Code::NotFound);
}

#[tokio::test]
async fn the_client_in_python_submits_and_watches() {
    let source = include_str!("../../python/reconnecting_client.py");
    assert!(
        PAGE.contains(shown(source)),
        "docs/clients.md shows another client than tests/python/reconnecting_client.py"
    );
    let rig = Rig::start().await;
    let proto = workspace_dir().join("proto");
    let proto = proto.to_str().expect("a plain path");
    python::run_script("reconnecting_client.py", &[rig.address.as_str(), proto]).await;
}
