//! The console against pages of other sites, forged requests, and people without the right.

use proto::v1;
use tests::client::Client;
use tests::console::{Answer, Console};
use tests::programs::Process;
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

#[tokio::test]
async fn every_answer_has_the_policy_without_exceptions() {
    let rig = Rig::without_worker().await;
    let console = Console::start(&rig.address, &[]).await;
    let page = console.get("/", "").await;
    let style = page
        .body
        .split("href=\"/assets/")
        .nth(2)
        .and_then(|rest| rest.split('"').next());
    let style = format!("/assets/{}", style.expect("a style sheet"));
    for path in [
        "/",
        "/issues",
        "/blueprints",
        "/settings",
        "/workers",
        "/reviews",
        "/sign-in",
        "/nothing",
        &style,
    ] {
        let answer = console.get(path, "").await;
        assert_eq!(answer.headers["content-security-policy"], POLICY, "{path}");
        assert_eq!(
            answer.headers["x-content-type-options"], "nosniff",
            "{path}"
        );
        assert!(
            !answer.body.contains("style=\"") && !answer.body.contains("<script>"),
            "{path}"
        );
    }
}

/// A form of another site, or one that nobody has seen, changes nothing.
#[tokio::test]
async fn forged_forms_are_refused() {
    let rig = Rig::without_worker().await;
    let console = Console::start(&rig.address, &[]).await;
    let page = console.get("/", "").await;
    let cookies = page.cookies.join("; ");
    let (url, good) = (
        console.url.clone(),
        format!("form_token={}", page.form_token()),
    );
    let other = console.get("/", "").await;
    let stolen = format!("form_token={}", other.form_token());
    let host = console.host().to_owned();
    type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str);
    let cases: [Case<'_>; 8] = [
        ("no token", vec![("cookie", &cookies), ("origin", &url)], ""),
        (
            "a token of another browser",
            vec![("cookie", &cookies), ("origin", &url)],
            &stolen,
        ),
        ("no cookie", vec![("origin", &url)], &good),
        ("no origin", vec![("cookie", &cookies)], &good),
        (
            "an opaque origin",
            vec![("cookie", &cookies), ("origin", "null")],
            &good,
        ),
        (
            "a foreign origin",
            vec![("cookie", &cookies), ("origin", "http://evil.example")],
            &good,
        ),
        (
            "a foreign host",
            vec![
                ("cookie", &cookies),
                ("host", "evil.example"),
                ("origin", "http://evil.example"),
            ],
            &good,
        ),
        (
            "the origin of another port",
            vec![
                ("cookie", &cookies),
                ("host", &host),
                ("origin", "http://127.0.0.1:1"),
            ],
            &good,
        ),
    ];
    for (what, headers, body) in cases {
        let answer = console.request("POST", "/pause", &headers, body).await;
        assert_eq!(answer.status, 403, "{what}: {answer:?}");
        assert!(!rig.client.stats().await.paused, "{what}");
    }
    let answer = console.post("/pause", &cookies, &good).await;
    assert_eq!(
        (answer.status, answer.headers["location"].as_str()),
        (303, "/?done=paused")
    );
    assert!(rig.client.stats().await.paused);
}

#[tokio::test]
async fn it_answers_under_its_own_names_only() {
    let rig = Rig::without_worker().await;
    let console = Console::start(&rig.address, &["--public-host", "console.example.com"]).await;
    let port = console
        .host()
        .rsplit_once(':')
        .expect("a port")
        .1
        .to_owned();
    for (host, status) in [
        (format!("localhost:{port}"), 200),
        ("console.example.com".to_owned(), 200),
        ("evil.example.com".to_owned(), 403),
        (format!("evil.example.com:{port}"), 403),
        (String::new(), 403),
    ] {
        let answer = console.request("GET", "/", &[("host", &host)], "").await;
        assert_eq!(answer.status, status, "{host}");
    }
}

