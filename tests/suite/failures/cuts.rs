//! A connection to Redis breaks at one named call: before Redis receives it, or after Redis has
//! answered. The caller cannot tell which, and repeats the call under the same id, nonce or token,
//! without any visible effect. The tests do the same with a call that Redis receives twice.

use proto::v1;
use proto::v1::{IssueState, RejectionCause};
use tests::checker::{Attempts, assert_sound};
use tests::eventually::eventually;
use tests::factory;
use tests::programs::Process;
use tests::redis_server::{Aof, RedisServer};
use tests::resp_proxy::{Fault, RespProxy};
use tests::rig::Rig;
use tonic::Code;
use tonic_types::StatusExt;

/// Both sides of a call, and a delayed duplicate of it.
const FAULTS: [Fault; 3] = [Fault::CutBefore, Fault::CutAfter, Fault::Double];

/// A Redis with intake, and the issues submitted over all cases of a test.
struct Scene {
    rig: Rig,
    ids: Vec<String>,
}

const BLUEPRINTS: [&str; 3] = ["first", "second", "third"];

impl Scene {
    async fn start() -> Self {
        let rig = Rig::without_worker().await;
        for id in BLUEPRINTS {
            rig.client.put(factory::small(id)).await;
        }
        Self {
            rig,
            ids: Vec::new(),
        }
    }

    /// Submits three issues for each Blueprint; returns their ids.
    async fn submit(&mut self) -> Vec<String> {
        let from = self.ids.len();
        for n in 0..9 {
            let intent = format!("tag t{}", from + n);
            let issue = self.rig.client.submit(BLUEPRINTS[n % 3], intent).await;
            self.ids.push(issue.issue_id);
        }
        self.ids[from..].to_vec()
    }

    /// Starts a worker with `proxy` between it and its Redis.
    fn worker_behind(&mut self, proxy: &RespProxy, env: &[(&str, &str)]) -> &mut Process {
        self.rig.workers.push(Process::worker(&proxy.url(), env));
        self.rig.workers.last_mut().expect("one was pushed")
    }

    /// Waits until these issues are applied, runs the checker, and ends the workers.
    async fn all_applied(&mut self, ids: &[String], attempts: Attempts) {
        for id in ids {
            let issue = self.rig.client.decided(id).await;
            assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
        }
        assert_sound(&self.rig, &self.ids, attempts).await;
        self.rig.workers.clear();
    }
}

/// Printed with the test if it fails.
#[expect(
    clippy::print_stdout,
    reason = "the test harness shows it with the failed test"
)]
fn announce(fault: Fault, name: &str, n: u64) {
    println!("case: {fault:?}, call {n} of {name}");
}

/// Lets a new worker draft nine issues while each of these calls fails once in each way.
async fn while_drafting(calls: &[(&str, u64)], faults: &[Fault]) {
    let mut scene = Scene::start().await;
    for &(name, n) in calls {
        for &fault in faults {
            announce(fault, name, n);
            let proxy = RespProxy::start(scene.rig.redis.port()).await;
            let mut ordered = proxy.order(fault, name, n);
            let ids = scene.submit().await;
            scene.worker_behind(&proxy, &[]);
            ordered.fired().await;
            scene.all_applied(&ids, Attempts::One).await;
        }
    }
}

#[tokio::test]
async fn a_worker_starts_over_a_cut() {
    // The first heartbeat registers the worker.
    let calls = [("put_blueprint", 1), ("put_setting", 1), ("beat_worker", 1)];
    while_drafting(&calls, &FAULTS).await;
    // The settings, which are read once the first issue is claimed.
    while_drafting(&[("HGETALL", 1)], &[Fault::CutBefore, Fault::CutAfter]).await;
}

#[tokio::test]
async fn a_pop_that_was_cut_loses_nothing() {
    while_drafting(
        &[("BRPOPLPUSH", 1), ("RPOPLPUSH", 1), ("RPOPLPUSH", 2)],
        &FAULTS,
    )
    .await;
}

#[tokio::test]
async fn claims_and_settlements_are_repeated_under_the_same_nonce_and_token() {
    let calls = [
        ("claim_issue", 1),
        ("claim_issue", 3),
        ("settle_issue", 1),
        ("settle_issue", 5),
        ("beat_worker", 2),
    ];
    while_drafting(&calls, &FAULTS).await;
}

