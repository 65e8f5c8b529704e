//! The startup checks of the programs: a Redis that is not usable, and one whose configuration can
//! be improved.

use proto::v1;
use proto::v1::IssueState;
use shared::store::{Store, StoreError};
use tests::checker::{Attempts, assert_sound};
use tests::client::Client;
use tests::eventually::eventually;
use tests::factory;
use tests::programs::Process;
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;

/// The start of every warning.
const WARNING: &str = "redis can be used, but";

/// Sends commands as the administrator of the server. Each is a line of words.
async fn administer(redis: &RedisServer, commands: &[&str]) {
    let mut connection = redis.connection().await;
    for command in commands {
        let mut words = command.split_whitespace();
        let mut sent = redis::cmd(words.next().expect("a command"));
        for word in words {
            sent.arg(word);
        }
        let answer: Result<redis::Value, _> = sent.query_async(&mut connection).await;
        answer.unwrap_or_else(|error| panic!("{command}: {error}"));
    }
}

/// The URL of `redis` with `user`, which is `name:password`.
fn url_for(redis: &RedisServer, user: &str) -> String {
    format!("redis://{user}@127.0.0.1:{}", redis.port())
}

/// The errors with which both programs refuse to start.
async fn refusals(url: &str) -> [String; 2] {
    let mut said = Vec::new();
    for mut program in [Process::intake(url, &[]), Process::worker(url, &[])] {
        let code = program.wait().await.code();
        let last = program
            .stderr()
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned();
        assert_eq!(code, Some(1), "{last}");
        said.push(last);
    }
    said.try_into().expect("two programs")
}

/// The rule that the error of a user without rights tells an administrator to set.
async fn rule(redis: &RedisServer) -> String {
    administer(redis, &["ACL SETUSER draftsman on >secret"]).await;
    let [intake, worker] = refusals(&url_for(redis, "draftsman:secret")).await;
    let rule = |said: &str| match said.split_once("ACL SETUSER draftsman ") {
        Some((_, rule)) => rule.to_owned(),
        None => panic!("no rule in {said:?}"),
    };
    assert_eq!(rule(&intake), rule(&worker));
    rule(&intake)
}

