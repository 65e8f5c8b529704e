//! Each program dies by SIGKILL at each named place between two calls of Redis. Another process
//! continues, and everything is decided once and in order.

use std::collections::BTreeSet;

use proto::v1;
use tests::checker::{Attempts, assert_sound};
use tests::factory;
use tests::programs::{Process, workspace_dir};
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;

/// A worker that dies, and the allowed number of attempts of an issue.
struct Case {
    /// The fail point at which it dies.
    place: &'static str,
    /// Actions before the fail point is reached, in the language of `FAILPOINTS`.
    first: &'static str,
    attempts: Attempts,
}

const WORKER_CASES: [Case; 12] = [
    case("register.after", "", Attempts::One),
    // The issue is not claimed, so no attempt is counted.
    case("pop.after", "", Attempts::One),
    case("claim.after", "", Attempts::UpTo(2)),
    case("flow.after", "", Attempts::UpTo(2)),
    // The issue is decided; the lost reply has no effect.
    case("settle.after", "", Attempts::One),
    // The same settle has leased the next issue to the worker.
    case("hand_over.after", "", Attempts::UpTo(2)),
    case(
        "release.after",
        "flow.fault=1*return(busy)",
        Attempts::UpTo(2),
    ),
    case(
        "promote.after",
        "flow.fault=1*return(busy)",
        Attempts::UpTo(3),
    ),
    case("beat.before", "", Attempts::UpTo(2)),
    case("beat.after", "", Attempts::UpTo(2)),
    case("reap.after", "", Attempts::UpTo(3)),
    case("sign_off.before", "", Attempts::One),
];

const INTAKE_PLACES: [&str; 3] = ["submit.after", "cancel.after", "put.after"];
/// Places at which the suite `previews` kills a worker.
const PREVIEW_PLACES: [&str; 1] = ["preview.taken"];

/// Places at which the suite `failures::reviews` kills a program.
const REVIEW_PLACES: [&str; 4] = [
    "expire_review.before",
    "expire_review.after",
    "approve.after",
    "decline.after",
];

/// Places at which the suite `step_cache` kills a worker.
const STEP_PLACES: [&str; 2] = ["remember.before", "remember.after"];

const fn case(place: &'static str, first: &'static str, attempts: Attempts) -> Case {
    Case {
        place,
        first,
        attempts,
    }
}

const SHORT_LEASE: (&str, &str) = ("DRAFTSMAN_LEASE_SECS", "1");
/// One issue at a time, so that a death affects one issue.
const ONE_SLOT: (&str, &str) = ("DRAFTSMAN_CONCURRENCY", "1");

async fn dies_at(worker: &mut Process, place: &str) {
    if place == "sign_off.before" {
        // Before that the worker does not handle the signal.
        worker.until_ready().await;
        worker.signal(tests::programs::Signal::Terminate);
    }
    let status = worker.wait().await;
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9),
        "{place}: the worker did not die there: {status:?}\n{}",
        worker.stderr()
    );
}

async fn worker_dies(case: &Case) {
    let mut rig = Rig::with_redis(RedisServer::start(Aof::None)).await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let id = format!("bp-{n}");
        rig.client.put(factory::small(&id)).await;
        for k in 0..3 {
            ids.push(rig.client.submit(&id, format!("tag n{k}")).await.issue_id);
        }
    }
    if case.place == "reap.after" {
        // An expired lease must exist.
        let worker = rig.add_worker(&[
            SHORT_LEASE,
            ONE_SLOT,
            ("FAILPOINTS", "claim.after=return(kill)"),
        ]);
        dies_at(worker, "claim.after").await;
    }
    let fail_points = format!("{};{}=return(kill)", case.first, case.place);
    let worker = rig.add_worker(&[SHORT_LEASE, ONE_SLOT, ("FAILPOINTS", &fail_points)]);
    dies_at(worker, case.place).await;
    rig.add_worker(&[SHORT_LEASE]);
    for id in &ids {
        rig.client.decided(id).await;
    }
    assert_sound(&rig, &ids, case.attempts).await;
}

/// Runs the cases whose place starts with one of these prefixes. The tests run in parallel.
async fn workers_die(places: &[&str]) {
    for case in &WORKER_CASES {
        if places.iter().any(|p| case.place.starts_with(p)) {
            worker_dies(case).await;
        }
    }
}

