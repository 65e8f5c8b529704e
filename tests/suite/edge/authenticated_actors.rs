//! The actor of a write in an intake that authenticates its callers: the name of a token, or a name
//! in the client certificate. What the caller claims does not count.

use std::io::Write;

use proto::v1;
use serde_json::Value;
use tests::certificates::{Certificates, Signed};
use tests::client::Client;
use tests::eventually::eventually;
use tests::factory;
use tests::programs::{Finished, Process, Program, run};
use tests::redis_server::{Aof, RedisServer};
use tonic::Request;

const NAMED: &str = "named-token-0123456789";
const NAMELESS: &str = "nameless-token-0123456789";

/// A caller with a certificate, a token, or both.
struct Caller<'a> {
    addr: &'a str,
    /// The file of the CA that signed intake's certificate, for a caller with a certificate.
    authority: &'a str,
    certificate: Option<&'a Signed>,
    token: &'a str,
}

impl Caller<'_> {
    /// Runs a verb. The user of the process must not count.
    async fn run(&self, args: &[&str]) -> Finished {
        let mut env = vec![
            ("DRAFTSMAN_ADDR", self.addr),
            ("DRAFTSMAN_TOKEN", self.token),
            ("USER", "mallory"),
        ];
        if let Some(signed) = self.certificate {
            env.push(("DRAFTSMAN_CA", self.authority));
            env.push(("DRAFTSMAN_CLIENT_CERT", &signed.certificate));
            env.push(("DRAFTSMAN_CLIENT_KEY", &signed.key));
        }
        run(Program::Draftsman, args, &env).await
    }

    /// Writes a new version, and returns its author.
    async fn author(&self, mark: &str) -> String {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let document = factory::small("target").replace("sample target", mark);
        file.write_all(document.as_bytes()).expect("a file");
        let path = file.path().to_str().expect("a plain path");
        let put = self.run(&["put", path, "--output", "json"]).await;
        let put: Value = serde_json::from_str(&put.stdout).unwrap_or_else(|_| panic!("{put:?}"));
        let author = put["commit"]["author"].as_str();
        author.expect("an author").to_owned()
    }

    async fn until_served(&self) {
        eventually("the caller is served", async || {
            let told = self.run(&["stats"]).await;
            (told.code == Some(0))
                .then_some(())
                .ok_or(format!("{told:?}"))
        })
        .await;
    }
}

#[tokio::test]
async fn a_token_has_its_name_and_a_claim_does_not_count() {
    let tokens = tempfile::NamedTempFile::new().expect("a file");
    let text = format!("admin Alice {NAMED}\nadmin {NAMELESS}\n");
    std::fs::write(tokens.path(), text).expect("the file of tokens");
    let path = tokens.path().to_str().expect("a plain path");
    let redis = RedisServer::start(Aof::None);
    let mut intake = Process::intake(&redis.url(), &[("DRAFTSMAN_TOKENS_FILE", path)]);
    let address = intake.address().await;
    let addr = format!("http://{address}");
    let caller = |token| Caller {
        addr: &addr,
        authority: "",
        certificate: None,
        token,
    };
    caller(NAMED).until_served().await;
    assert_eq!(caller(NAMED).author("first").await, "Alice");
    assert_eq!(caller(NAMELESS).author("second").await, "anonymous");
    // Where intake authenticates its callers, an invalid claim does not matter, either.
    let client = Client::connect_unready(&address).await;
    let mut request = Request::new(v1::SubmitIssueRequest {
        blueprint_id: "target".to_owned(),
        intent: "tag x".to_owned(),
        issue_id: None,
        ..Default::default()
    });
    let metadata = request.metadata_mut();
    let bearer = format!("Bearer {NAMED}").parse().expect("a header");
    metadata.insert("authorization", bearer);
    metadata.insert("draftsman-actor", "%0A".parse().expect("a header"));
    let filed = client.intake.clone().submit_issue(request).await;
    let filed = filed.expect("SubmitIssue").into_inner().issue;
    assert_eq!(filed.expect("an issue").submitted_by, "Alice");
}

#[tokio::test]
async fn a_client_certificate_has_its_first_name() {
    let ca = Certificates::new();
    let (server, authority) = (ca.sign("server"), ca.authority());
    let long = format!("{}.example", "a.".repeat(70));
    let kinds: [(&str, &[&str], Option<&str>, &str); 6] = [
        (
            "dns",
            &["ci.example", "spiffe://example/ci"],
            Some("cn"),
            "ci.example",
        ),
        (
            "uri",
            &["spiffe://example/ci", "ci.example"],
            None,
            "spiffe://example/ci",
        ),
        ("common", &[], Some("Größer"), "Größer"),
        ("control", &[], Some("a\nb"), "anonymous"),
        ("nameless", &[], None, "anonymous"),
        // A name that is not valid does not let another, perhaps unchecked, name stand for it.
        ("long", &[&long], Some("cn"), "anonymous"),
    ];
    let tls = [
        ("DRAFTSMAN_TLS_CERT", server.certificate.as_str()),
        ("DRAFTSMAN_TLS_KEY", &server.key),
        ("DRAFTSMAN_TLS_CLIENT_CA", &authority),
    ];
    let redis = RedisServer::start(Aof::None);
    let mut intake = Process::intake(&redis.url(), &tls);
    let addr = format!("https://{}", intake.address().await);
    for (name, names, common_name, expected) in kinds {
        let signed = ca.sign_client(name, names, common_name);
        let caller = Caller {
            addr: &addr,
            authority: &authority,
            certificate: Some(&signed),
            token: "",
        };
        caller.until_served().await;
        assert_eq!(caller.author(name).await, expected, "{name}");
    }

    // With tokens, the name of the token comes first.
    let tokens = tempfile::NamedTempFile::new().expect("a file");
    let text = format!("admin Alice {NAMED}\nadmin {NAMELESS}\n");
    std::fs::write(tokens.path(), text).expect("the file of tokens");
    let path = tokens.path().to_str().expect("a plain path");
    let mut env = tls.to_vec();
    env.push(("DRAFTSMAN_TOKENS_FILE", path));
    let mut intake = Process::intake(&redis.url(), &env);
    let addr = format!("https://{}", intake.address().await);
    let signed = ca.sign_client("both", &["ci.example"], None);
    for (token, expected) in [(NAMED, "Alice"), (NAMELESS, "ci.example")] {
        let caller = Caller {
            addr: &addr,
            authority: &authority,
            certificate: Some(&signed),
            token,
        };
        caller.until_served().await;
        assert_eq!(caller.author(token).await, expected);
    }
}
