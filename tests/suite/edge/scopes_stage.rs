//! The programs and the targets of the tests of scopes.

use std::collections::BTreeMap;

use futures::stream;
use proto::v1;
use serde_json::json;
use tests::client::Client;
use tests::eventually::eventually;
use tests::factory;
use tests::programs::Process;
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;
use tonic::{Request, Status};

/// The RPC by which a submitter states what it runs, also of an orbit. Nothing depends on it.
pub(super) const REPORT: &str = "BlueprintService/ReportVersion";
pub(super) const NOBODY: &str = "";
pub(super) const READER: &str = "reader-token-5b2a7c";
pub(super) const SUBMITTER: &str = "submitter-token-91d0";
pub(super) const ADMIN: &str = "admin-token-77aa10ce";

/// The orbit of the setting `names-it`, by a selector that is not `latest`.
pub(super) const ORBIT: &str = "my-orbit";
/// A denied issue of an admin against the orbit. A second issue waits.
pub(super) const DENIED: &str = "denied-1";
pub(super) const WAITING: &str = "waiting-1";
/// An intent that disables every axis, if an orbit accepts it.
pub(super) const ATTACK: &str = r#"set /flow/children/2/items to {"op":"lit","value":[]}"#;

/// `message` with a token, if the token is not empty.
pub(super) fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        let value = format!("Bearer {token}").parse().expect("a header");
        request.metadata_mut().insert("authorization", value);
    }
    request
}

/// The programs, with a tokens file, and the targets of the attacks.
pub(super) struct Stage {
    pub(super) client: Client,
    rig: Rig,
    _worker: Process,
    _tokens: tempfile::NamedTempFile,
}

impl Stage {
    pub(super) async fn new() -> Stage {
        let tokens = tempfile::NamedTempFile::new().expect("a file");
        let text = format!("read {READER}\nsubmit ci {SUBMITTER}\nadmin ops {ADMIN}\n");
        std::fs::write(tokens.path(), text).expect("the file of tokens");
        let path = tokens.path().to_str().expect("a plain path");
        let redis = RedisServer::start(Aof::None);
        let mut intake = Process::intake(&redis.url(), &[("DRAFTSMAN_TOKENS_FILE", path)]);
        let address = intake.address().await;
        let client = Client::connect_unready(&address).await;
        intake.until_ready().await;
        let worker = Process::worker(&redis.url(), &[]);
        worker.until_ready().await;
        let rig = Rig {
            client: client.clone(),
            workers: Vec::new(),
            intake,
            redis,
            address,
        };
        Stage {
            client,
            rig,
            _worker: worker,
            _tokens: tokens,
        }
    }

    /// A stage with an orbit that the setting `names-it` names. The orbit has two versions, a
    /// denied issue and a waiting one.
    pub(super) async fn with_orbit() -> Stage {
        let stage = Stage::new().await;
        stage
            .put(ADMIN, &factory::small("plain"))
            .await
            .expect("a Blueprint");
        let mut orbit = stage.orbit("enhance-default").await;
        orbit["id"] = json!(ORBIT);
        stage
            .put(ADMIN, &orbit.to_string())
            .await
            .expect("an orbit");
        orbit["metadata"]["description"] = json!("An orbit of ours.");
        stage
            .put(ADMIN, &orbit.to_string())
            .await
            .expect("an orbit");
        for id in ["names-it", "spare"] {
            let setting = factory::setting(id, |s| {
                s.blueprint_id = ORBIT.to_owned();
                s.selector = factory::selector(v1::version_selector::Selector::SemverReq(
                    ">=0.0.1".to_owned(),
                ));
            });
            let put = stage
                .client
                .settings
                .clone()
                .put_setting(with(ADMIN, setting))
                .await;
            put.expect("a setting");
        }
        stage.propose().await;
        let denied = stage.submit(ADMIN, ORBIT, "nobody understands this", DENIED);
        denied.await.expect("an issue");
        stage.decided(DENIED).await;
        let request = v1::PauseQueueRequest {
            blueprint_id: Some(ORBIT.to_owned()),
        };
        let paused = stage
            .client
            .intake
            .clone()
            .pause_queue(with(ADMIN, request))
            .await;
        paused.expect("PauseQueue");
        let waiting = stage.submit(ADMIN, ORBIT, "tag waits", WAITING).await;
        waiting.expect("an issue");
        stage
    }

