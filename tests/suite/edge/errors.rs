//! Provokes each error of `docs/errors.md`, and compares it with the page.

use std::collections::BTreeMap;

use proto::v1;
use proto::v1::version_selector::Selector;
use redis::FromRedisValue;
use shared::ids::{BlueprintId, IssueId};
use shared::store::redis::keys::Keys;
use tests::eventually::{eventually, within_wait_limit};
use tests::factory::{self, selector, setting};
use tests::programs::Signal;
use tests::rig::Rig;
use tonic::{Code, Status};
use tonic_types::StatusExt;

const PAGE: &str = include_str!("../../../docs/errors.md");

/// Errors of the page that are not provoked here, with the place of their tests.
const NOT_PROVOKED: [(&str, &str); 30] = [
    ("ANSWER_TOO_LARGE", "suite/versions.rs provokes it"),
    ("BLUEPRINT_EXISTS", "the code is held by suite/transfer.rs"),
    ("CHANNEL_IN_USE", "suite/orbit_channels.rs provokes it"),
    ("CHANNEL_MOVED", "suite/channels.rs provokes it"),
    ("CHANNEL_NOT_FOUND", "suite/channels.rs provokes it"),
    ("IMPORT_EXPIRED", "takes ten minutes"),
    (
        "ISSUE_NOT_IN_REVIEW",
        "suite/review/refusals.rs provokes it",
    ),
    ("ISSUE_NOT_REJECTED", "suite/retrying.rs provokes it"),
    ("ISSUE_PRUNED", "suite/pruning.rs provokes it"),
    ("NO_WORKER", "suite/previews.rs provokes it"),
    ("ORBIT_IN_USE", "suite/archive.rs provokes it"),
    ("ORBIT_NEEDS_ADMIN", "suite/scopes.rs provokes it"),
    ("PREVIEW_FAILED", "suite/previews.rs provokes it"),
    ("PREVIEW_INTERRUPTED", "suite/previews.rs provokes it"),
    (
        "PREVIEW_LATE",
        "takes the longest time of a flow and five seconds",
    ),
    ("PROPOSAL_EXPIRED", "suite/review/refusals.rs provokes it"),
    ("PROPOSAL_STALE", "suite/review/stale.rs provokes it"),
    ("REQUEST_TOO_LARGE", "suite/limits.rs provokes it"),
    ("SCOPE_TOO_NARROW", "suite/security.rs provokes it"),
    ("SELF_REVIEW", "suite/review/decisions.rs provokes it"),
    ("STREAM_BROKEN", "the code is held by suite/transfer.rs"),
    ("TOKEN_MISSING", "suite/security.rs provokes it"),
    ("TOKEN_UNKNOWN", "suite/security.rs provokes it"),
    ("TOO_MANY_CHANNELS", "suite/channels.rs provokes it"),
    ("TOO_MANY_CONSUMERS", "takes ten thousand reports"),
    ("TOO_MANY_PREVIEWS", "suite/previews.rs provokes it"),
    ("TOO_MANY_WATCHERS", "suite/limits.rs provokes it"),
    (
        "TOO_SLOW",
        "takes thirty seconds; a test of intake's layers provokes it",
    ),
    ("VERSION_NOT_IN_HISTORY", "suite/channels.rs provokes it"),
    ("WATCH_OVER", "suite/steps.rs provokes it"),
];

/// reason → code, from the page.
fn page() -> BTreeMap<String, String> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let mut cells = row.split(" | ");
        let reason = cells.next().expect("a reason").trim_end_matches('`');
        let code = cells.next().expect("a code");
        (reason.to_owned(), code.to_owned())
    })
    .collect()
}

/// The provoked errors: reason → code in the notation of the page.
#[derive(Default)]
struct Provoked(BTreeMap<String, String>);

