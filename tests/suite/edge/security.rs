//! Access to intake: TLS, client certificates, tokens with scopes, and secrets that no log line
//! contains.

use proto::v1;
use tests::certificates::Certificates;
use tests::client::Client;
use tests::eventually::eventually;
use tests::factory;
use tests::programs::{Finished, Process, Program, run};
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

const READER: &str = "reader-token-5b2a7c";
const SUBMITTER: &str = "submitter-token-91d0";
const ADMIN: &str = "admin-token-77aa10ce";

async fn draftsman(addr: &str, args: &[&str], env: &[(&str, &str)]) -> Finished {
    let mut all = vec![("DRAFTSMAN_ADDR", addr)];
    all.extend_from_slice(env);
    run(Program::Draftsman, args, &all).await
}

#[tokio::test]
async fn tls_is_spoken_with_who_trusts_the_certificate() {
    let (ours, others) = (Certificates::new(), Certificates::new());
    let server = ours.sign("server");
    let redis = RedisServer::start(Aof::None);
    let mut intake = Process::intake(
        &redis.url(),
        &[
            ("DRAFTSMAN_TLS_CERT", &server.certificate),
            ("DRAFTSMAN_TLS_KEY", &server.key),
        ],
    );
    let address = intake.address().await;
    let (secure, plain) = (format!("https://{address}"), format!("http://{address}"));
    let (trusted, foreign) = (ours.authority(), others.authority());
    eventually("the queue is told over TLS", async || {
        let told = draftsman(&secure, &["stats"], &[("DRAFTSMAN_CA", &trusted)]).await;
        (told.code == Some(0))
            .then_some(())
            .ok_or(format!("{told:?}"))
    })
    .await;
    let untrusted = draftsman(&secure, &["stats"], &[("DRAFTSMAN_CA", &foreign)]).await;
    assert_eq!(untrusted.code, Some(1), "{untrusted:?}");
    assert!(untrusted.stderr.contains("certificate"), "{untrusted:?}");
    let unencrypted = draftsman(&plain, &["stats"], &[]).await;
    assert_eq!(unencrypted.code, Some(1), "{unencrypted:?}");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let (old, new) = (Certificates::new(), Certificates::new());
    let (server, renewed) = (old.sign("server"), new.sign("server"));
    let redis = RedisServer::start(Aof::None);
    let mut intake = Process::intake(
        &redis.url(),
        &[
            ("DRAFTSMAN_TLS_CERT", &server.certificate),
            ("DRAFTSMAN_TLS_KEY", &server.key),
        ],
    );
    let addr = format!("https://{}", intake.address().await);
    let (old_ca, new_ca) = (old.authority(), new.authority());
    let is_trusted = async |authority: &str| {
        let told = draftsman(&addr, &["stats"], &[("DRAFTSMAN_CA", authority)]).await;
        told.code == Some(0)
    };
    let until_trusted = async |what: &str, authority: &str| {
        eventually(what, async || {
            let trusted = is_trusted(authority).await;
            trusted.then_some(()).ok_or_else(String::new)
        })
        .await;
    };
    until_trusted("the first certificate is shown", &old_ca).await;
    // A certificate without its key is rejected: the previous pair stays in effect.
    std::fs::copy(&renewed.certificate, &server.certificate).expect("a copied file");
    intake.until_event("certificate.kept", &[]).await;
    assert!(is_trusted(&old_ca).await);
    std::fs::copy(&renewed.key, &server.key).expect("a copied file");
    until_trusted("the renewed certificate is shown", &new_ca).await;
    assert!(!is_trusted(&old_ca).await);
}