    pub(super) async fn put(&self, token: &str, document: &str) -> Result<(), Status> {
        let request = v1::PutBlueprintRequest {
            document: document.to_owned(),
            ..Default::default()
        };
        let mut blueprints = self.client.blueprints.clone();
        blueprints
            .put_blueprint(with(token, request))
            .await
            .map(drop)
    }

    pub(super) async fn get(
        &self,
        token: &str,
        id: &str,
    ) -> Result<v1::GetBlueprintResponse, Status> {
        let request = v1::GetBlueprintRequest {
            blueprint_id: id.to_owned(),
            selector: None,
        };
        let mut blueprints = self.client.blueprints.clone();
        let answer = blueprints.get_blueprint(with(token, request)).await?;
        Ok(answer.into_inner())
    }

    pub(super) async fn orbit(&self, id: &str) -> serde_json::Value {
        let head = self.get(ADMIN, id).await.expect("GetBlueprint");
        serde_json::from_str(&head.document_json).expect("JSON")
    }

    pub(super) async fn submit(
        &self,
        token: &str,
        blueprint_id: &str,
        intent: &str,
        issue_id: &str,
    ) -> Result<v1::SubmitIssueResponse, Status> {
        let request = v1::SubmitIssueRequest {
            blueprint_id: blueprint_id.to_owned(),
            intent: intent.to_owned(),
            issue_id: (!issue_id.is_empty()).then(|| issue_id.to_owned()),
            ..Default::default()
        };
        let answer = self
            .client
            .intake
            .clone()
            .submit_issue(with(token, request))
            .await?;
        Ok(answer.into_inner())
    }

    pub(super) async fn preview(&self, token: &str, blueprint_id: &str) -> Result<(), Status> {
        let request = v1::PreviewIssueRequest {
            blueprint_id: blueprint_id.to_owned(),
            intent: "tag previewed".to_owned(),
        };
        let mut intake = self.client.intake.clone();
        intake.preview_issue(with(token, request)).await.map(drop)
    }

    pub(super) async fn issue(&self, token: &str, issue_id: &str) -> Result<v1::Issue, Status> {
        let request = v1::GetIssueRequest {
            issue_id: issue_id.to_owned(),
        };
        let answer = self
            .client
            .intake
            .clone()
            .get_issue(with(token, request))
            .await?;
        Ok(answer.into_inner().issue.expect("an issue"))
    }

    pub(super) async fn decided(&self, issue_id: &str) -> v1::Issue {
        eventually(&format!("{issue_id} is decided"), async || {
            let issue = self
                .issue(ADMIN, issue_id)
                .await
                .map_err(|s| s.to_string())?;
            let decided = tests::client::is_terminal(&issue);
            decided.then_some(issue.clone()).ok_or(format!("{issue:?}"))
        })
        .await
    }

