//! `draftsman doctor` and `draftsman completions`.

use std::time::Duration;

use proto::v1;
use serde_json::Value;
use shared::store::redis::keys::Keys;
use tests::certificates::Certificates;
use tests::eventually::eventually;
use tests::factory;
use tests::programs::{Finished, Process, Program, run};
use tests::redis_server::{Aof, RedisServer, free_port};
use tests::rig::Rig;

async fn doctor(address: &str, env: &[(&str, &str)]) -> (Finished, Value) {
    let addr = format!("http://{address}");
    let mut all = vec![("DRAFTSMAN_ADDR", addr.as_str())];
    all.extend_from_slice(env);
    let said = run(Program::Draftsman, &["doctor", "--output", "json"], &all).await;
    let json =
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    (said, json)
}

/// The checks with this finding.
fn found(json: &Value, finding: &str) -> Vec<String> {
    let checks = json["checks"].as_array().expect("checks");
    let these = checks.iter().filter(|check| check["finding"] == finding);
    these
        .map(|check| check["check"].as_str().expect("a name").to_owned())
        .collect()
}

#[tokio::test]
async fn a_sound_deployment_is_sound_and_each_fault_is_named() {
    let redis = RedisServer::start_with(Aof::EverySecond, &["--maxmemory", "1gb"]);
    let mut rig = Rig::with_redis(redis).await;
    let (said, json) = doctor(&rig.address, &[]).await;
    assert_eq!(
        (said.code, found(&json, "bad")),
        (Some(1), vec!["workers".to_owned()]),
        "{json}"
    );

    rig.add_worker(&[]);
    eventually("everything is sound", async || {
        let (said, json) = doctor(&rig.address, &[]).await;
        let sound =
            said.code == Some(0) && json["healthy"] == true && found(&json, "warn").is_empty();
        sound.then_some(()).ok_or(json.to_string())
    })
    .await;
    let text = run(
        Program::Draftsman,
        &["doctor"],
        &[("DRAFTSMAN_ADDR", &format!("http://{}", rig.address))],
    )
    .await;
    assert!(
        text.stdout.lines().all(|line| line.starts_with("ok ")),
        "{text:?}"
    );

    rig.redis.kill();
    eventually("Redis is missed", async || {
        let (said, json) = doctor(&rig.address, &[]).await;
        let missed = said.code == Some(1) && found(&json, "bad") == ["health"];
        missed.then_some(()).ok_or(json.to_string())
    })
    .await;
    let address = rig.address.clone();
    drop(rig);
    let (said, json) = doctor(&address, &[]).await;
    assert_eq!(
        (said.code, found(&json, "bad")),
        (Some(1), vec!["address".to_owned()]),
        "{json}"
    );
}

#[tokio::test]
async fn the_scope_of_a_token_is_told() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let tokens = "read reader-0123456789\nsubmit submit-0123456789\nreview review-0123456789\nadmin admin-0123456789\n";
    std::fs::write(file.path(), tokens).expect("the file of tokens");
    let redis = RedisServer::start(Aof::None);
    let path = file.path().to_str().expect("a plain path");
    let mut intake = Process::intake(&redis.url(), &[("DRAFTSMAN_TOKENS_FILE", path)]);
    let address = intake.address().await;
    intake.until_ready().await;
    let told = async |token: &str| {
        let (_, json) = doctor(&address, &[("DRAFTSMAN_TOKEN", token)]).await;
        let checks = json["checks"].as_array().expect("checks").clone();
        let check = checks
            .into_iter()
            .find(|check| check["check"] == "token")
            .expect("a token check");
        format!(
            "{} {}",
            check["finding"].as_str().unwrap_or_default(),
            check["found"].as_str().unwrap_or_default()
        )
    };
    for (token, words) in [
        ("reader-0123456789", "ok accepted, with the scope read"),
        ("submit-0123456789", "ok accepted, with the scope submit"),
        ("review-0123456789", "ok accepted, with the scope review"),
        ("admin-0123456789", "ok accepted, with the scope admin"),
        ("unknown-0123456789", "bad intake does not know"),
        ("", "bad intake requires a token"),
    ] {
        let said = told(token).await;
        assert!(said.starts_with(words), "{token}: {said}");
    }
}