#[tokio::test]
async fn an_answer_that_never_comes_is_not_waited_for() {
    let calls = [("claim_issue", 2), ("settle_issue", 2), ("BRPOPLPUSH", 1)];
    while_drafting(&calls, &[Fault::SilenceAfter]).await;
}

#[tokio::test]
async fn a_pop_is_found_by_the_heartbeat_if_the_broken_connection_cannot_be_looked_at() {
    let mut scene = Scene::start().await;
    let proxy = RespProxy::start(scene.rig.redis.port()).await;
    let mut popped = proxy.cut_after("BRPOPLPUSH", 1);
    let mut looked = proxy.cut_before("CLIENT KILL", 1);
    let ids = scene.submit().await;
    scene.worker_behind(&proxy, &[]);
    popped.fired().await;
    looked.fired().await;
    scene.all_applied(&ids, Attempts::One).await;
}

#[tokio::test]
async fn what_a_dead_worker_held_is_reaped_and_promoted_over_a_cut() {
    let endless = factory::endless_scripts();
    let endless_dir = endless.path().to_str().expect("a plain path");
    let short = ("DRAFTSMAN_LEASE_SECS", "1");
    let mut scene = Scene::start().await;
    for (name, n) in [("reap_issue", 2), ("promote_issue", 1)] {
        for fault in FAULTS {
            announce(fault, name, n);
            let ids = scene.submit().await;
            let env = [short, ("DRAFTSMAN_LUA_DIR", endless_dir)];
            scene.rig.add_worker(&env);
            scene.rig.until_in_flight(3).await;
            scene.rig.workers[0].kill();
            scene.rig.workers.clear();

            let proxy = RespProxy::start(scene.rig.redis.port()).await;
            let mut ordered = proxy.order(fault, name, n);
            scene.worker_behind(&proxy, &[short]);
            ordered.fired().await;
            // With five attempts an issue goes onto the dead list.
            scene.all_applied(&ids, Attempts::UpTo(5)).await;
            for id in &ids[..3] {
                let attempt = scene.rig.client.issue(id).await.attempt;
                assert!(attempt > 1, "the dead worker's attempt counts: {attempt}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_dead_worker_popped_and_never_claimed_is_returned_over_a_cut() {
    let mut scene = Scene::start().await;
    for (fault, n) in [
        (Fault::CutBefore, 1),
        (Fault::CutAfter, 2),
        (Fault::Double, 1),
    ] {
        announce(fault, "return_element", n);
        let ids = scene.submit().await;
        let no_claims = RespProxy::start(scene.rig.redis.port()).await;
        // More than the worker can try before it is killed.
        let mut claims: Vec<_> = (1..=500)
            .map(|n| no_claims.cut_before("claim_issue", n))
            .collect();
        scene.worker_behind(&no_claims, &[]);
        claims[0].fired().await;
        eventually("all heads are popped", async || {
            match scene.rig.client.stats().await.ready {
                0 => Ok(()),
                n => Err(format!("{n} are ready")),
            }
        })
        .await;
        scene.rig.workers.clear();

        let proxy = RespProxy::start(scene.rig.redis.port()).await;
        let mut ordered = proxy.order(fault, "return_element", n);
        scene.worker_behind(&proxy, &[("DRAFTSMAN_LEASE_SECS", "2")]);
        ordered.fired().await;
        scene.all_applied(&ids, Attempts::One).await;
    }
}

#[tokio::test]
async fn a_worker_that_ends_hands_back_over_a_cut() {
    let endless = factory::endless_scripts();
    let endless_dir = endless.path().to_str().expect("a plain path");
    let mut scene = Scene::start().await;
    for (fault, n) in FAULTS.into_iter().zip([1, 2, 3]) {
        announce(fault, "release_issue", n);
        let ids = scene.submit().await;
        let proxy = RespProxy::start(scene.rig.redis.port()).await;
        let mut ordered = proxy.order(fault, "release_issue", n);
        let env = [
            // Longer than the wait limit, so that no test depends on an expired lease.
            ("DRAFTSMAN_LEASE_SECS", "3600"),
            ("DRAFTSMAN_GRACE_SECS", "1"),
            ("DRAFTSMAN_LUA_DIR", endless_dir),
        ];
        scene.worker_behind(&proxy, &env);
        scene.rig.until_in_flight(3).await;
        let worker = &mut scene.rig.workers[0];
        let status = worker.terminate().await;
        assert_eq!(status.code(), Some(0), "{}", worker.stderr());
        ordered.fired().await;
        scene.rig.until_in_flight(0).await;
        for id in &ids {
            let issue = scene.rig.client.issue(id).await;
            assert_eq!(
                (issue.state(), issue.attempt),
                (IssueState::Pending, 0),
                "the attempt is given back too: {issue:?}"
            );
        }
        scene.rig.workers.clear();
        scene.rig.add_worker(&[]);
        scene.all_applied(&ids, Attempts::One).await;
    }
}

/// A rig with a proxy between intake and its Redis, but not for the worker; `n_workers` is 0 or 1.
async fn intake_behind(n_workers: usize) -> (Rig, RespProxy) {
    let redis = RedisServer::start(Aof::None);
    let proxy = RespProxy::start(redis.port()).await;
    let mut rig = Rig::with_redis_at(redis, &proxy.url()).await;
    for _ in 0..n_workers {
        rig.add_worker(&[]);
    }
    (rig, proxy)
}

/// The first answer of `call` other than UNAVAILABLE, and the number of UNAVAILABLE answers, each
/// of which must say that the call may be repeated.
async fn until_answered<T>(
    mut call: impl AsyncFnMut() -> Result<T, tonic::Status>,
) -> (Result<T, tonic::Status>, u32) {
    let mut n_unavailable = 0;
    let answer = eventually("an answer", async || match call().await {
        Err(status) if status.code() == Code::Unavailable => {
            n_unavailable += 1;
            let retry = status.get_details_retry_info();
            assert!(retry.is_some_and(|r| r.retry_delay.is_some()), "{status:?}");
            Err(status.to_string())
        }
        other => Ok(other),
    })
    .await;
    (answer, n_unavailable)
}

#[tokio::test]
async fn a_submission_over_a_cut_is_accepted_once() {
    for fault in FAULTS {
        announce(fault, "submit_issue", 3);
        let (rig, proxy) = intake_behind(1).await;
        rig.client.put(factory::small("target")).await;
        let mut ordered = proxy.order(fault, "submit_issue", 3);
        let mut ids = Vec::new();
        for n in 0..6 {
            // Intake itself repeats the call: the client notices nothing.
            let issue = rig.client.submit("target", format!("tag t{n}")).await;
            ids.push(issue.issue_id);
        }
        ordered.fired().await;
        let snapshot = assert_sound(&rig, &ids, Attempts::One).await;
        assert_eq!(snapshot.issues.len(), ids.len(), "none was stored twice");
    }
}

#[tokio::test]
async fn a_cancellation_over_a_cut_is_answered_the_same_again() {
    let endless = factory::endless_scripts();
    let endless_dir = endless.path().to_str().expect("a plain path");
    for (fault, in_flight) in FAULTS.into_iter().flat_map(|f| [(f, false), (f, true)]) {
        announce(fault, "cancel_issue", 1);
        println!("in flight: {in_flight}");
        let (mut rig, proxy) = intake_behind(0).await;
        rig.client.put(factory::small("target")).await;
        let mut ids = Vec::new();
        for n in 0..3 {
            let issue = rig.client.submit("target", format!("tag t{n}")).await;
            ids.push(issue.issue_id);
        }
        let cancelled = if in_flight { &ids[0] } else { &ids[1] };
        if in_flight {
            rig.add_worker(&[
                ("DRAFTSMAN_GRACE_SECS", "1"),
                ("DRAFTSMAN_LUA_DIR", endless_dir),
            ]);
            eventually("it is in flight", async || {
                let issue = rig.client.issue(cancelled).await;
                let is_in_flight = issue.state() == IssueState::InFlight;
                is_in_flight.then_some(()).ok_or(format!("{issue:?}"))
            })
            .await;
        }
        let revision = rig.client.issue(cancelled).await.revision;
        let mut ordered = proxy.order(fault, "cancel_issue", 1);
        let request = v1::CancelIssueRequest {
            issue_id: cancelled.clone(),
        };
        let call = async || {
            rig.client
                .intake
                .clone()
                .cancel_issue(request.clone())
                .await
        };
        let (answer, n_unavailable) = until_answered(call).await;
        ordered.fired().await;
        assert_eq!(n_unavailable > 0, fault != Fault::Double);
        let issue = answer.expect("CancelIssue").into_inner().issue;
        let issue = issue.expect("CancelIssue answers the issue");
        assert_eq!(issue.state(), IssueState::Rejected);
        assert_eq!(issue.cause(), RejectionCause::Cancelled);
        assert_eq!(issue.revision, revision + 1, "cancelled once: {issue:?}");
        if in_flight {
            rig.workers[0]
                .until_event("run.stopped", &[("why", "cancelled")])
                .await;
            assert_eq!(rig.workers[0].terminate().await.code(), Some(0));
        }
        rig.add_worker(&[]);
        for id in ids.iter().filter(|id| *id != cancelled) {
            let other = rig.client.decided(id).await;
            assert_eq!(other.state(), IssueState::Applied, "{other:?}");
        }
        assert_sound(&rig, &ids, Attempts::One).await;
    }
}

#[tokio::test]
async fn a_cancellation_reaches_its_holder_without_a_subscription() {
    let endless = factory::endless_scripts();
    let endless_dir = endless.path().to_str().expect("a plain path");
    let mut scene = Scene::start().await;
    let proxy = RespProxy::start(scene.rig.redis.port()).await;
    // More than it tries during the test.
    let mut subscriptions: Vec<_> = (1..=500)
        .map(|n| proxy.cut_before("SUBSCRIBE", n))
        .collect();
    let ids = scene.submit().await;
    scene.worker_behind(&proxy, &[("DRAFTSMAN_LUA_DIR", endless_dir)]);
    subscriptions[0].fired().await;
    scene.rig.until_in_flight(3).await;
    let request = v1::CancelIssueRequest {
        issue_id: ids[0].clone(),
    };
    let mut intake = scene.rig.client.intake.clone();
    intake.cancel_issue(request).await.expect("CancelIssue");
    // A call of the heartbeat.
    scene.rig.workers[0]
        .until_event("run.stopped", &[("why", "cancelled")])
        .await;
}

#[tokio::test]
async fn a_document_written_over_a_cut_is_one_commit() {
    for fault in FAULTS {
        announce(fault, "put_blueprint", 1);
        let (rig, proxy) = intake_behind(0).await;
        let mut ordered = proxy.order(fault, "put_blueprint", 1);
        let request = v1::PutBlueprintRequest {
            document: factory::small("target"),
            // The Blueprint must not exist yet. An unchanged document is checked first, so a
            // repetition is valid.
            expected_head: Some(String::new()),
            ..Default::default()
        };
        let call = async || {
            let mut blueprints = rig.client.blueprints.clone();
            blueprints.put_blueprint(request.clone()).await
        };
        let (answer, n_unavailable) = until_answered(call).await;
        ordered.fired().await;
        assert_eq!(n_unavailable > 0, fault != Fault::Double);
        let created = answer.expect("PutBlueprint").into_inner().created;
        assert_eq!(
            created,
            fault != Fault::CutAfter,
            "made by the call that was cut"
        );
        assert_eq!(rig.client.history("target").await.len(), 1);
        assert_sound(&rig, &[], Attempts::One).await;
    }
}

#[tokio::test]
async fn a_setting_written_over_a_cut_has_one_revision_more() {
    for fault in FAULTS {
        announce(fault, "put_setting", 1);
        let (rig, proxy) = intake_behind(0).await;
        let request = v1::GetSettingRequest {
            setting_id: "default".to_owned(),
        };
        let read = async || {
            let mut settings = rig.client.settings.clone();
            let answer = settings.get_setting(request.clone()).await;
            answer.map(|a| a.into_inner().setting.expect("a setting"))
        };
        let before = read().await.expect("GetSetting");
        let mut ordered = proxy.order(fault, "put_setting", 1);
        let request = v1::PutSettingRequest {
            setting: Some(v1::EnhanceSetting {
                ttl_secs: before.ttl_secs + 1,
                ..before.clone()
            }),
            expected_revision: Some(before.revision),
            ..Default::default()
        };
        let write = async || {
            let mut settings = rig.client.settings.clone();
            settings.put_setting(request.clone()).await
        };
        let (answer, n_unavailable) = until_answered(write).await;
        ordered.fired().await;
        assert_eq!(n_unavailable > 0, fault != Fault::Double);
        match answer {
            // The cut call had written the setting, so the revision is no longer the expected one.
            Err(status) if fault == Fault::CutAfter => {
                assert_eq!(status.code(), Code::Aborted, "{status}");
            }
            other => drop(other.expect("PutSetting")),
        }
        let after = until_answered(read).await.0.expect("GetSetting");
        assert_eq!(
            (after.revision, after.ttl_secs),
            (before.revision + 1, before.ttl_secs + 1)
        );
    }
}