    /// All stored data, without the data that workers and consumers write about
    /// themselves.
    pub(super) async fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        let mut dump = self.rig.key_dump().await;
        let own = ["worker", "scripts", "audited", "pruned", "consume"];
        dump.retain(|key, _| !own.iter().any(|name| key.contains(name)));
        dump
    }

    /// Tries to change the verification by this RPC. A reading RPC reads its data.
    pub(super) async fn attack(&self, token: &str, rpc: &str) -> Result<(), Status> {
        let (mut intake, mut blueprints) =
            (self.client.intake.clone(), self.client.blueprints.clone());
        let (mut settings, mut log) = (self.client.settings.clone(), self.client.log.clone());
        let orbit = || ORBIT.to_owned();
        match rpc {
            "IntakeService/SubmitIssue" => self.submit(token, ORBIT, ATTACK, "").await.map(drop),
            "IntakeService/RetryIssue" => {
                let request = v1::RetryIssueRequest {
                    issue_id: DENIED.to_owned(),
                    ..Default::default()
                };
                intake.retry_issue(with(token, request)).await.map(drop)
            }
            "IntakeService/PreviewIssue" => self.preview(token, ORBIT).await,
            "IntakeService/CancelIssue" => {
                let request = v1::CancelIssueRequest {
                    issue_id: WAITING.to_owned(),
                };
                intake.cancel_issue(with(token, request)).await.map(drop)
            }
            "IntakeService/GetProposal"
            | "IntakeService/ApproveIssue"
            | "IntakeService/DeclineIssue" => self.attack_review(token, rpc).await,
            "IntakeService/GetIssue" => self.issue(token, DENIED).await.map(drop),
            "IntakeService/ListIssues" => {
                let request = v1::ListIssuesRequest::default();
                intake.list_issues(with(token, request)).await.map(drop)
            }
            "IntakeService/WatchIssue" => {
                let request = v1::WatchIssueRequest {
                    issue_id: DENIED.to_owned(),
                    ..Default::default()
                };
                intake.watch_issue(with(token, request)).await.map(drop)
            }
            "IntakeService/PauseQueue" => {
                let request = v1::PauseQueueRequest { blueprint_id: None };
                intake.pause_queue(with(token, request)).await.map(drop)
            }
            "IntakeService/ResumeQueue" => {
                let request = v1::ResumeQueueRequest { blueprint_id: None };
                intake.resume_queue(with(token, request)).await.map(drop)
            }
            "IntakeService/GetQueueStats" => {
                let request = v1::GetQueueStatsRequest {};
                intake.get_queue_stats(with(token, request)).await.map(drop)
            }
            "BlueprintService/PutBlueprint" => {
                let mut changed = self.orbit(ORBIT).await;
                changed["metadata"]["description"] = json!("Another one.");
                self.put(token, &changed.to_string()).await
            }
            "BlueprintService/GetBlueprint" => self.get(token, ORBIT).await.map(drop),
            "BlueprintService/ListBlueprints" => {
                let request = v1::ListBlueprintsRequest::default();
                blueprints
                    .list_blueprints(with(token, request))
                    .await
                    .map(drop)
            }
            "BlueprintService/ListCommits" => {
                let request = v1::ListCommitsRequest {
                    blueprint_id: orbit(),
                    ..Default::default()
                };
                blueprints
                    .list_commits(with(token, request))
                    .await
                    .map(drop)
            }
            "BlueprintService/DiffBlueprint" => {
                let [from_version, to_version] = self.first_two().await;
                let request = v1::DiffBlueprintRequest {
                    blueprint_id: orbit(),
                    from_version,
                    to_version,
                };
                blueprints
                    .diff_blueprint(with(token, request))
                    .await
                    .map(drop)
            }
            "BlueprintService/RevertBlueprint" => {
                let [version, _] = self.first_two().await;
                let request = v1::RevertBlueprintRequest {
                    blueprint_id: orbit(),
                    version,
                    ..Default::default()
                };
                blueprints
                    .revert_blueprint(with(token, request))
                    .await
                    .map(drop)
            }
            "BlueprintService/ArchiveBlueprint" => {
                let request = v1::ArchiveBlueprintRequest {
                    blueprint_id: orbit(),
                };
                blueprints
                    .archive_blueprint(with(token, request))
                    .await
                    .map(drop)
            }
            "BlueprintService/UnarchiveBlueprint" => {
                let request = v1::UnarchiveBlueprintRequest {
                    blueprint_id: orbit(),
                };
                blueprints
                    .unarchive_blueprint(with(token, request))
                    .await
                    .map(drop)
            }
            "BlueprintService/ExportBlueprint" => self.export(token).await.map(drop),
            "BlueprintService/ImportBlueprint" => {
                let messages = self.export(ADMIN).await.expect("ExportBlueprint");
                let request = with(token, stream::iter(messages));
                blueprints.import_blueprint(request).await.map(drop)
            }
            "BlueprintService/SetChannel" => {
                let [version, _] = self.first_two().await;
                let request = v1::SetChannelRequest {
                    blueprint_id: orbit(),
                    channel: "production".to_owned(),
                    version,
                    ..Default::default()
                };
                blueprints.set_channel(with(token, request)).await.map(drop)
            }
            "BlueprintService/DeleteChannel" => {
                let request = v1::DeleteChannelRequest {
                    blueprint_id: orbit(),
                    channel: "production".to_owned(),
                    expected_revision: None,
                };
                blueprints
                    .delete_channel(with(token, request))
                    .await
                    .map(drop)
            }
            "BlueprintService/ListChannels" => {
                let request = v1::ListChannelsRequest {
                    blueprint_id: orbit(),
                };
                blueprints
                    .list_channels(with(token, request))
                    .await
                    .map(drop)
            }
            "BlueprintService/ListChannelMoves" => {
                let request = v1::ListChannelMovesRequest {
                    blueprint_id: orbit(),
                    ..Default::default()
                };
                blueprints
                    .list_channel_moves(with(token, request))
                    .await
                    .map(drop)
            }
            REPORT => {
                let [version, _] = self.first_two().await;
                let request = v1::ReportVersionRequest {
                    consumer_id: "consumer".to_owned(),
                    blueprint_id: orbit(),
                    version,
                    status: v1::ConsumerStatus::Applied.into(),
                    ..Default::default()
                };
                blueprints
                    .report_version(with(token, request))
                    .await
                    .map(drop)
            }
            "BlueprintService/ListConsumers" => {
                let request = v1::ListConsumersRequest::default();
                blueprints
                    .list_consumers(with(token, request))
                    .await
                    .map(drop)
            }
            "BlueprintService/WatchBlueprints" => {
                let request = tests::blueprint_watcher::request(["*"]);
                blueprints
                    .watch_blueprints(with(token, request))
                    .await
                    .map(drop)
            }
            "SettingService/PutSetting" => {
                let request = factory::setting("default", factory::without_verification);
                settings.put_setting(with(token, request)).await.map(drop)
            }
            "SettingService/GetSetting" => {
                let request = v1::GetSettingRequest {
                    setting_id: "default".to_owned(),
                };
                settings.get_setting(with(token, request)).await.map(drop)
            }
            "SettingService/ListSettings" => {
                let request = v1::ListSettingsRequest::default();
                settings.list_settings(with(token, request)).await.map(drop)
            }
            "SettingService/DeleteSetting" => {
                let request = v1::DeleteSettingRequest {
                    setting_id: "spare".to_owned(),
                };
                settings
                    .delete_setting(with(token, request))
                    .await
                    .map(drop)
            }
            "EnhanceLogService/GetLogEntry" => {
                let request = v1::GetLogEntryRequest {
                    issue_id: DENIED.to_owned(),
                };
                log.get_log_entry(with(token, request)).await.map(drop)
            }
            "EnhanceLogService/ListLogEntries" => {
                let request = v1::ListLogEntriesRequest::default();
                log.list_log_entries(with(token, request)).await.map(drop)
            }
            "EnhanceLogService/GetActivity" => {
                let request = v1::GetActivityRequest::default();
                log.get_activity(with(token, request)).await.map(drop)
            }
            new => panic!(
                "{new} is not tried here: say how it could change what is verified, and docs/security.md who may"
            ),
        }
    }

    /// The versions of the orbit's first two commits.
    pub(super) async fn first_two(&self) -> [String; 2] {
        let request = v1::ListCommitsRequest {
            blueprint_id: ORBIT.to_owned(),
            ..Default::default()
        };
        let answer = self
            .client
            .blueprints
            .clone()
            .list_commits(with(ADMIN, request))
            .await;
        let commits = answer.expect("ListCommits").into_inner().commits;
        let version = |seq: u64| {
            let commit = commits.iter().find(|commit| commit.seq == seq);
            commit.expect("a commit").version.clone()
        };
        [version(1), version(2)]
    }

    pub(super) async fn export(
        &self,
        token: &str,
    ) -> Result<Vec<v1::ImportBlueprintRequest>, Status> {
        let request = v1::ExportBlueprintRequest {
            blueprint_id: ORBIT.to_owned(),
        };
        let mut blueprints = self.client.blueprints.clone();
        let answer = blueprints.export_blueprint(with(token, request));
        let mut answer = answer.await?.into_inner();
        let mut messages = Vec::new();
        while let Some(message) = answer.message().await? {
            messages.push(v1::ImportBlueprintRequest {
                commit: message.commit,
                document_yaml: message.document_yaml,
                last: message.last,
                channel_move: message.channel_move,
                replace_bundled: false,
            });
        }
        Ok(messages)
    }
}
