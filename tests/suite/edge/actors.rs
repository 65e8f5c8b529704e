//! The actor of every write, in an intake that authenticates nobody: what the caller claims.

use std::io::Write;

use futures::stream;
use proto::v1;
use proto::v1::IssueState;
use serde_json::Value;
use tests::client::Client;
use tests::factory;
use tests::programs::{Program, run};
use tests::rig::Rig;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

/// `message` with the metadata `draftsman-actor`.
fn by<T>(actor: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = MetadataValue::<Ascii>::try_from(actor.as_bytes()).expect("a header");
    request.metadata_mut().insert("draftsman-actor", value);
    request
}

fn submission(blueprint_id: &str, intent: &str) -> v1::SubmitIssueRequest {
    v1::SubmitIssueRequest {
        blueprint_id: blueprint_id.to_owned(),
        intent: intent.to_owned(),
        issue_id: None,
        ..Default::default()
    }
}

async fn submit(client: &Client, actor: &str, intent: &str) -> v1::Issue {
    let request = by(actor, submission("target", intent));
    let answer = client.intake.clone().submit_issue(request).await;
    answer
        .expect("SubmitIssue")
        .into_inner()
        .issue
        .expect("an issue")
}

fn document(mark: &str) -> v1::PutBlueprintRequest {
    v1::PutBlueprintRequest {
        document: factory::small("target").replace("sample target", mark),
        ..Default::default()
    }
}

async fn put(client: &Client, request: Request<v1::PutBlueprintRequest>) -> v1::Commit {
    let answer = client.blueprints.clone().put_blueprint(request).await;
    answer
        .expect("PutBlueprint")
        .into_inner()
        .commit
        .expect("a commit")
}

/// The named fields of an INVALID_ARGUMENT.
fn invalid_fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_details_bad_request().expect("BadRequest");
    let violations = details.field_violations.into_iter();
    violations.map(|violation| violation.field).collect()
}

/// The authors of a history, oldest first.
async fn authors(client: &Client, blueprint_id: &str) -> Vec<String> {
    let history = client.history(blueprint_id).await;
    let mut commits: Vec<(u64, String)> = history.into_iter().map(|c| (c.seq, c.author)).collect();
    commits.sort();
    commits.into_iter().map(|(_, author)| author).collect()
}

#[tokio::test]
async fn each_write_shows_its_actor_and_lists_find_it() {
    let mut rig = Rig::start().await;
    let client = rig.client.clone();
    let first = put(&client, by("Putter", document("first"))).await;
    assert_eq!(first.author, "Putter");
    let again = put(&client, by("other", document("first"))).await;
    assert_eq!(
        again.author, "Putter",
        "an unchanged document has its author"
    );

    let applied = submit(&client, "J%C3%BCrgen", "tag one").await;
    assert_eq!(applied.submitted_by, "Jürgen");
    let applied = client.decided(&applied.issue_id).await;
    assert_eq!(applied.state(), IssueState::Applied, "{applied:?}");
    assert_eq!(
        (applied.submitted_by.as_str(), applied.decided_by.as_str()),
        ("Jürgen", "")
    );
    let entry = client.entry(&applied.issue_id).await;
    assert_eq!(
        (entry.submitted_by.as_str(), entry.decided_by.as_str()),
        ("Jürgen", "")
    );
    let worker = rig.workers.pop().expect("a worker");
    worker.until_logged("applied").await;
    let log = worker.stderr();
    let line = log.lines().find(|line| line.contains(" applied"));
    let line = line.expect("a line of the decision");
    assert!(line.contains("actor=\"Jürgen\""), "{line}");

    let revert = v1::RevertBlueprintRequest {
        blueprint_id: "target".to_owned(),
        version: first.version,
        rationale: None,
    };
    let mut blueprints = client.blueprints.clone();
    let reverted = blueprints.revert_blueprint(by("Reverter", revert)).await;
    let reverted = reverted.expect("RevertBlueprint").into_inner();
    assert_eq!(reverted.commit.expect("a commit").author, "Reverter");

    // The worker is gone, so an issue waits until it is cancelled.
    drop(worker);
    let waiting = submit(&client, "Filer", "tag two").await;
    let cancel = v1::CancelIssueRequest {
        issue_id: waiting.issue_id.clone(),
    };
    let mut intake = client.intake.clone();
    let cancelled = intake.cancel_issue(by("Canceller", cancel)).await;
    let cancelled = cancelled.expect("CancelIssue").into_inner().issue;
    let cancelled = cancelled.expect("an issue");
    let expected = ("Filer".to_owned(), "Canceller".to_owned());
    assert_eq!((cancelled.submitted_by, cancelled.decided_by), expected);
    let entry = client.entry(&waiting.issue_id).await;
    assert_eq!((entry.submitted_by, entry.decided_by), expected);

    let retry = v1::RetryIssueRequest {
        issue_id: waiting.issue_id,
        new_issue_id: None,
    };
    let retried = intake.retry_issue(by("Retrier", retry)).await;
    let retried = retried.expect("RetryIssue").into_inner().issue;
    assert_eq!(retried.expect("an issue").submitted_by, "Retrier");
    assert_eq!(
        authors(&client, "target").await,
        ["Putter", "Jürgen", "Reverter"]
    );

    lists_find(&client).await;
    shell_shows(&rig).await;
}