impl Provoked {
    /// Records an error, and checks the properties that every error has.
    fn note<T>(&mut self, what: &str, answer: Result<T, Status>) -> Status {
        let status = answer.err().unwrap_or_else(|| panic!("{what}: was taken"));
        let details = status.get_error_details();
        let info = details
            .error_info()
            .unwrap_or_else(|| panic!("{what}: {status:?}"));
        assert_eq!(info.domain, "draftsman");
        assert!(!status.message().is_empty(), "{what}");
        let may_pass = matches!(status.code(), Code::Unavailable | Code::ResourceExhausted);
        assert_eq!(
            details.retry_info().is_some(),
            may_pass,
            "{what}: {status:?}"
        );
        if status.code() == Code::InvalidArgument {
            assert!(details.bad_request().is_some(), "{what}: {status:?}");
        }
        let name = format!("{:?}", status.code());
        self.0.insert(info.reason.clone(), wire_name(&name));
        status
    }
}

/// `InvalidArgument` → `INVALID_ARGUMENT`.
fn wire_name(code: &str) -> String {
    let mut name = String::new();
    for character in code.chars() {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(character.to_ascii_uppercase());
    }
    name
}

/// Sends one command to Redis without the programs.
async fn raw<T: FromRedisValue>(rig: &Rig, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let mut connection = rig.redis.connection().await;
    command
        .query_async(&mut connection)
        .await
        .expect("Redis answers")
}

fn issue(blueprint_id: &str, intent: &str, issue_id: &str) -> v1::SubmitIssueRequest {
    v1::SubmitIssueRequest {
        blueprint_id: blueprint_id.to_owned(),
        intent: intent.to_owned(),
        issue_id: Some(issue_id.to_owned()),
        ..Default::default()
    }
}

fn document(text: impl Into<String>, expected_head: Option<&str>) -> v1::PutBlueprintRequest {
    v1::PutBlueprintRequest {
        document: text.into(),
        expected_head: expected_head.map(str::to_owned),
        ..Default::default()
    }
}

/// Provokes the errors that depend only on the caller's request.
async fn provoke_by_requests(rig: &Rig, provoked: &mut Provoked) {
    let (mut intake, mut blueprints) = (rig.client.intake.clone(), rig.client.blueprints.clone());
    let id = || "nobody".to_owned();
    let get = v1::GetIssueRequest { issue_id: id() };
    provoked.note("no issue", intake.get_issue(get).await);
    provoked.note("no intent", intake.submit_issue(issue("b", "", "i")).await);
    let typo = v1::SubmitIssueRequest {
        must_be_understood: true,
        ..issue("b", "tagg x", "i")
    };
    provoked.note("a typo", intake.submit_issue(typo).await);
    provoked.note(
        "no target",
        intake.submit_issue(issue("nobody", "x", "i")).await,
    );
    let get = v1::GetLogEntryRequest { issue_id: id() };
    provoked.note("no entry", rig.client.log.clone().get_log_entry(get).await);
    let get = v1::GetSettingRequest { setting_id: id() };
    provoked.note(
        "no setting",
        rig.client.settings.clone().get_setting(get).await,
    );
    provoked.note("default", rig.client.delete_setting("default").await);

    let fixed = Selector::Fixed("0".repeat(64));
    provoked.note("no version", rig.client.select("b", Some(fixed)).await);
    let newer = Selector::SemverReq(">=99".to_owned());
    provoked.note("no label", rig.client.select("b", Some(newer)).await);
    let put = document(factory::small("b"), Some(""));
    blueprints
        .put_blueprint(put)
        .await
        .expect("unchanged is no other head");
    let put = document(factory::two_kb("b"), Some(""));
    provoked.note("a head", blueprints.put_blueprint(put).await);

    provoked.note(
        "taken",
        intake.submit_issue(issue("b", "tag y", "done")).await,
    );
    let cancel = v1::CancelIssueRequest {
        issue_id: "done".to_owned(),
    };
    provoked.note("decided", intake.cancel_issue(cancel).await);

    let orbit = |blueprint_id: &str| setting("s", |s| s.blueprint_id = blueprint_id.to_owned());
    provoked.note("no orbit", rig.client.put_setting(orbit("nobody")).await);
    rig.client.put("id: still\nflow: {}\nagents: []\n").await;
    provoked.note("no flow", rig.client.put_setting(orbit("still")).await);
    let request = setting("s", |s| {
        s.selector = selector(Selector::Fixed("0".repeat(64)))
    });
    provoked.note("orbit's version", rig.client.put_setting(request).await);
    let request = setting("s", |s| s.verifier_axes.push("nothing".to_owned()));
    provoked.note("no axis", rig.client.put_setting(request).await);
    let mut request = setting("s", |_| {});
    request.expected_revision = Some(7);
    provoked.note("a revision", rig.client.put_setting(request).await);
}

