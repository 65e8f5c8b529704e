//! Each kind of write shows its actor, and lists find it, whether the caller has a token, a client
//! certificate, or only a claim.

use futures::stream;
use proto::v1;
use proto::v1::{IssueState, RejectionCause};
use shared::blueprint::Blueprint;
use tests::certificates::Certificates;
use tests::client::{Client, is_terminal};
use tests::eventually::eventually;
use tests::factory;
use tests::programs::Process;
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;
use tonic::Request;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

const TOKEN: &str = "named-token-0123456789";

/// A caller, with the metadata of each of its requests.
struct Caller {
    client: Client,
    metadata: Vec<(&'static str, String)>,
}

impl Caller {
    fn new(endpoint: Endpoint, metadata: &[(&'static str, &str)]) -> Self {
        let metadata = metadata.iter();
        Self {
            client: Client::over(endpoint.connect_lazy()),
            metadata: metadata
                .map(|(name, text)| (*name, (*text).to_owned()))
                .collect(),
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (name, text) in &self.metadata {
            let value = text.parse().expect("a header");
            request.metadata_mut().insert(*name, value);
        }
        request
    }

    async fn until_served(&self) {
        eventually("the caller is served", async || {
            let request = self.request(v1::GetQueueStatsRequest {});
            let answer = self.client.intake.clone().get_queue_stats(request).await;
            answer.map(drop).map_err(|status| status.to_string())
        })
        .await;
    }

    async fn put(&self, mark: &str) -> v1::Commit {
        let request = self.request(v1::PutBlueprintRequest {
            document: factory::small("target").replace("sample target", mark),
            ..Default::default()
        });
        let put = self.client.blueprints.clone().put_blueprint(request).await;
        put.expect("PutBlueprint")
            .into_inner()
            .commit
            .expect("a commit")
    }

    async fn submit(&self, intent: &str) -> v1::Issue {
        let request = self.request(v1::SubmitIssueRequest {
            blueprint_id: "target".to_owned(),
            intent: intent.to_owned(),
            ..Default::default()
        });
        let filed = self.client.intake.clone().submit_issue(request).await;
        filed
            .expect("SubmitIssue")
            .into_inner()
            .issue
            .expect("an issue")
    }

    async fn decided(&self, issue: v1::Issue) -> v1::Issue {
        eventually("the issue is decided", async || {
            let request = self.request(v1::GetIssueRequest {
                issue_id: issue.issue_id.clone(),
            });
            let found = self.client.intake.clone().get_issue(request).await;
            let found = found
                .expect("GetIssue")
                .into_inner()
                .issue
                .expect("an issue");
            if is_terminal(&found) {
                Ok(found)
            } else {
                Err(format!("{found:?}"))
            }
        })
        .await
    }

    async fn set_channel(&self, channel: &str, version: &str) -> v1::Channel {
        let request = self.request(v1::SetChannelRequest {
            blueprint_id: "target".to_owned(),
            channel: channel.to_owned(),
            version: version.to_owned(),
            ..Default::default()
        });
        let set = self.client.blueprints.clone().set_channel(request).await;
        set.expect("SetChannel")
            .into_inner()
            .channel
            .expect("a channel")
    }

    /// Imports a history of one commit without an author.
    async fn import(&self) -> v1::Commit {
        let document = Blueprint::parse(&factory::small("imported")).expect("a Blueprint");
        let message = v1::ImportBlueprintRequest {
            commit: Some(v1::Commit {
                blueprint_id: "imported".to_owned(),
                seq: 1,
                version: document.version().to_string(),
                version_label: document.version_label().unwrap_or_default().to_owned(),
                committed_at: Some(Default::default()),
                ..Default::default()
            }),
            document_yaml: document.canonical_yaml().to_string(),
            last: true,
            replace_bundled: false,
            channel_move: None,
        };
        let request = self.request(stream::iter([message]));
        let imported = self
            .client
            .blueprints
            .clone()
            .import_blueprint(request)
            .await;
        let imported = imported.expect("ImportBlueprint").into_inner();
        imported.commit.expect("a commit")
    }

    /// Makes every kind of write. Each must show this actor.
    async fn write_everything(&self, actor: &str) {
        let first = self.put("first").await;
        assert_eq!(first.author, actor, "PutBlueprint");
        assert_eq!(self.import().await.author, actor, "ImportBlueprint");
        self.channels(&first.version, actor).await;
        self.issues(actor).await;
        let request = self.request(v1::RevertBlueprintRequest {
            blueprint_id: "target".to_owned(),
            version: first.version,
            rationale: None,
        });
        let reverted = self
            .client
            .blueprints
            .clone()
            .revert_blueprint(request)
            .await;
        let reverted = reverted.expect("RevertBlueprint").into_inner().commit;
        assert_eq!(reverted.expect("a commit").author, actor, "RevertBlueprint");

        let request = self.request(factory::setting("own", |_| {}));
        let written = self.client.settings.clone().put_setting(request).await;
        let setting = written.expect("PutSetting").into_inner().setting;
        let setting = setting.expect("a setting");
        assert_eq!(setting.updated_by, actor, "PutSetting");
        assert!(setting.updated_at.is_some());
    }

    async fn channels(&self, version: &str, actor: &str) {
        for channel in ["production", "staging"] {
            let channel = self.set_channel(channel, version).await;
            assert_eq!(channel.moved_by, actor, "SetChannel");
        }
        let mut blueprints = self.client.blueprints.clone();
        let request = self.request(v1::DeleteChannelRequest {
            blueprint_id: "target".to_owned(),
            channel: "staging".to_owned(),
            ..Default::default()
        });
        blueprints
            .delete_channel(request)
            .await
            .expect("DeleteChannel");
        let request = self.request(v1::ListChannelMovesRequest {
            blueprint_id: "target".to_owned(),
            ..Default::default()
        });
        let moves = blueprints.list_channel_moves(request).await;
        let moves = moves.expect("ListChannelMoves").into_inner().moves;
        let actors: Vec<&str> = moves.iter().map(|moved| moved.actor.as_str()).collect();
        assert_eq!(actors, [actor; 3], "ListChannelMoves");
    }

    async fn issues(&self, actor: &str) {
        let applied = self.decided(self.submit("tag one").await).await;
        assert_eq!(applied.state(), IssueState::Applied, "{applied:?}");
        let denied = self
            .decided(self.submit("nobody understands this").await)
            .await;
        assert_eq!(denied.cause(), RejectionCause::Denied, "{denied:?}");
        for issue in [applied, denied] {
            let shown = (issue.submitted_by, issue.decided_by);
            assert_eq!(shown, (actor.to_owned(), String::new()));
            let entry = self.entry(issue.issue_id).await;
            assert_eq!((entry.submitted_by, entry.decided_by), shown);
        }
        let mut intake = self.client.intake.clone();
        let pause = v1::PauseQueueRequest {
            blueprint_id: Some("target".to_owned()),
        };
        intake
            .pause_queue(self.request(pause))
            .await
            .expect("PauseQueue");
        let waiting = self.submit("tag two").await.issue_id;
        let request = self.request(v1::CancelIssueRequest {
            issue_id: waiting.clone(),
        });
        let cancelled = intake.cancel_issue(request).await.expect("CancelIssue");
        let cancelled = cancelled.into_inner().issue.expect("an issue");
        let shown = (cancelled.submitted_by, cancelled.decided_by);
        assert_eq!(shown, (actor.to_owned(), actor.to_owned()));
        let entry = self.entry(waiting.clone()).await;
        assert_eq!((entry.submitted_by, entry.decided_by), shown);
        let request = self.request(v1::RetryIssueRequest {
            issue_id: waiting,
            new_issue_id: None,
        });
        let retried = intake.retry_issue(request).await.expect("RetryIssue");
        let retried = retried.into_inner().issue.expect("an issue");
        assert_eq!(retried.submitted_by, actor);
    }

    async fn entry(&self, issue_id: String) -> v1::LogEntry {
        let request = self.request(v1::GetLogEntryRequest { issue_id });
        let found = self.client.log.clone().get_log_entry(request).await;
        found
            .expect("GetLogEntry")
            .into_inner()
            .entry
            .expect("an entry")
    }

    /// The numbers of issues, log entries and commits of `target` in the lists of this actor.
    async fn listed(&self, actor: &str) -> [usize; 3] {
        let issues = self.request(v1::ListIssuesRequest {
            submitted_by: Some(actor.to_owned()),
            ..Default::default()
        });
        let issues = self.client.intake.clone().list_issues(issues).await;
        let entries = self.request(v1::ListLogEntriesRequest {
            submitted_by: Some(actor.to_owned()),
            ..Default::default()
        });
        let entries = self.client.log.clone().list_log_entries(entries).await;
        let commits = self.request(v1::ListCommitsRequest {
            blueprint_id: "target".to_owned(),
            author: Some(actor.to_owned()),
            ..Default::default()
        });
        let commits = self.client.blueprints.clone().list_commits(commits).await;
        [
            issues.expect("ListIssues").into_inner().issues.len(),
            entries.expect("ListLogEntries").into_inner().entries.len(),
            commits.expect("ListCommits").into_inner().commits.len(),
        ]
    }
}

/// Starts intake with these variables and a worker. A caller that `connect` returns for the address
/// of intake makes all writes.
async fn all_writes_show(env: &[(&str, &str)], actor: &str, connect: impl Fn(String) -> Caller) {
    let redis = RedisServer::start(Aof::None);
    let mut intake = Process::intake(&redis.url(), env);
    let worker = Process::worker(&redis.url(), &[]);
    let caller = connect(intake.address().await);
    caller.until_served().await;
    caller.write_everything(actor).await;
    assert_eq!(caller.listed(actor).await, [4, 3, 3]);
    assert_eq!(caller.listed("mallory").await, [0, 0, 0]);

    // The worker names the actor with each decision.
    let log = worker.stderr();
    for decision in [" applied", " denied"] {
        let mut lines = log.lines().filter(|line| line.contains(decision));
        let line = lines.next().unwrap_or_else(|| panic!("{decision}: {log}"));
        assert!(line.contains(&format!("actor=\"{actor}\"")), "{line}");
    }
}

fn endpoint(scheme: &str, address: &str) -> Endpoint {
    Endpoint::from_shared(format!("{scheme}://{address}")).expect("a URL")
}

#[tokio::test]
async fn writes_with_a_token_show_its_name() {
    let tokens = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(tokens.path(), format!("admin Alice {TOKEN}\n")).expect("the file of tokens");
    let path = tokens.path().to_str().expect("a plain path");
    let env = [("DRAFTSMAN_TOKENS_FILE", path)];
    let bearer = format!("Bearer {TOKEN}");
    let metadata = [
        ("authorization", bearer.as_str()),
        ("draftsman-actor", "mallory"),
    ];
    all_writes_show(&env, "Alice", |address| {
        Caller::new(endpoint("http", &address), &metadata)
    })
    .await;
}

#[tokio::test]
async fn writes_with_a_client_certificate_show_its_name() {
    let ca = Certificates::new();
    let (server, authority) = (ca.sign("server"), ca.authority());
    let signed = ca.sign_client("client", &["ci.example"], None);
    let env = [
        ("DRAFTSMAN_TLS_CERT", server.certificate.as_str()),
        ("DRAFTSMAN_TLS_KEY", &server.key),
        ("DRAFTSMAN_TLS_CLIENT_CA", &authority),
    ];
    let read = |path: &str| std::fs::read(path).expect("a file");
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&authority)))
        .identity(Identity::from_pem(
            read(&signed.certificate),
            read(&signed.key),
        ));
    all_writes_show(&env, "ci.example", |address| {
        let endpoint = endpoint("https", &address).tls_config(tls.clone());
        Caller::new(
            endpoint.expect("valid TLS"),
            &[("draftsman-actor", "mallory")],
        )
    })
    .await;
}

#[tokio::test]
async fn writes_to_an_open_intake_show_the_claim() {
    let metadata = [("draftsman-actor", "J%C3%BCrgen")];
    all_writes_show(&[], "Jürgen", |address| {
        Caller::new(endpoint("http", &address), &metadata)
    })
    .await;
}

/// A worker that fails an issue without running it logs the actor, too.
#[tokio::test]
async fn a_decision_of_a_claim_is_logged_with_its_actor() {
    let mut rig = Rig::without_worker().await;
    let caller = Caller {
        client: rig.client.clone(),
        metadata: vec![("draftsman-actor", "Filer".to_owned())],
    };
    caller.put("first").await;
    let issue = caller.submit("tag one").await;
    let archive = v1::ArchiveBlueprintRequest {
        blueprint_id: "target".to_owned(),
    };
    let mut blueprints = caller.client.blueprints.clone();
    let archived = blueprints.archive_blueprint(archive).await;
    archived.expect("ArchiveBlueprint");
    rig.add_worker(&[]);
    let failed = caller.decided(issue).await;
    assert_eq!(failed.cause(), RejectionCause::Failed, "{failed:?}");
    let worker = rig.workers.last().expect("a worker");
    worker.until_logged("failed by the claim").await;
    let log = worker.stderr();
    let line = log
        .lines()
        .find(|line| line.contains("failed by the claim"));
    let line = line.expect("the line was just there");
    assert!(line.contains("actor=\"Filer\""), "{line}");
}