/// The lists of `Filer`, `Jürgen` and nobody after the writes above.
async fn lists_find(client: &Client) {
    for (actor, n_issues, n_entries, n_commits) in [
        ("Filer", 1, 1, 0),
        ("Retrier", 1, 0, 0),
        ("Jürgen", 1, 1, 1),
        ("Putter", 0, 0, 1),
        ("", 3, 2, 3),
        ("unknown", 0, 0, 0),
    ] {
        let issues = v1::ListIssuesRequest {
            submitted_by: Some(actor.to_owned()),
            ..Default::default()
        };
        let issues = client.intake.clone().list_issues(issues).await;
        let issues = issues.expect("ListIssues").into_inner();
        let entries = v1::ListLogEntriesRequest {
            submitted_by: Some(actor.to_owned()),
            ..Default::default()
        };
        let entries = client.log.clone().list_log_entries(entries).await;
        let entries = entries.expect("ListLogEntries").into_inner();
        let commits = v1::ListCommitsRequest {
            blueprint_id: "target".to_owned(),
            author: Some(actor.to_owned()),
            ..Default::default()
        };
        let commits = client.blueprints.clone().list_commits(commits).await;
        let commits = commits.expect("ListCommits").into_inner();
        let found = (
            issues.issues.len(),
            entries.entries.len(),
            commits.commits.len(),
        );
        assert_eq!(found, (n_issues, n_entries, n_commits), "{actor:?}");
        let tokens = [
            issues.next_page_token,
            entries.next_page_token,
            commits.next_page_token,
        ];
        assert_eq!(tokens, ["", "", ""], "{actor:?}");
    }
    // A token belongs to its filter.
    let page = |author: Option<&str>, page_token: &str| v1::ListCommitsRequest {
        blueprint_id: "target".to_owned(),
        page_size: 1,
        page_token: page_token.to_owned(),
        author: author.map(str::to_owned),
        ..Default::default()
    };
    let mut blueprints = client.blueprints.clone();
    let first = blueprints.list_commits(page(None, "")).await;
    let token = first.expect("ListCommits").into_inner().next_page_token;
    let other = blueprints.list_commits(page(Some("Putter"), &token)).await;
    let other = other.expect_err("a token of another filter");
    assert_eq!(invalid_fields(&other), ["page_token"]);
    let found = blueprints.list_commits(page(Some("Putter"), "")).await;
    let found = found.expect("ListCommits").into_inner();
    assert_eq!(found.commits[0].seq, 1);

    let wrong = Some("a\nb".to_owned());
    let commits = v1::ListCommitsRequest {
        blueprint_id: "target".to_owned(),
        author: wrong.clone(),
        ..Default::default()
    };
    let refused = blueprints.list_commits(commits).await;
    assert_eq!(invalid_fields(&refused.expect_err("invalid")), ["author"]);
    let issues = v1::ListIssuesRequest {
        submitted_by: wrong.clone(),
        ..Default::default()
    };
    let refused = client.intake.clone().list_issues(issues).await;
    let refused = refused.expect_err("invalid");
    assert_eq!(invalid_fields(&refused), ["submitted_by"]);
    let entries = v1::ListLogEntriesRequest {
        submitted_by: wrong,
        ..Default::default()
    };
    let refused = client.log.clone().list_log_entries(entries).await;
    let refused = refused.expect_err("invalid");
    assert_eq!(invalid_fields(&refused), ["submitted_by"]);
}