/// Provokes the errors that require changes of the data.
async fn provoke_by_damage(rig: &Rig, provoked: &mut Provoked) {
    let keys = Keys::of_shard(0);
    let blueprint = BlueprintId::parse("b").expect("an id");
    let done = IssueId::parse("done").expect("an id");
    let _: i64 = raw(rig, &["DEL", &keys.issue(&done)]).await;
    let again = rig
        .client
        .intake
        .clone()
        .submit_issue(issue("b", "tag x", "done"))
        .await;
    provoked.note("pruned", again);

    let orbit = BlueprintId::parse("enhance-default").expect("an id");
    let _: i64 = raw(rig, &["HSET", &keys.blueprint(&orbit), "archived", "1"]).await;
    provoked.note(
        "archived orbit",
        rig.client.put_setting(setting("s", |_| {})).await,
    );
    let _: i64 = raw(rig, &["HSET", &keys.blueprint(&blueprint), "archived", "1"]).await;
    provoked.note(
        "archived",
        rig.client
            .intake
            .clone()
            .submit_issue(issue("b", "x", "new"))
            .await,
    );

    let _: i64 = raw(rig, &["HSET", &keys.labels(&blueprint), "banana", "1"]).await;
    let newer = Selector::SemverReq(">=99".to_owned());
    provoked.note("no semver", rig.client.select("b", Some(newer)).await);
    let head = rig.client.head("b").await.commit.expect("a commit").version;
    let _: i64 = raw(rig, &["HSET", &keys.documents(&blueprint), &head, "id: c"]).await;
    provoked.note("damaged", rig.client.select("b", None).await);
    let _: i64 = raw(rig, &["DEL", &keys.settings()]).await;
    let _: String = raw(rig, &["SET", &keys.settings(), "no hash"]).await;
    let list = v1::ListSettingsRequest::default();
    provoked.note(
        "no hash",
        rig.client.settings.clone().list_settings(list).await,
    );
}