#[tokio::test]
async fn a_client_shows_a_certificate_where_one_is_wanted() {
    let (ours, others) = (Certificates::new(), Certificates::new());
    let (server, client, other_client) = (
        ours.sign("server"),
        ours.sign("client"),
        others.sign("client"),
    );
    let authority = ours.authority();
    let redis = RedisServer::start(Aof::None);
    let mut intake = Process::intake(
        &redis.url(),
        &[
            ("DRAFTSMAN_TLS_CERT", &server.certificate),
            ("DRAFTSMAN_TLS_KEY", &server.key),
            ("DRAFTSMAN_TLS_CLIENT_CA", &authority),
        ],
    );
    let addr = format!("https://{}", intake.address().await);
    let trusting = ("DRAFTSMAN_CA", authority.as_str());
    eventually("a client with a certificate is served", async || {
        let env = [
            trusting,
            ("DRAFTSMAN_CLIENT_CERT", &client.certificate),
            ("DRAFTSMAN_CLIENT_KEY", &client.key),
        ];
        let told = draftsman(&addr, &["stats"], &env).await;
        (told.code == Some(0))
            .then_some(())
            .ok_or(format!("{told:?}"))
    })
    .await;
    let nameless = draftsman(&addr, &["stats"], &[trusting]).await;
    assert_eq!(nameless.code, Some(1), "{nameless:?}");
    let env = [
        trusting,
        ("DRAFTSMAN_CLIENT_CERT", &other_client.certificate),
        ("DRAFTSMAN_CLIENT_KEY", &other_client.key),
    ];
    let strange = draftsman(&addr, &["stats"], &env).await;
    assert_eq!(strange.code, Some(1), "{strange:?}");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_at_the_start() {
    let certificates = Certificates::new();
    let (one, other) = (certificates.sign("one"), certificates.sign("other"));
    let tokens = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(tokens.path(), format!("read {READER}\nroot {ADMIN}\n")).expect("a file");
    let tokens = tokens.path().to_str().expect("a plain path");
    let env = [
        ("DRAFTSMAN_TLS_CERT", one.certificate.as_str()),
        ("DRAFTSMAN_TLS_KEY", &other.key),
        ("DRAFTSMAN_TLS_CLIENT_CA", "/no/such/file.pem"),
        ("DRAFTSMAN_TOKENS_FILE", tokens),
        ("DRAFTSMAN_REFLECTION", "maybe"),
        ("DRAFTSMAN_MAX_CONNECTIONS", "0"),
        ("DRAFTSMAN_MAX_WATCHES", "-1"),
    ];
    let refused = run(Program::Intake, &[], &env).await;
    assert_eq!(refused.code, Some(64), "{refused:?}");
    for (variable, value) in env {
        if variable == "DRAFTSMAN_TLS_CERT" {
            continue;
        }
        let line = refused.stderr.lines().find(|line| line.contains(variable));
        let line = line.unwrap_or_else(|| panic!("{variable} is not named: {}", refused.stderr));
        assert!(line.contains(value), "{value} is not in {line}");
    }
    assert!(refused.stderr.contains("does not match"), "{refused:?}");
    assert!(refused.stderr.contains("line 2"), "{refused:?}");
    assert!(!refused.stderr.contains(ADMIN), "{refused:?}");
}

/// `message` with a token.
fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("a header");
    request.metadata_mut().insert("authorization", value);
    request
}

fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.unwrap_or_else(|| panic!("{status:?} has no ErrorInfo"))
        .reason
}

/// The codes for a read, a submission and a direct write under `token`.
async fn codes(client: &Client, token: &str) -> [Code; 3] {
    let code = |status: Option<Status>| status.map_or(Code::Ok, |status| status.code());
    let (mut intake, mut blueprints) = (client.intake.clone(), client.blueprints.clone());
    [
        code(
            intake
                .get_queue_stats(with(token, v1::GetQueueStatsRequest {}))
                .await
                .err(),
        ),
        code(
            intake
                .submit_issue(with(token, v1::SubmitIssueRequest::default()))
                .await
                .err(),
        ),
        code(
            blueprints
                .put_blueprint(with(token, v1::PutBlueprintRequest::default()))
                .await
                .err(),
        ),
    ]
}