/// `draftsman` shows the actors, lists those of one, and sends its user.
async fn shell_shows(rig: &Rig) {
    let addr = format!("http://{}", rig.address);
    let draftsman = async |args: &[&str]| {
        let env = [("DRAFTSMAN_ADDR", addr.as_str()), ("USER", "Zoë 100%")];
        let finished = run(Program::Draftsman, args, &env).await;
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stdout
    };
    let history = draftsman(&["history", "target"]).await;
    assert!(history.contains("Reverter"), "{history}");
    let history = draftsman(&["history", "target", "--actor", "Putter"]).await;
    assert!(
        history.contains("Putter") && !history.contains("Reverter"),
        "{history}"
    );
    let issues = draftsman(&["issues", "--actor", "Filer"]).await;
    assert!(
        issues.contains("Filer") && !issues.contains("Retrier"),
        "{issues}"
    );
    let log = draftsman(&["log", "--actor", "Jürgen"]).await;
    assert!(log.contains("Jürgen") && !log.contains("Filer"), "{log}");
    let args = [
        "submit",
        "target",
        "tag three",
        "--detach",
        "--output",
        "json",
    ];
    let filed: Value = serde_json::from_str(&draftsman(&args).await).expect("JSON");
    assert_eq!(filed["issue"]["submitted_by"], "Zoë 100%");
    let id = filed["issue"]["issue_id"].as_str().expect("an id");
    let cancelled = draftsman(&["cancel", id]).await;
    assert!(cancelled.contains("decided    by Zoë 100%"), "{cancelled}");
    let entry = draftsman(&["log", id]).await;
    assert!(
        entry.contains("submitted  by Zoë 100%") && entry.contains("decided by Zoë 100%"),
        "{entry}"
    );
}

#[tokio::test]
async fn an_import_keeps_authors_and_is_the_author_of_the_rest() {
    let (from, to) = (Rig::without_worker().await, Rig::without_worker().await);
    put(&from.client, by("Alice", document("first"))).await;
    put(&from.client, Request::new(document("second"))).await;
    put(&from.client, by("Bob", document("third"))).await;
    let request = v1::ExportBlueprintRequest {
        blueprint_id: "target".to_owned(),
    };
    let exported = from
        .client
        .blueprints
        .clone()
        .export_blueprint(request)
        .await;
    let mut exported = exported.expect("ExportBlueprint").into_inner();
    let mut messages = Vec::new();
    while let Some(message) = exported.message().await.expect("a whole stream") {
        messages.push(v1::ImportBlueprintRequest {
            commit: message.commit,
            document_yaml: message.document_yaml,
            last: message.last,
            channel_move: message.channel_move,
            replace_bundled: false,
        });
    }
    let second = |messages: &mut [v1::ImportBlueprintRequest], author: &str| {
        messages[1].commit.as_mut().expect("a commit").author = author.to_owned();
    };
    let mut blueprints = to.client.blueprints.clone();
    second(&mut messages, "a\u{7}");
    let refused = blueprints.import_blueprint(stream::iter(messages.clone()));
    let refused = refused.await.expect_err("an invalid author");
    assert_eq!(invalid_fields(&refused), ["commit.author"]);
    // A commit of a release without actors.
    second(&mut messages, "");
    let imported = blueprints.import_blueprint(by("Importer", stream::iter(messages)));
    let imported = imported.await.expect("ImportBlueprint").into_inner();
    assert_eq!(imported.commit.expect("a commit").author, "Bob");
    assert_eq!(
        authors(&to.client, "target").await,
        ["Alice", "Importer", "Bob"]
    );
    assert_eq!(
        authors(&from.client, "target").await,
        ["Alice", "anonymous", "Bob"]
    );
}