#[tokio::test]
async fn methods_and_sizes_are_limited() {
    let rig = Rig::without_worker().await;
    let console = Console::start(&rig.address, &[]).await;
    for method in ["PUT", "DELETE", "OPTIONS"] {
        let answer = console.request(method, "/issues", &[], "").await;
        assert_eq!(answer.status, 405, "{method}");
    }
    let page = console.get("/", "").await;
    let body = format!(
        "form_token={}&document={}",
        page.form_token(),
        "x".repeat(5 << 20)
    );
    let answer = console
        .post("/blueprints", &page.cookies.join("; "), &body)
        .await;
    assert_eq!(answer.status, 413, "{}", answer.body);
}

/// The tokens of the test.
const READER: &str = "reader-token-of-the-console";
const SUBMITTER: &str = "submitter-token-of-the-console";
const ADMIN: &str = "admin-token-of-the-console";

async fn with_tokens() -> (RedisServer, Process, Console, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("tokens");
    let text = format!("read rita {READER}\nsubmit sam {SUBMITTER}\nadmin anna {ADMIN}\n");
    std::fs::write(&file, text).expect("a file");
    let redis = RedisServer::start(Aof::None);
    let tokens = file.to_str().expect("a plain path");
    let mut intake = Process::intake(&redis.url(), &[("DRAFTSMAN_TOKENS_FILE", tokens)]);
    let address = intake.address().await;
    let console = Console::start(&address, &[]).await;
    // Any answer of intake but UNAVAILABLE leads to the page for signing in.
    tests::eventually::eventually("intake is up", async || {
        let page = console.get("/", "").await;
        (page.status == 401).then_some(()).ok_or(page.body)
    })
    .await;
    let cookies = console.sign_in(READER).await;
    tests::eventually::eventually("intake has reached Redis", async || {
        let page = console.get("/", &cookies).await;
        (page.status == 200).then_some(()).ok_or(page.body)
    })
    .await;
    (redis, intake, console, dir)
}

#[tokio::test]
async fn people_sign_in_and_see_what_their_scope_allows() {
    let (_redis, _intake, console, _dir) = with_tokens().await;
    let page = console.get("/issues?state=denied", "").await;
    assert_eq!(page.status, 401);
    assert!(
        page.body.contains("value=\"/issues?state=denied\""),
        "{}",
        page.body
    );
    let body = format!(
        "form_token={}&token=unknown-token-of-nobody",
        page.form_token()
    );
    let refused = console
        .post("/sign-in", &page.cookies.join("; "), &body)
        .await;
    assert_eq!(refused.status, 401);
    assert!(
        refused.body.contains("does not know this token"),
        "{}",
        refused.body
    );
    for (token, scope, may_file, may_pause) in [
        (READER, "read", false, false),
        (SUBMITTER, "submit", true, false),
        (ADMIN, "admin", true, true),
    ] {
        let cookies = console.sign_in(token).await;
        let page = console.get("/", &cookies).await;
        assert_eq!(page.status, 200, "{}", page.body);
        assert!(page.body.contains(&format!(">{scope}</span>")), "{scope}");
        assert!(!page.body.contains(token), "{scope}");
        assert_eq!(page.body.contains(">New issue</a>"), may_file, "{scope}");
        assert_eq!(
            page.body.contains("action=\"/pause\""),
            may_pause,
            "{scope}"
        );
        // The form of another page has the same right to post; only intake decides.
        let form = format!("form_token={}", page.form_token());
        let answer = console.post("/pause", &cookies, &form).await;
        assert_eq!(
            answer.status,
            if may_pause { 303 } else { 403 },
            "{scope}: {}",
            answer.body
        );
        let form = format!("{form}&blueprint=none&intent=tag+x");
        let answer = console.post("/issues", &cookies, &form).await;
        assert_eq!(
            answer.status,
            if may_file { 404 } else { 403 },
            "{scope}: {}",
            answer.body
        );
    }
}

