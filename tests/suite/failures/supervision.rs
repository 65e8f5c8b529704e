//! A service that panics or ends by itself ends its program gracefully, with exit status 1. The log
//! has the name of the service.

use std::collections::BTreeSet;

use proto::v1::IssueState;
use tests::certificates::Certificates;
use tests::checker::{Attempts, assert_sound};
use tests::eventually::eventually;
use tests::factory;
use tests::programs::{Process, workspace_dir};
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;

const WORKER_SERVICES: [&str; 14] = [
    "activity_counter",
    "auditor",
    "consumer",
    "gauges",
    "heartbeat",
    "listener",
    "orbits",
    "previewer",
    "probes",
    "progress",
    "promoter",
    "pruner",
    "reaper",
    "review_expirer",
];
const INTAKE_SERVICES: [&str; 7] = [
    "certificates",
    "events",
    "probes",
    "queue_metrics",
    "readiness",
    "server",
    "tokens",
];
const METRICS: (&str, &str) = ("DRAFTSMAN_METRICS_LISTEN", "127.0.0.1:0");
/// With several shards, every service of a worker runs.
const SHARDS: (&str, &str) = ("DRAFTSMAN_SHARDS", "2");

/// Waits for the end of a program whose `service` fails in this way.
async fn assert_ends(mut process: Process, service: &str, how: &str) {
    let code = process.wait().await.code();
    let log = process.stderr();
    assert_eq!(code, Some(1), "{service}: {log}");
    let last = log.lines().last().unwrap_or_default();
    assert!(
        last.ends_with(how) || last.contains(&format!("{how}: ")),
        "{service}: the last line says why: {log}"
    );
    assert!(last.contains(&format!("service {service} ")), "{log}");
    assert!(
        log.contains("a service failed; the program ends"),
        "{service}: {log}"
    );
}

/// The two ways in which a service may fail, with the text of each.
const WAYS: [(&str, &str); 2] = [("panic", "panicked"), ("return(end)", "ended unexpectedly")];

#[tokio::test]
async fn a_worker_ends_with_any_of_its_services() {
    let redis = RedisServer::start(Aof::None);
    for service in WORKER_SERVICES {
        for (action, words) in WAYS {
            let fail_point = format!("service.{service}={action}");
            let env = [SHARDS, METRICS, ("FAILPOINTS", fail_point.as_str())];
            assert_ends(Process::worker(&redis.url(), &env), service, words).await;
        }
    }
}

#[tokio::test]
async fn intake_ends_with_any_of_its_services() {
    let redis = RedisServer::start(Aof::None);
    let tokens = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(tokens.path(), "admin admin-0123456789\n").expect("a written file");
    let tokens = tokens.path().to_str().expect("a plain path");
    let certificates = Certificates::new();
    let server = certificates.sign("server");
    for service in INTAKE_SERVICES {
        for (action, words) in WAYS {
            let fail_point = format!("service.{service}={action}");
            let env = [
                METRICS,
                ("DRAFTSMAN_TOKENS_FILE", tokens),
                ("DRAFTSMAN_TLS_CERT", server.certificate.as_str()),
                ("DRAFTSMAN_TLS_KEY", server.key.as_str()),
                ("FAILPOINTS", fail_point.as_str()),
            ];
            assert_ends(Process::intake(&redis.url(), &env), service, words).await;
        }
    }
}

/// A worker whose service fails during an issue releases the issue, and its attempt.
async fn gives_back(env: &[(&str, &str)], second_issue: bool, service: &str) {
    let scripts = tempfile::tempdir().expect("a temporary directory");
    let endless = scripts.path().join("patch_spawner.lua");
    std::fs::write(endless, "while true do end").expect("a script file");
    let lua_dir = scripts.path().to_str().expect("a plain path");
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("first")).await;
    rig.client.put(factory::small("second")).await;
    let mut env = env.to_vec();
    env.push(("DRAFTSMAN_LUA_DIR", lua_dir));
    rig.add_worker(&env);
    let mut ids = vec![rig.client.submit("first", "tag x").await.issue_id];
    if second_issue {
        eventually("it is in flight", async || {
            match rig.client.issue(&ids[0]).await {
                issue if issue.state() == IssueState::InFlight => Ok(()),
                issue => Err(format!("{issue:?}")),
            }
        })
        .await;
        ids.push(rig.client.submit("second", "tag x").await.issue_id);
    }
    let worker = rig.workers.pop().expect("one was started");
    assert_ends(worker, service, "panicked").await;
    for id in &ids {
        let back = rig.client.issue(id).await;
        assert_eq!(
            (back.state(), back.attempt),
            (IssueState::Pending, 0),
            "{service}: {back:?}"
        );
    }
    rig.add_worker(&[]);
    for id in &ids {
        rig.client.decided(id).await;
    }
    assert_sound(&rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn what_is_worked_on_is_given_back_when_the_consumer_panics() {
    // A lease longer than the test: a queued issue was released.
    let env = [
        ("DRAFTSMAN_LEASE_SECS", "3600"),
        ("DRAFTSMAN_GRACE_SECS", "1"),
        ("FAILPOINTS", "pop.after=1*off->panic"),
    ];
    gives_back(&env, true, "consumer").await;
}

#[tokio::test]
async fn what_is_worked_on_is_given_back_at_once_when_the_heartbeat_panics() {
    // A grace period longer than the test: without heartbeats nothing waits for it.
    let env = [
        ("DRAFTSMAN_LEASE_SECS", "15"),
        ("DRAFTSMAN_GRACE_SECS", "3600"),
        ("FAILPOINTS", "beat.before=1*off->panic"),
    ];
    gives_back(&env, false, "heartbeat").await;
}

/// A service that no test breaks may fail unnoticed.
#[test]
fn every_service_is_in_a_case() {
    let services_of = |file: &str| -> BTreeSet<String> {
        let text = std::fs::read_to_string(workspace_dir().join(file)).expect("a source file");
        let spawned = ["spawn(", "spawn_fallible("].into_iter().flat_map(|call| {
            text.split(&format!("services.{call}"))
                .skip(1)
                .map(|rest| rest.trim_start().split('"').nth(1).unwrap_or_default())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
        spawned.collect()
    };
    let of = |names: &[&str]| -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    };
    assert_eq!(services_of("worker/src/run.rs"), of(&WORKER_SERVICES));
    assert_eq!(services_of("intake/src/server.rs"), of(&INTAKE_SERVICES));
}