#[tokio::test]
async fn what_cannot_work_or_would_lose_issues_is_refused() {
    const URL: &str = "DRAFTSMAN_REDIS_URL";
    struct Case {
        args: &'static [&'static str],
        setup: &'static [&'static str],
        user: &'static str,
        words: &'static [&'static str],
    }
    let evicting = &["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    let cases = [
        Case {
            args: evicting,
            setup: &[],
            user: "",
            words: &[
                "allkeys-lru",
                "throw accepted issues",
                "CONFIG SET maxmemory-policy noeviction",
            ],
        },
        Case {
            args: &[],
            setup: &["CONFIG SET requirepass sesame"],
            user: "",
            words: &["was given none", URL],
        },
        Case {
            args: &[],
            setup: &["CONFIG SET requirepass sesame"],
            user: ":wrong",
            words: &["refuses user default", URL],
        },
        Case {
            args: &[],
            setup: &["ACL SETUSER draftsman on >sesame allkeys allchannels allcommands"],
            user: "draftsman:wrong",
            words: &["refuses user draftsman", URL],
        },
        Case {
            args: &[],
            setup: &[],
            user: ":unexpected",
            words: &[
                "refuses user default",
                URL,
                "a server without any takes none",
            ],
        },
        // All problems at once.
        Case {
            args: evicting,
            setup: &["ACL SETUSER draftsman on >sesame ~* &* +@all -brpoplpush"],
            user: "draftsman:sesame",
            words: &["allkeys-lru", "brpoplpush", "ACL SETUSER draftsman"],
        },
    ];
    for case in cases {
        let redis = RedisServer::start_with(Aof::EverySecond, case.args);
        administer(&redis, case.setup).await;
        let url = match case.user {
            "" => redis.url(),
            user => url_for(&redis, user),
        };
        for said in refusals(&url).await {
            for word in case.words {
                assert!(said.contains(word), "{word:?} is not in {said:?}");
            }
            let password = case.user.split(':').nth(1).filter(|word| !word.is_empty());
            if let Some(password) = password {
                assert!(!said.contains(password), "a password is told: {said:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_could_be_better_is_said_once_and_all_works() {
    // The file, further arguments, commands before the programs start, a word of each warning.
    type Case = (
        Aof,
        &'static [&'static str],
        &'static [&'static str],
        &'static [&'static str],
    );
    let cases: &[Case] = &[
        (Aof::EverySecond, &[], &[], &[]),
        (Aof::None, &[], &[], &["lost with its process"]),
        (
            Aof::Always,
            &["--appendfsync", "no"],
            &[],
            &["appendfsync everysec"],
        ),
        (
            Aof::None,
            &["--maxmemory-policy", "allkeys-lru"],
            &[],
            &["lost with its process", "maxmemory-policy noeviction"],
        ),
        (
            Aof::Always,
            &["--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru"],
            &[],
            &["maxmemory-policy noeviction"],
        ),
    ];
    for (aof, args, setup, words) in cases {
        let redis = RedisServer::start_with(*aof, args);
        administer(&redis, setup).await;
        let mut rig = Rig::with_redis(redis).await;
        rig.add_worker(&[]);
        rig.client.put(factory::small("better")).await;
        let issue = rig.client.run("better", "tag x").await;
        assert_eq!(issue.state(), IssueState::Applied, "{args:?}: {issue:?}");
        for program in [&rig.intake, &rig.workers[0]] {
            let log = program.stderr();
            let warnings: Vec<&str> = log.lines().filter(|line| line.contains(WARNING)).collect();
            assert_eq!(warnings.len(), words.len(), "{args:?}: {warnings:?}");
            for word in *words {
                let said = warnings.iter().any(|line| line.contains(word));
                assert!(said, "{word:?} is not in {warnings:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_rule_that_a_refusal_names_suffices_for_the_main_job() {
    let redis = RedisServer::start(Aof::Always);
    let rule = rule(&redis).await;
    let set = format!("ACL SETUSER draftsman {rule}");
    administer(&redis, &[&set, "ACL LOG RESET"]).await;
    let url = url_for(&redis, "draftsman:secret");
    let mut intake = Process::intake(&url, &[]);
    let address = intake.address().await;
    let client = Client::connect(&address).await;
    let mut rig = Rig {
        client,
        workers: Vec::new(),
        intake,
        redis,
        address,
    };
    rig.client.put(factory::small("ruled")).await;
    rig.client.put(factory::small("called-off")).await;
    let cancelled = rig.client.submit("called-off", "tag x").await;
    let cancelling = v1::CancelIssueRequest {
        issue_id: cancelled.issue_id.clone(),
    };
    let answer = rig.client.intake.clone().cancel_issue(cancelling).await;
    let answer = answer
        .expect("CancelIssue")
        .into_inner()
        .issue
        .expect("an issue");
    assert_eq!(answer.state(), IssueState::Rejected);

    rig.workers.push(Process::worker(&url, &[]));
    let applied = rig.client.submit("ruled", "tag x").await;
    let seen = rig.client.watch(&applied.issue_id).await;
    assert_eq!(
        seen.last().map(v1::Issue::state),
        Some(IssueState::Applied),
        "{seen:?}"
    );
    // Reads all data through intake, so that all reading commands are used.
    assert_eq!(rig.client.stats().await.workers.len(), 1);
    rig.client
        .edit_setting(|setting| setting.ttl_secs = 61)
        .await;
    assert_sound(&rig, &[cancelled.issue_id, applied.issue_id], Attempts::One).await;
    assert_eq!(rig.workers[0].terminate().await.code(), Some(0));

    // Redis logs every rejected call. A call that is only made if it is allowed is not an error.
    let mut connection = rig.redis.connection().await;
    let log: Vec<std::collections::HashMap<String, redis::Value>> = redis::cmd("ACL")
        .arg("LOG")
        .query_async(&mut connection)
        .await
        .expect("ACL LOG");
    let refused: Vec<String> = log
        .into_iter()
        .filter_map(|mut entry| redis::from_redis_value(entry.remove("object")?).ok())
        .filter(|object: &String| !matches!(object.as_str(), "config|get" | "client|setinfo"))
        .collect();
    assert_eq!(refused, Vec::<String>::new());
}

#[tokio::test]
async fn a_rule_that_lacks_anything_is_refused_and_what_it_lacks_is_named() {
    let redis = RedisServer::start(Aof::None);
    let rule = rule(&redis).await;
    let store = || Store::open(&url_for(&redis, "draftsman:secret"), 1).expect("a URL");
    for lacking in rule.split_whitespace() {
        let rest: Vec<&str> = rule
            .split_whitespace()
            .filter(|word| *word != lacking)
            .collect();
        let set = format!("ACL SETUSER draftsman reset on >secret {}", rest.join(" "));
        administer(&redis, &[&set]).await;
        let error = store().check_server().await.expect_err(lacking);
        assert!(
            matches!(error, StoreError::Unfit(_)) && !error.is_retryable(),
            "{lacking}: {error:?}"
        );
        let said = error.to_string();
        let found = said
            .split_once("as an administrator")
            .expect("what to change")
            .0;
        let named = match lacking.chars().next() {
            Some('~') => "keys used as arguments".to_owned(),
            Some('&') => "publish draftsman:events".to_owned(),
            // Redis itself names these two, because every other check depends on them.
            _ if matches!(lacking, "+evalsha" | "+script|load") => lacking[1..].to_owned(),
            _ => lacking[1..].replace('|', " "),
        };
        assert!(found.contains(&named), "{named:?} is not in {found:?}");
    }
    administer(
        &redis,
        &[&format!("ACL SETUSER draftsman reset on >secret {rule}")],
    )
    .await;
    store().check_server().await.expect("the whole rule");
}

#[tokio::test]
async fn a_replica_is_waited_for_until_it_is_the_master() {
    let master = RedisServer::start(Aof::None);
    let redis = RedisServer::start(Aof::Always);
    administer(&redis, &[&format!("REPLICAOF 127.0.0.1 {}", master.port())]).await;
    let mut intake = Process::intake(&redis.url(), &[]);
    let worker = Process::worker(&redis.url(), &[]);
    let address = intake.address().await;
    let words = format!("redis is a replica of 127.0.0.1:{}", master.port());
    for program in [&intake, &worker] {
        eventually("it says what it waits for", async || {
            let log = program.stderr();
            log.contains(&words).then_some(()).ok_or(log)
        })
        .await;
    }
    administer(&redis, &["REPLICAOF NO ONE"]).await;
    let client = Client::connect(&address).await;
    let rig = Rig {
        client,
        workers: vec![worker],
        intake,
        redis,
        address,
    };
    rig.client.put(factory::small("promoted")).await;
    let issue = rig.client.run("promoted", "tag x").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
}
