//! Redis over TLS, with a user that has only the minimal rule.

use proto::v1::IssueState;
use shared::store::{Store, StoreError};
use tests::certificates::Certificates;
use tests::client::Client;
use tests::factory;
use tests::programs::Process;
use tests::redis_server::{Aof, RedisServer, free_port};

/// Whether this machine's redis-server was built with TLS. If not, prints a reason; fails if `CI`
/// is `true`.
#[expect(clippy::print_stdout, reason = "a skipped test says why")]
fn redis_speaks_tls() -> bool {
    let tried = std::process::Command::new("redis-server")
        .args(["--tls-port", "no-port"])
        .output()
        .expect("redis-server runs");
    let said = String::from_utf8_lossy(&tried.stdout).into_owned()
        + &*String::from_utf8_lossy(&tried.stderr);
    // A server with TLS reports a problem of the port; one without does not know the directive.
    let speaks = !said.contains("Bad directive");
    let reason = "this redis-server was built without TLS";
    if !speaks {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{reason}");
        println!("skipped: {reason}");
    }
    speaks
}

#[tokio::test]
async fn the_main_job_is_done_over_tls_as_a_user_with_the_minimal_rule() {
    if !redis_speaks_tls() {
        return;
    }
    let certificates = Certificates::new();
    let (server, authority) = (certificates.sign("redis"), certificates.authority());
    let port = free_port();
    let redis = RedisServer::start_with(
        Aof::EverySecond,
        &[
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &server.certificate,
            "--tls-key-file",
            &server.key,
            "--tls-ca-cert-file",
            &authority,
            "--tls-auth-clients",
            "no",
        ],
    );
    let mut connection = redis.connection().await;
    let mut user = async |rule: &str| {
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg("draftsman");
        rule.split_whitespace().for_each(|word| {
            command.arg(word);
        });
        let _: () = command
            .query_async(&mut connection)
            .await
            .expect("ACL SETUSER");
    };
    // The rule comes from the error that a user without rights gets.
    user("on >secret").await;
    let url = format!("redis://draftsman:secret@127.0.0.1:{}", redis.port());
    let refusal = Store::open(&url, 1).expect("a URL").check_server().await;
    let said = shared::error::chain(&refusal.expect_err("no rights"));
    let rule = said
        .split_once("ACL SETUSER draftsman ")
        .map(|(_, rule)| rule.to_owned());
    user(&rule.unwrap_or_else(|| panic!("no rule in {said:?}"))).await;

    let url = format!("rediss://draftsman:secret@localhost:{port}");
    // The private authority, in the variable that both OpenSSL and rustls-native-certs read.
    let trusting = [("SSL_CERT_FILE", authority.as_str())];
    let mut intake = Process::intake(&url, &trusting);
    let _worker = Process::worker(&url, &trusting);
    let client = Client::connect(&intake.address().await).await;
    client.put(factory::small("sealed")).await;
    let issue = client.run("sealed", "tag x").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");

    // Unknown authorities are not trusted: without the authority there is no connection.
    let untrusted = Store::open(&url, 1).expect("a URL").ping().await;
    assert!(
        matches!(untrusted, Err(StoreError::Redis { .. })),
        "{untrusted:?}"
    );
}