#[tokio::test]
async fn a_worker_dies_before_it_has_claimed() {
    workers_die(&["register", "pop", "sign_off"]).await;
}

#[tokio::test]
async fn a_worker_dies_over_its_work() {
    workers_die(&["claim", "flow", "settle", "hand_over"]).await;
}

#[tokio::test]
async fn a_worker_dies_giving_back() {
    workers_die(&["release", "promote"]).await;
}

#[tokio::test]
async fn a_worker_dies_in_the_background() {
    workers_die(&["beat", "reap"]).await;
}

/// A separate rig with an intake that dies at this place.
async fn rig_dying_at(place: &str) -> Rig {
    let redis = RedisServer::start(Aof::None);
    let fail_points = format!("{place}=return(kill)");
    // A first intake without the fail point writes the data that the other needs.
    let mut rig = Rig::with_redis(redis).await;
    rig.client.put(factory::small("target")).await;
    rig.restart_intake_with(&[("FAILPOINTS", &fail_points)])
        .await;
    rig
}

fn submission(id: &str) -> v1::SubmitIssueRequest {
    v1::SubmitIssueRequest {
        blueprint_id: "target".to_owned(),
        intent: "tag x".to_owned(),
        issue_id: Some(id.to_owned()),
        ..Default::default()
    }
}

#[tokio::test]
async fn intake_dies_after_it_has_stored_an_issue() {
    let mut rig = rig_dying_at("submit.after").await;
    let died = rig.client.intake.submit_issue(submission("i-1")).await;
    died.expect_err("intake died");
    rig.restart_intake().await;
    let again = rig.client.intake.submit_issue(submission("i-1")).await;
    assert!(again.expect("the same issue").into_inner().already_existed);
    rig.add_worker(&[]);
    rig.client.decided("i-1").await;
    assert_sound(&rig, &["i-1".to_owned()], Attempts::One).await;
}

#[tokio::test]
async fn intake_dies_after_it_has_called_an_issue_off() {
    let mut rig = rig_dying_at("cancel.after").await;
    rig.client
        .intake
        .submit_issue(submission("i-1"))
        .await
        .expect("accepted");
    let cancel = v1::CancelIssueRequest {
        issue_id: "i-1".to_owned(),
    };
    let died = rig.client.intake.cancel_issue(cancel.clone()).await;
    died.expect_err("intake died");
    rig.restart_intake().await;
    let again = rig.client.intake.cancel_issue(cancel).await;
    let issue = again
        .expect("the same answer")
        .into_inner()
        .issue
        .expect("an issue");
    assert_eq!(issue.cause(), v1::RejectionCause::Cancelled);
    assert_sound(&rig, &["i-1".to_owned()], Attempts::One).await;
}

#[tokio::test]
async fn intake_dies_after_it_has_written_a_document() {
    let mut rig = rig_dying_at("put.after").await;
    let put = v1::PutBlueprintRequest {
        document: factory::small("other"),
        expected_head: Some(String::new()),
        ..Default::default()
    };
    let died = rig.client.blueprints.put_blueprint(put.clone()).await;
    died.expect_err("intake died");
    rig.restart_intake().await;
    // An unchanged document is checked first, so the expectation that it does not exist allows a
    // repetition.
    let again = rig.client.blueprints.put_blueprint(put).await;
    assert!(!again.expect("the same commit").into_inner().created);
    assert_eq!(rig.client.history("other").await.len(), 1);
}

/// A place at which no test dies shows nothing.
#[test]
fn every_place_is_in_a_case() {
    let mut in_source = BTreeSet::new();
    for folder in ["worker/src", "intake/src", "shared/src/store"] {
        let mut open = vec![workspace_dir().join(folder)];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(&dir).expect("a source folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    open.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    let text = std::fs::read_to_string(&path).expect("a source file");
                    let calls = text.split("fail_point::pass(\"").skip(1);
                    in_source.extend(
                        calls
                            .filter_map(|rest| rest.split('"').next())
                            .map(str::to_owned),
                    );
                }
            }
        }
    }
    let in_cases: BTreeSet<String> = WORKER_CASES
        .iter()
        .map(|case| case.place)
        .chain(INTAKE_PLACES)
        .chain(PREVIEW_PLACES)
        .chain(STEP_PLACES)
        .chain(REVIEW_PLACES)
        .map(str::to_owned)
        .collect();
    assert_eq!(in_source, in_cases);
}