#[tokio::test]
async fn a_failing_orbit_and_an_older_worker_are_named() {
    let redis = RedisServer::start_with(Aof::EverySecond, &["--maxmemory", "1gb"]);
    let mut rig = Rig::with_redis(redis).await;
    rig.add_worker(&[]);
    rig.until_registered(1).await;
    rig.client.put(factory::small("tried")).await;
    // Its issues cannot start: it is not said that the list is empty on purpose.
    rig.write_setting(|setting| setting.verifier_axes = Vec::new())
        .await;
    for _ in 0..5 {
        let failed = rig.client.run("tried", "tag x").await;
        assert_eq!(failed.state(), v1::IssueState::Rejected);
    }
    let versions = Keys::of_shard(0).worker_versions();
    let worker = rig.client.stats().await.workers.remove(0);
    assert_eq!(worker.version, env!("CARGO_PKG_VERSION"));
    let mut connection = rig.redis.connection().await;
    let _: () = redis::cmd("HSET")
        .arg(versions)
        .arg(worker.worker_id)
        .arg("0.0.1")
        .query_async(&mut connection)
        .await
        .expect("HSET");
    let (said, json) = doctor(&rig.address, &[]).await;
    assert_eq!(
        (said.code, found(&json, "warn")),
        (Some(1), vec!["version".to_owned(), "orbits".to_owned()]),
        "{json}"
    );
    assert_eq!(found(&json, "bad"), ["settings"], "{json}");
}

#[tokio::test]
async fn a_certificate_is_named_before_it_expires() {
    const DAY: Duration = Duration::from_secs(86_400);
    let redis = RedisServer::start_with(Aof::EverySecond, &["--maxmemory", "1gb"]);
    let certificates = Certificates::new();
    let ca = certificates.authority();
    for (days, finding) in [(20, "warn"), (90, "ok")] {
        let signed = certificates.sign_for(&format!("for-{days}-days"), days * DAY);
        let mut intake = Process::intake(
            &redis.url(),
            &[
                ("DRAFTSMAN_TLS_CERT", signed.certificate.as_str()),
                ("DRAFTSMAN_TLS_KEY", signed.key.as_str()),
            ],
        );
        let address = intake.address().await;
        intake.until_logged("Redis is ready").await;
        let addr = format!("https://{address}");
        let env = [("DRAFTSMAN_ADDR", addr.as_str()), ("DRAFTSMAN_CA", &ca)];
        let (_, json) = doctor(&address, &env).await;
        assert!(found(&json, finding).contains(&"cert".to_owned()), "{json}");
    }
}

/// `stats` and `doctor` say the same about the same fault.
#[tokio::test]
async fn stats_warns_as_doctor_does() {
    let redis = RedisServer::start_with(Aof::EverySecond, &["--maxmemory", "1gb"]);
    let rig = Rig::with_redis(redis).await;
    rig.write_setting(|setting| {
        setting.verifier_axes = Vec::new();
        setting.no_verification = true;
    })
    .await;
    let (_, json) = doctor(&rig.address, &[]).await;
    let checks = json["checks"].as_array().expect("checks").iter();
    let faults: Vec<String> = checks
        .filter(|check| check["finding"] != "ok")
        .map(|check| {
            let text = |key: &str| check[key].as_str().expect("a text").to_owned();
            format!("warning: {}; {}", text("found"), text("remedy"))
        })
        .collect();
    assert_eq!(faults.len(), 2, "{json}");
    let addr = format!("http://{}", rig.address);
    let env = [("DRAFTSMAN_ADDR", addr.as_str())];
    let stats = run(Program::Draftsman, &["stats"], &env).await;
    for fault in faults {
        assert!(stats.stdout.contains(&fault), "{fault} in\n{stats:?}");
    }
}

#[tokio::test]
async fn completions_are_printed_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let printed = run(Program::Draftsman, &["completions", shell], &[]).await;
        assert_eq!(printed.code, Some(0), "{printed:?}");
        assert!(
            printed.stdout.contains("DRAFTSMAN_COMPLETE"),
            "{shell} asks the program: {printed:?}"
        );
    }
}

#[tokio::test]
async fn a_probe_says_whether_a_program_is_well() {
    let port = free_port();
    let listen = format!("0.0.0.0:{port}");
    let env = [("DRAFTSMAN_METRICS_LISTEN", listen.as_str())];
    let nobody = run(Program::Draftsman, &["probe"], &env).await;
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    assert!(nobody.stdout.contains("refused"), "{nobody:?}");

    // The program is alive and not ready, because its Redis is unavailable.
    let redis = format!("redis://127.0.0.1:{}", free_port());
    let worker = Process::worker(&redis, &env);
    let asked = async |question: &str| run(Program::Draftsman, &["probe", question], &env).await;
    eventually("the worker says that it lives", async || {
        let said = asked("livez").await;
        (said.code == Some(0)).then_some(()).ok_or(said.stdout)
    })
    .await;
    let said = asked("readyz").await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let expected = format!("127.0.0.1:{port}/readyz: waiting for Redis\n");
    assert_eq!(said.stdout, expected);
    drop(worker);

    let redis = RedisServer::start(Aof::None);
    let _worker = Process::worker(&redis.url(), &env);
    eventually("the worker says that it is ready", async || {
        let said = run(Program::Draftsman, &["probe"], &env).await;
        (said.code == Some(0)).then_some(()).ok_or(said.stdout)
    })
    .await;

    let nowhere = run(Program::Draftsman, &["probe"], &[]).await;
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    assert!(nowhere.stderr.contains("DRAFTSMAN_METRICS_LISTEN"));
}