/// The code of an allowed call: its empty request is rejected for its content.
const REFUSED: Code = Code::InvalidArgument;
const BY_SCOPE: [(&str, [Code; 3]); 3] = [
    (
        READER,
        [Code::Ok, Code::PermissionDenied, Code::PermissionDenied],
    ),
    (SUBMITTER, [Code::Ok, REFUSED, Code::PermissionDenied]),
    (ADMIN, [Code::Ok, REFUSED, REFUSED]),
];
const NOBODY: [Code; 3] = [Code::Unauthenticated; 3];

#[tokio::test]
async fn a_token_allows_what_its_scope_says_and_the_file_may_change() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let write = |text: String| std::fs::write(file.path(), text).expect("the file of tokens");
    write(format!(
        "# people\nread {READER}\nsubmit ci {SUBMITTER}\n\nadmin ops {ADMIN}\n"
    ));
    let path = file.path().to_str().expect("a plain path");
    let redis = RedisServer::start(Aof::None);
    let env = [("DRAFTSMAN_TOKENS_FILE", path), ("DRAFTSMAN_LOG", "debug")];
    let mut intake = Process::intake(&redis.url(), &env);
    let client = Client::connect_unready(&intake.address().await).await;
    eventually("intake answers", async || {
        match codes(&client, READER).await[0] {
            Code::Ok => Ok(()),
            code => Err(format!("{code:?}")),
        }
    })
    .await;
    for (token, expected) in BY_SCOPE {
        assert_eq!(codes(&client, token).await, expected, "{token}");
    }
    assert_eq!(codes(&client, "another-token-0123").await, NOBODY);

    let mut plain = client.intake.clone();
    let missing = plain
        .get_queue_stats(v1::GetQueueStatsRequest {})
        .await
        .expect_err("no token");
    assert_eq!(
        (missing.code(), reason(&missing).as_str()),
        (Code::Unauthenticated, "TOKEN_MISSING")
    );
    let unknown = plain
        .get_queue_stats(with("another-token-0123", v1::GetQueueStatsRequest {}))
        .await;
    assert_eq!(reason(&unknown.expect_err("unknown")), "TOKEN_UNKNOWN");
    let narrow = plain
        .submit_issue(with(READER, v1::SubmitIssueRequest::default()))
        .await;
    let narrow = narrow.expect_err("too narrow");
    assert!(narrow.message().contains("submit"), "{narrow:?}");
    let info = narrow.get_details_error_info().expect("ErrorInfo");
    assert_eq!(
        (info.reason.as_str(), info.metadata["needed"].as_str()),
        ("SCOPE_TOO_NARROW", "submit")
    );
    // Health checks work without a token.
    let health = HealthClient::new(client.channel.clone())
        .check(HealthCheckRequest::default())
        .await;
    health.expect("health is open");

    // An invalid file changes nothing.
    write("admin short\n".to_owned());
    intake.until_event("tokens.kept", &[]).await;
    for (token, expected) in BY_SCOPE {
        assert_eq!(codes(&client, token).await, expected, "{token}");
    }
    // A valid file takes effect soon: one token is removed, another gets more rights.
    write(format!("admin {READER}\nread {ADMIN}\n"));
    eventually("the new tokens count", async || {
        let now = [
            codes(&client, READER).await,
            codes(&client, SUBMITTER).await,
            codes(&client, ADMIN).await,
        ];
        let expected = [BY_SCOPE[2].1, NOBODY, BY_SCOPE[0].1];
        (now == expected).then_some(()).ok_or(format!("{now:?}"))
    })
    .await;
    for token in [READER, SUBMITTER, ADMIN, "another-token-0123", "short"] {
        assert!(
            !intake.stderr().contains(&format!("{token} "))
                && !intake.stderr().contains(&format!("{token}\"")),
            "{token} is in the log"
        );
    }
}

#[tokio::test]
async fn reflection_wants_a_token_too() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("read {READER}")).expect("the file of tokens");
    let path = file.path().to_str().expect("a plain path");
    let redis = RedisServer::start(Aof::None);
    let mut intake = Process::intake(&redis.url(), &[("DRAFTSMAN_TOKENS_FILE", path)]);
    let client = Client::connect_unready(&intake.address().await).await;
    let mut reflection = ServerReflectionClient::new(client.channel.clone());
    let ask = || {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        futures::stream::iter([request])
    };
    let refused = reflection
        .server_reflection_info(ask())
        .await
        .expect_err("no token");
    assert_eq!(refused.code(), Code::Unauthenticated);
    let mut answers = reflection
        .server_reflection_info(with(READER, ask()))
        .await
        .expect("a token")
        .into_inner();
    assert!(answers.message().await.expect("no error").is_some());
}