#[tokio::test]
async fn a_session_is_a_strict_cookie_and_ends_with_the_sign_out() {
    let (_redis, _intake, console, _dir) = with_tokens().await;
    let page = console.get("/sign-in", "").await;
    let cookies = page.cookies.join("; ");
    let body = format!(
        "form_token={}&token={ADMIN}&next=//evil.example",
        page.form_token()
    );
    let answer: Answer = console.post("/sign-in", &cookies, &body).await;
    let cookie = &answer.headers["set-cookie"];
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(answer.headers["location"], "/");
    let signed_in = format!("{cookies}; {}", answer.cookies.join("; "));
    // The form of the time before the sign-in no longer counts.
    let old = format!("form_token={}", page.form_token());
    assert_eq!(console.post("/pause", &signed_in, &old).await.status, 403);
    let page = console.get("/", &signed_in).await;
    let form = format!("form_token={}", page.form_token());
    let out = console.post("/sign-out", &signed_in, &form).await;
    assert_eq!(out.status, 303);
    assert_eq!(console.get("/", &signed_in).await.status, 401);
    // A link from another site comes without the cookie, and the page loads itself again.
    let link = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
    ];
    let page = console.request("GET", "/", &link, "").await;
    assert!(
        page.body.contains("http-equiv=\"refresh\""),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn a_page_says_so_when_intake_is_away() {
    let redis = RedisServer::start(Aof::None);
    let mut intake = Process::intake(&redis.url(), &[]);
    let address = intake.address().await;
    let _: Client = Client::connect(&address).await;
    let console = Console::start(&address, &[]).await;
    assert_eq!(console.get("/", "").await.status, 200);
    intake.terminate().await;
    for path in ["/", "/issues", "/blueprints/x", "/settings"] {
        let page = console.get(path, "").await;
        assert_eq!(page.status, 503, "{path}");
        assert!(
            page.body.contains("Intake does not answer"),
            "{path}: {}",
            page.body
        );
    }
}

/// Whatever is stored is shown as text.
#[tokio::test]
async fn stored_markup_and_escapes_are_text() {
    let rig = Rig::start().await;
    let console = Console::start(&rig.address, &[]).await;
    let script = "<script>alert(1)</script>";
    let document = serde_json::json!({
        "schema_version": "1",
        "id": "sample",
        "metadata": { "description": script, "version_label": "1.0.0" },
        "agents": [{
            "name": script, "kind": "llm", "spec": {},
            "profile": { "system_prompt": format!("{script}\u{1b}[31m"), "model": script },
        }],
        "flow": {
            "kind": "step", "ref": script,
            "in": {"op": "path", "at": "$"}, "out": {"op": "path", "at": "$.x"},
        },
    });
    rig.client.put(document.to_string()).await;
    let issue = rig
        .client
        .run("sample", format!("describe as {script}"))
        .await;
    let denied = rig
        .client
        .run("sample", format!("\u{1b}[31m{script}"))
        .await;
    let pages = [
        "/".to_owned(),
        "/issues".to_owned(),
        format!("/issues/{}", issue.issue_id),
        format!("/issues/{}", denied.issue_id),
        "/blueprints".to_owned(),
        "/blueprints/sample".to_owned(),
        "/blueprints/sample?tab=history".to_owned(),
        "/blueprints/sample?tab=document".to_owned(),
        format!("/blueprints/{}", "%3Cscript%3Ealert(1)%3C%2Fscript%3E"),
        format!(
            "/issues?blueprint={0}&actor={0}",
            "%3Cscript%3Ealert(1)%3C%2Fscript%3E"
        ),
    ];
    for path in pages {
        let page = console.get(&path, "").await;
        assert!(page.status < 500, "{path}: {}", page.body);
        assert!(
            !page.body.contains(script) && !page.body.contains('\u{1b}'),
            "{path}: {}",
            page.body
        );
    }
    let page = console
        .get(&format!("/issues/{}", denied.issue_id), "")
        .await;
    assert!(page.body.contains("␛[31m&lt;script&gt;"), "{}", page.body);
    let request = v1::GetIssueRequest {
        issue_id: issue.issue_id,
    };
    rig.client
        .intake
        .clone()
        .get_issue(request)
        .await
        .expect("it is unharmed");
}