#[tokio::test]
async fn a_setting_has_its_last_writer_and_the_bundled_one_has_none() {
    let rig = Rig::without_worker().await;
    let mut settings = rig.client.settings.clone();
    let default = v1::GetSettingRequest {
        setting_id: "default".to_owned(),
    };
    let bundled = settings.get_setting(default).await.expect("GetSetting");
    let bundled = bundled.into_inner().setting.expect("a setting");
    assert_eq!(bundled.updated_by, "");
    assert_eq!(authors(&rig.client, "enhance-default").await, [""]);

    let at = |setting: &v1::EnhanceSetting| {
        let at = setting.updated_at.expect("a time");
        (at.seconds, at.nanos)
    };
    let mut request = factory::setting("own", |_| {});
    let orbit = rig.client.head("enhance-default").await;
    request.orbit_document = Some(
        orbit
            .document_yaml
            .replace("id: enhance-default", "id: orbit"),
    );
    let setting = request.setting.as_mut().expect("a setting");
    setting.blueprint_id = "orbit".to_owned();
    setting.updated_by = "somebody".to_owned();
    for writer in ["Alice", "Bob"] {
        let written = settings.put_setting(by(writer, request.clone())).await;
        let written = written.expect("PutSetting").into_inner();
        let stored = written.setting.expect("a setting");
        assert_eq!(stored.updated_by, writer);
        assert!(at(&stored) > at(&bundled), "{stored:?}");
        assert_eq!(written.orbit_commit.expect("a commit").author, "Alice");
    }
    let addr = format!("http://{}", rig.address);
    let env = [("DRAFTSMAN_ADDR", addr.as_str())];
    let listed = run(Program::Draftsman, &["setting", "list"], &env).await;
    assert!(listed.stdout.contains("Bob"), "{listed:?}");
    // What `setting get` prints, `setting put` reads.
    let printed = run(Program::Draftsman, &["setting", "get", "own"], &env).await;
    assert!(printed.stdout.contains("updated_by: Bob"), "{printed:?}");
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(printed.stdout.as_bytes()).expect("a file");
    let path = file.path().to_str().expect("a plain path");
    let args = ["setting", "put", path, "--output", "json"];
    let put = run(Program::Draftsman, &args, &env).await;
    let put: Value = serde_json::from_str(&put.stdout).unwrap_or_else(|_| panic!("{put:?}"));
    assert_eq!(put["setting"]["updated_by"], "anonymous");
}

#[tokio::test]
async fn an_invalid_claim_is_refused_by_its_name() {
    let rig = Rig::without_worker().await;
    let nobody = put(&rig.client, Request::new(document("first"))).await;
    assert_eq!(nobody.author, "anonymous");
    for wrong in ["", "%0A", "%1b[2J", "%FF", &"a".repeat(129)] {
        let request = by(wrong, submission("target", "tag x"));
        let refused = rig.client.intake.clone().submit_issue(request).await;
        let refused = refused.expect_err("an invalid actor");
        assert_eq!(invalid_fields(&refused), ["draftsman-actor"], "{wrong:?}");
    }
    assert_eq!(rig.client.stats().await.pending, 0);
}