#[tokio::test]
async fn an_open_intake_logs_a_warning() {
    let redis = RedisServer::start(Aof::None);
    let mut everywhere = Process::intake(&redis.url(), &[("DRAFTSMAN_LISTEN", "0.0.0.0:0")]);
    everywhere.address().await;
    everywhere.until_ready().await;
    let log = everywhere.stderr();
    let warned = |words: &str| {
        log.lines()
            .any(|line| line.contains("WARN") && line.contains(words))
    };
    assert!(
        warned("unauthenticated clients") && warned("in plain text"),
        "{log}"
    );
    let mut here = Process::intake(&redis.url(), &[]);
    here.address().await;
    here.until_ready().await;
    assert!(
        !here.stderr().contains("unauthenticated clients"),
        "{}",
        here.stderr()
    );
}

#[tokio::test]
async fn no_log_line_has_a_secret_or_a_text_of_a_person() {
    const INTENT: &str = "zebra-crossing";
    const DOCUMENT: &str = "walrus-paradox";
    const PASSWORD: &str = "pelican-briefcase";
    let redis = RedisServer::start(Aof::None);
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("requirepass").arg(PASSWORD);
    let mut connection = redis.connection().await;
    let _: () = set.query_async(&mut connection).await.expect("CONFIG SET");
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", redis.port());
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("admin {ADMIN}")).expect("the file of tokens");
    let path = file.path().to_str().expect("a plain path");
    let everything = (
        "DRAFTSMAN_LOG",
        "debug,intake=trace,worker=trace,shared=trace,draftsman_trace=trace",
    );
    let mut intake = Process::intake(&url, &[everything, ("DRAFTSMAN_TOKENS_FILE", path)]);
    let addr = format!("http://{}", intake.address().await);
    let worker = Process::worker(&url, &[everything]);
    intake.until_ready().await;
    worker.until_ready().await;

    let dir = tempfile::tempdir().expect("a temporary directory");
    let document = dir.path().join("document.yaml");
    let text = format!("note: {DOCUMENT}\n{}", factory::small("hidden"));
    std::fs::write(&document, text).expect("a file");
    let document = document.to_str().expect("a plain path");
    let token = [("DRAFTSMAN_TOKEN", ADMIN)];
    let put = draftsman(&addr, &["put", document], &token).await;
    assert_eq!(put.code, Some(0), "{put:?}");
    let applied = draftsman(&addr, &["submit", "hidden", "tag", INTENT], &token).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let args = ["submit", "hidden", "please", INTENT, "--unchecked"];
    let denied = draftsman(&addr, &args, &token).await;
    assert_eq!(denied.code, Some(2), "{denied:?}");
    let broken = dir.path().join("broken.yaml");
    std::fs::write(&broken, format!("id: broken\n{DOCUMENT}: [")).expect("a file");
    let broken = draftsman(
        &addr,
        &["put", broken.to_str().expect("a plain path")],
        &token,
    )
    .await;
    assert_eq!(broken.code, Some(1), "{broken:?}");
    worker.until_logged("denied").await;
    let logs = [intake.stderr(), worker.stderr()];
    assert!(
        logs[0].contains("DEBUG") && logs[1].contains("denied"),
        "the logs are full ones"
    );
    for log in &logs {
        for secret in [INTENT, DOCUMENT, PASSWORD, ADMIN] {
            let line = log.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} is logged");
        }
    }
}

#[tokio::test]
async fn a_rig_without_tokens_is_open() {
    let rig = Rig::without_worker().await;
    assert_eq!(
        codes(&rig.client, "any-token-will-do-1").await,
        BY_SCOPE[2].1
    );
}