/// Provokes the errors of a full, an unavailable and a stopping program, in this order.
async fn provoke_by_absence(rig: &mut Rig, provoked: &mut Provoked) {
    rig.client.put(factory::small("full")).await;
    let used: String = raw(rig, &["INFO", "memory"]).await;
    let used = used
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let limit = used.expect("used_memory").trim().to_owned();
    let _: String = raw(rig, &["CONFIG", "SET", "maxmemory", &limit]).await;
    let refused = eventually("intake sees that Redis is full", async || {
        let mut intake = rig.client.intake.clone();
        match intake.submit_issue(issue("full", "tag x", "watched")).await {
            Err(status) if status.code() == Code::ResourceExhausted => Ok(status),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    provoked.note::<()>("full", Err(refused));
    let _: String = raw(rig, &["CONFIG", "SET", "maxmemory", "0"]).await;
    eventually("it is taken again", async || {
        let mut intake = rig.client.intake.clone();
        let request = issue("full", "tag x", "watched");
        intake
            .submit_issue(request)
            .await
            .map_err(|s| s.to_string())
    })
    .await;

    let watch = v1::WatchIssueRequest {
        issue_id: "watched".to_owned(),
        ..Default::default()
    };
    let stream = rig.client.intake.clone().watch_issue(watch).await;
    let mut stream = stream.expect("WatchIssue").into_inner();
    stream.message().await.expect("no error").expect("an item");
    rig.intake.signal(Signal::Terminate);
    let ended = within_wait_limit("the stream ends", stream.message()).await;
    provoked.note("stopping", ended);

    rig.restart_intake().await;
    rig.redis.stop();
    let away = eventually("intake sees that Redis is away", async || {
        match rig.client.delete_setting("nobody").await {
            Err(status) if status.code() == Code::Unavailable => Ok(status),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    provoked.note::<()>("away", Err(away));
}

#[tokio::test]
async fn every_reason_on_the_page_can_be_provoked() {
    let mut rig = Rig::start().await;
    rig.client.put(factory::small("b")).await;
    let mut intake = rig.client.intake.clone();
    let submitted = intake.submit_issue(issue("b", "tag x", "done")).await;
    submitted.expect("SubmitIssue");
    rig.client.decided("done").await;
    // Writes the document again, so that the content above is the head's.
    rig.client.put(factory::small("b")).await;
    rig.workers.pop().expect("a worker").terminate().await;

    let mut provoked = Provoked::default();
    provoke_by_requests(&rig, &mut provoked).await;
    provoke_by_absence(&mut rig, &mut provoked).await;
    rig.redis.start_again();
    rig.restart_intake().await;
    // The server has no file, so the data was lost with it.
    rig.client.put(factory::small("b")).await;
    rig.add_worker(&[]);
    let submitted = rig
        .client
        .intake
        .clone()
        .submit_issue(issue("b", "tag x", "done"))
        .await;
    submitted.expect("SubmitIssue");
    rig.client.decided("done").await;
    rig.workers.pop().expect("a worker").terminate().await;
    provoke_by_damage(&rig, &mut provoked).await;

    let mut page = page();
    for (reason, why) in NOT_PROVOKED {
        assert!(
            page.remove(reason).is_some(),
            "{reason} ({why}) is not on the page"
        );
    }
    assert_eq!(provoked.0, page);
}

/// Every write reports whether it may have been executed when Redis became unavailable during the
/// call.
#[tokio::test]
async fn a_write_that_broke_off_says_whether_it_happened() {
    let executed = |status: &Status| {
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        let info = status.get_details_error_info().expect("an ErrorInfo");
        info.metadata.get("executed").cloned()
    };
    for (script, fault_is_before) in [
        ("put_blueprint", true),
        ("put_blueprint", false),
        ("put_setting", false),
        ("delete_setting", false),
        ("cancel_issue", false),
    ] {
        let redis = tests::redis_server::RedisServer::start(tests::redis_server::Aof::None);
        let proxy = tests::resp_proxy::RespProxy::start(redis.port()).await;
        let rig = Rig::with_redis_at(redis, &proxy.url()).await;
        rig.client.put(factory::small("b")).await;
        rig.client
            .put_setting(setting("s", |_| {}))
            .await
            .expect("PutSetting");
        rig.client
            .intake
            .clone()
            .submit_issue(issue("b", "tag x", "i"))
            .await
            .expect("SubmitIssue");
        let mut ordered = if fault_is_before {
            proxy.cut_before(script, 1)
        } else {
            proxy.cut_after(script, 1)
        };
        let broken = match script {
            "put_blueprint" => {
                let put = document(factory::two_kb("b"), None);
                rig.client
                    .blueprints
                    .clone()
                    .put_blueprint(put)
                    .await
                    .map(drop)
            }
            "put_setting" => rig.client.put_setting(setting("s", |_| {})).await.map(drop),
            "delete_setting" => rig.client.delete_setting("s").await,
            _ => {
                let cancel = v1::CancelIssueRequest {
                    issue_id: "i".to_owned(),
                };
                rig.client
                    .intake
                    .clone()
                    .cancel_issue(cancel)
                    .await
                    .map(drop)
            }
        };
        ordered.fired().await;
        let status = broken.expect_err(script);
        assert_eq!(
            executed(&status).as_deref(),
            Some("unknown"),
            "{script}: {status:?}"
        );
    }
    // Rejected before any call of Redis.
    let mut rig = Rig::without_worker().await;
    rig.redis.stop();
    eventually("intake knows that Redis is away", async || {
        match rig.client.delete_setting("s").await {
            Err(status) if executed(&status).as_deref() == Some("no") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
