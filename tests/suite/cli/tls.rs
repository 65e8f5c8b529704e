//! Mistakes in an address or a certificate are explained, and `draftsman certs` writes usable ones.

use std::time::Duration;

use tests::certificates::Certificates;
use tests::programs::{Finished, Process, Program, run};
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;

async fn stats(addr: &str, more: &[&str]) -> Finished {
    let mut args = vec!["stats", "--addr", addr];
    args.extend(more);
    run(Program::Draftsman, &args, &[]).await
}

fn assert_explained(ended: &Finished, words: &[&str]) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{word}: {ended:?}");
    }
}

async fn intake(
    redis: &RedisServer,
    certificate: &str,
    key: &str,
    more: &[(&str, &str)],
) -> (Process, String) {
    let mut env = vec![
        ("DRAFTSMAN_TLS_CERT", certificate),
        ("DRAFTSMAN_TLS_KEY", key),
    ];
    env.extend(more);
    let mut intake = Process::intake(&redis.url(), &env);
    let address = intake.address().await;
    intake.until_ready().await;
    (intake, address)
}

#[tokio::test]
async fn the_wrong_protocol_is_named() {
    let rig = Rig::without_worker().await;
    let certificates = Certificates::new();
    let server = certificates.sign("server");
    let (_intake, tls) = intake(&rig.redis, &server.certificate, &server.key, &[]).await;
    let ca = certificates.authority();

    let to_tls = format!("http://{tls}");
    assert_explained(&stats(&to_tls, &[]).await, &["expects TLS", "https://"]);
    let to_plain = format!("https://{}", rig.address);
    assert_explained(
        &stats(&to_plain, &["--ca", &ca]).await,
        &["expects plain text", "http://"],
    );
    for scheme in ["http", "https"] {
        let redis = format!("{scheme}://127.0.0.1:{}", rig.redis.port());
        assert_explained(&stats(&redis, &["--ca", &ca]).await, &["not a gRPC server"]);
    }
    let right = stats(&format!("https://{tls}"), &["--ca", &ca]).await;
    assert_eq!(right.code, Some(0), "{right:?}");
    let doctor = run(Program::Draftsman, &["doctor", "--addr", &to_tls], &[]).await;
    assert!(doctor.stdout.contains("expects TLS"), "{doctor:?}");
}

#[tokio::test]
async fn a_certificate_that_is_refused_is_explained() {
    let redis = RedisServer::start(Aof::None);
    let certificates = Certificates::new();
    let ca = certificates.authority();
    let other = Certificates::new();
    let server = certificates.sign("server");
    let (_first, address) = intake(
        &redis,
        &server.certificate,
        &server.key,
        &[("DRAFTSMAN_TLS_CLIENT_CA", &ca)],
    )
    .await;
    let addr = format!("https://{address}");
    let unknown = stats(&addr, &["--ca", &other.authority()]).await;
    assert_explained(&unknown, &["no trusted CA", "--ca"]);
    let missing = stats(&addr, &["--ca", &ca]).await;
    assert_explained(
        &missing,
        &["requires a client certificate", "--client-cert"],
    );
    let foreign = other.sign_client("foreign", &["foreign"], None);
    let refused = stats(
        &addr,
        &[
            "--ca",
            &ca,
            "--client-cert",
            &foreign.certificate,
            "--client-key",
            &foreign.key,
        ],
    )
    .await;
    assert_explained(&refused, &["refuses the client certificate"]);

    let other_name = certificates.sign_client("other", &["other.example"], None);
    let (_named, address) = intake(&redis, &other_name.certificate, &other_name.key, &[]).await;
    let name = stats(&format!("https://{address}"), &["--ca", &ca]).await;
    assert_explained(&name, &["is not valid for the name"]);

    let soon = certificates.sign_for("soon", Duration::from_secs(1));
    let (_second, address) = intake(&redis, &soon.certificate, &soon.key, &[]).await;
    let addr = format!("https://{address}");
    tests::eventually::eventually("the certificate expires", async || {
        let ended = stats(&addr, &["--ca", &ca]).await;
        let is_told = ended.stderr.contains("has expired");
        is_told.then_some(()).ok_or_else(|| format!("{ended:?}"))
    })
    .await;
}

#[tokio::test]
async fn the_example_certificates_work_and_a_ca_as_a_server_is_named() {
    let redis = RedisServer::start(Aof::None);
    let place = tempfile::tempdir().expect("a folder");
    let dir = place.path().join("tls");
    let dir = dir.to_str().expect("a plain path");
    let written = run(Program::Draftsman, &["certs", dir], &[]).await;
    assert_eq!(written.code, Some(0), "{written:?}");
    assert!(
        written.stdout.contains("DRAFTSMAN_TLS_CERT="),
        "{written:?}"
    );
    let again = run(Program::Draftsman, &["certs", dir], &[]).await;
    assert_explained(&again, &["exists", "another directory"]);

    let file = |name: &str| format!("{dir}/{name}.pem");
    let (ca, ca_key) = (file("ca"), file("ca-key"));
    let client_ca = [("DRAFTSMAN_TLS_CLIENT_CA", ca.as_str())];
    let (_intake, address) = intake(&redis, &file("server"), &file("server-key"), &client_ca).await;
    let (client, key) = (file("client"), file("client-key"));
    let more = ["--ca", &ca, "--client-cert", &client, "--client-key", &key];
    let port = address.rsplit(':').next().expect("a port");
    for host in ["127.0.0.1", "localhost"] {
        let answered = stats(&format!("https://{host}:{port}"), &more).await;
        assert_eq!(answered.code, Some(0), "{answered:?}");
    }
    let (_wrong, address) = intake(&redis, &ca, &ca_key, &[]).await;
    let ended = stats(&format!("https://{address}"), &["--ca", &ca]).await;
    assert_explained(&ended, &["CaUsedAsEndEntity", "`draftsman certs DIR`"]);
}
