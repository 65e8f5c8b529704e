//! The gRPC clients of all four services, and the calls that every suite makes.
//!
//! A helper panics where the suites expect success. A test that expects an error calls the
//! generated client directly (`client.intake.submit_issue(…)`).

use proto::v1;
use proto::v1::blueprint_service_client::BlueprintServiceClient;
use proto::v1::enhance_log_service_client::EnhanceLogServiceClient;
use proto::v1::intake_service_client::IntakeServiceClient;
use proto::v1::setting_service_client::SettingServiceClient;
use proto::v1::version_selector::Selector;
use tonic::transport::{Channel, Endpoint};

use crate::eventually::{eventually, within_wait_limit};

/// A connected client of each service, over one channel.
#[derive(Debug, Clone)]
pub struct Client {
    /// The channel itself, for services that are not part of Draftsman.
    pub channel: Channel,
    /// `IntakeService`.
    pub intake: IntakeServiceClient<Channel>,
    /// `BlueprintService`.
    pub blueprints: BlueprintServiceClient<Channel>,
    /// `SettingService`.
    pub settings: SettingServiceClient<Channel>,
    /// `EnhanceLogService`.
    pub log: EnhanceLogServiceClient<Channel>,
}

/// The largest answer that a client accepts: above the server's page limit of 1 MiB, with room for
/// a document in two forms.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

impl Client {
    /// Connects to `address` (`host:port`) and waits until the server can reach Redis.
    ///
    /// # Panics
    /// If this does not happen within the wait limit.
    pub async fn connect(address: &str) -> Self {
        let client = Self::connect_unready(address).await;
        eventually("intake answers", async || {
            client
                .intake
                .clone()
                .get_queue_stats(v1::GetQueueStatsRequest {})
                .await
                .map_err(|s| s.to_string())
        })
        .await;
        client
    }

    /// Connects to `address` without waiting until the server is ready.
    ///
    /// # Panics
    /// If no server listens there.
    pub async fn connect_unready(address: &str) -> Self {
        let endpoint =
            Endpoint::from_shared(format!("http://{address}")).expect("an address makes a URL");
        let channel = eventually("intake listens", async || {
            endpoint.connect().await.map_err(|e| format!("{e:?}"))
        })
        .await;
        Self::over(channel)
    }

    /// Connects to `address` once; `None` if no server listens there.
    pub async fn try_connect(address: &str) -> Option<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).ok()?;
        endpoint.connect().await.ok().map(Self::over)
    }

    /// Creates clients over an existing channel.
    pub fn over(channel: Channel) -> Self {
        Self {
            intake: IntakeServiceClient::new(channel.clone())
                .max_decoding_message_size(MAX_ANSWER_BYTES),
            blueprints: BlueprintServiceClient::new(channel.clone())
                .max_decoding_message_size(MAX_ANSWER_BYTES),
            settings: SettingServiceClient::new(channel.clone())
                .max_decoding_message_size(MAX_ANSWER_BYTES),
            log: EnhanceLogServiceClient::new(channel.clone())
                .max_decoding_message_size(MAX_ANSWER_BYTES),
            channel,
        }
    }

    /// Stores `document` and returns its commit, which may already exist.
    ///
    /// # Panics
    /// If the server rejects it.
    pub async fn put(&self, document: impl Into<String>) -> v1::Commit {
        let request = v1::PutBlueprintRequest {
            document: document.into(),
            ..Default::default()
        };
        let answer = self
            .blueprints
            .clone()
            .put_blueprint(request)
            .await
            .expect("PutBlueprint");
        answer
            .into_inner()
            .commit
            .expect("PutBlueprint answers a commit")
    }

    /// Sends a write that the server must reject, and returns the error.
    ///
    /// # Panics
    /// If the server accepts it.
    pub async fn put_refused(&self, document: impl Into<String>) -> tonic::Status {
        let request = v1::PutBlueprintRequest {
            document: document.into(),
            ..Default::default()
        };
        match self.blueprints.clone().put_blueprint(request).await {
            Err(status) => status,
            Ok(answer) => panic!("a document that must be refused was stored: {answer:?}"),
        }
    }

    /// Submits an issue under an id that the server generates.
    ///
    /// # Panics
    /// If the server rejects it.
    pub async fn submit(&self, blueprint_id: &str, intent: impl Into<String>) -> v1::Issue {
        let request = v1::SubmitIssueRequest {
            blueprint_id: blueprint_id.to_owned(),
            intent: intent.into(),
            issue_id: None,
            ..Default::default()
        };
        let answer = self
            .intake
            .clone()
            .submit_issue(request)
            .await
            .expect("SubmitIssue");
        answer
            .into_inner()
            .issue
            .expect("SubmitIssue answers an issue")
    }

    /// Submits an issue and waits until it is decided.
    ///
    /// # Panics
    /// If the server rejects it, or it is not decided within the wait limit.
    pub async fn run(&self, blueprint_id: &str, intent: impl Into<String>) -> v1::Issue {
        let issue = self.submit(blueprint_id, intent).await;
        self.decided(&issue.issue_id).await
    }

    /// The present state of an issue.
    ///
    /// # Panics
    /// If it does not exist.
    pub async fn issue(&self, issue_id: &str) -> v1::Issue {
        let request = v1::GetIssueRequest {
            issue_id: issue_id.to_owned(),
        };
        let answer = self
            .intake
            .clone()
            .get_issue(request)
            .await
            .expect("GetIssue");
        answer
            .into_inner()
            .issue
            .expect("GetIssue answers an issue")
    }

    /// All messages of `WatchIssue` until the stream ends by itself.
    ///
    /// # Panics
    /// If the stream fails, or does not end within the wait limit.
    pub async fn watch(&self, issue_id: &str) -> Vec<v1::Issue> {
        let what = format!("WatchIssue of {issue_id} ends");
        let seen = within_wait_limit(&what, async {
            let request = v1::WatchIssueRequest {
                issue_id: issue_id.to_owned(),
                ..Default::default()
            };
            let mut stream = self.intake.clone().watch_issue(request).await?.into_inner();
            let mut seen = Vec::new();
            while let Some(message) = stream.message().await? {
                seen.push(message.issue.expect("WatchIssue sends issues"));
            }
            Ok::<_, tonic::Status>(seen)
        })
        .await;
        seen.unwrap_or_else(|status| panic!("{what}: {status}"))
    }

    /// Waits until the issue is decided and returns it.
    ///
    /// # Panics
    /// If it is not decided within the wait limit.
    pub async fn decided(&self, issue_id: &str) -> v1::Issue {
        let issue = self
            .watch(issue_id)
            .await
            .pop()
            .expect("WatchIssue sends the present state at once");
        assert!(
            is_terminal(&issue),
            "the last item of WatchIssue is not terminal: {issue:?}"
        );
        issue
    }

    /// The log entry of a decided issue.
    ///
    /// # Panics
    /// If it does not exist.
    pub async fn entry(&self, issue_id: &str) -> v1::LogEntry {
        let request = v1::GetLogEntryRequest {
            issue_id: issue_id.to_owned(),
        };
        let answer = self
            .log
            .clone()
            .get_log_entry(request)
            .await
            .expect("GetLogEntry");
        answer
            .into_inner()
            .entry
            .expect("GetLogEntry answers an entry")
    }

    /// The head of a Blueprint.
    ///
    /// # Panics
    /// If it does not exist.
    pub async fn head(&self, blueprint_id: &str) -> v1::GetBlueprintResponse {
        self.select(blueprint_id, None).await.expect("GetBlueprint")
    }

    /// The version that `selector` chooses.
    ///
    /// # Errors
    /// The error that the server returns.
    pub async fn select(
        &self,
        blueprint_id: &str,
        selector: Option<Selector>,
    ) -> Result<v1::GetBlueprintResponse, tonic::Status> {
        let selector = selector.map(|selector| v1::VersionSelector {
            selector: Some(selector),
        });
        let request = v1::GetBlueprintRequest {
            blueprint_id: blueprint_id.to_owned(),
            selector,
        };
        Ok(self
            .blueprints
            .clone()
            .get_blueprint(request)
            .await?
            .into_inner())
    }

    /// The head's document as JSON.
    ///
    /// # Panics
    /// If it does not exist.
    pub async fn head_json(&self, blueprint_id: &str) -> serde_json::Value {
        let head = self.head(blueprint_id).await;
        serde_json::from_str(&head.document_json).expect("document_json is JSON")
    }

    /// The queue statistics: waiting issues and workers.
    ///
    /// # Panics
    /// If the server returns an error.
    pub async fn stats(&self) -> v1::GetQueueStatsResponse {
        let answer = self
            .intake
            .clone()
            .get_queue_stats(v1::GetQueueStatsRequest {})
            .await;
        answer.expect("GetQueueStats").into_inner()
    }

    /// Changes the setting `default`.
    ///
    /// # Panics
    /// If the server rejects the change.
    pub async fn edit_setting(
        &self,
        edit: impl FnOnce(&mut v1::EnhanceSetting),
    ) -> v1::EnhanceSetting {
        let request = v1::GetSettingRequest {
            setting_id: "default".to_owned(),
        };
        let answer = self
            .settings
            .clone()
            .get_setting(request)
            .await
            .expect("GetSetting");
        let mut setting = answer
            .into_inner()
            .setting
            .expect("GetSetting answers a setting");
        edit(&mut setting);
        let request = v1::PutSettingRequest {
            setting: Some(setting),
            ..Default::default()
        };
        let answer = self
            .settings
            .clone()
            .put_setting(request)
            .await
            .expect("PutSetting");
        answer
            .into_inner()
            .setting
            .expect("PutSetting answers the setting")
    }

    /// Writes a setting.
    ///
    /// # Errors
    /// The error that the server returns.
    pub async fn put_setting(
        &self,
        request: v1::PutSettingRequest,
    ) -> Result<v1::PutSettingResponse, tonic::Status> {
        let answer = self.settings.clone().put_setting(request).await?;
        Ok(answer.into_inner())
    }

    /// Creates or moves a channel.
    ///
    /// # Panics
    /// If the server rejects it.
    pub async fn set_channel(&self, blueprint_id: &str, name: &str, version: &str) -> v1::Channel {
        let request = v1::SetChannelRequest {
            blueprint_id: blueprint_id.to_owned(),
            channel: name.to_owned(),
            version: version.to_owned(),
            ..Default::default()
        };
        let answer = self.blueprints.clone().set_channel(request).await;
        let answer = answer.expect("SetChannel").into_inner();
        answer.channel.expect("SetChannel answers a channel")
    }

    /// Deletes a setting.
    ///
    /// # Errors
    /// The error that the server returns.
    pub async fn delete_setting(&self, setting_id: &str) -> Result<(), tonic::Status> {
        let request = v1::DeleteSettingRequest {
            setting_id: setting_id.to_owned(),
        };
        self.settings.clone().delete_setting(request).await?;
        Ok(())
    }

    /// All commits of a Blueprint, oldest first.
    ///
    /// # Panics
    /// If the server returns an error.
    pub async fn history(&self, blueprint_id: &str) -> Vec<v1::Commit> {
        let mut commits = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListCommitsRequest {
                blueprint_id: blueprint_id.to_owned(),
                page_size: 0,
                page_token,
                ..Default::default()
            };
            let page = self
                .blueprints
                .clone()
                .list_commits(request)
                .await
                .expect("ListCommits")
                .into_inner();
            commits.extend(page.commits);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                commits.reverse();
                return commits;
            }
        }
    }

    /// All issues, newest first.
    ///
    /// # Panics
    /// If the server returns an error.
    pub async fn issues(&self) -> Vec<v1::Issue> {
        let mut issues = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListIssuesRequest {
                page_token,
                ..Default::default()
            };
            let page = self
                .intake
                .clone()
                .list_issues(request)
                .await
                .expect("ListIssues")
                .into_inner();
            issues.extend(page.issues);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return issues;
            }
        }
    }

    /// All log entries, oldest first.
    ///
    /// # Panics
    /// If the server returns an error.
    pub async fn entries(&self) -> Vec<v1::LogEntry> {
        let mut entries = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListLogEntriesRequest {
                page_token,
                ..Default::default()
            };
            let page = self
                .log
                .clone()
                .list_log_entries(request)
                .await
                .expect("ListLogEntries")
                .into_inner();
            entries.extend(page.entries);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return entries;
            }
        }
    }

    /// The ids of all Blueprints, including the bundled orbit and archived ones.
    ///
    /// # Panics
    /// If the server returns an error.
    pub async fn blueprint_ids(&self) -> Vec<String> {
        let all = self.all_blueprints().await.into_iter();
        all.map(|blueprint| blueprint.blueprint_id).collect()
    }

    /// The list entries of all Blueprints, including archived ones.
    ///
    /// # Panics
    /// If the server returns an error.
    pub async fn all_blueprints(&self) -> Vec<v1::BlueprintSummary> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListBlueprintsRequest {
                include_archived: true,
                page_size: 0,
                page_token,
            };
            let page = self
                .blueprints
                .clone()
                .list_blueprints(request)
                .await
                .expect("ListBlueprints")
                .into_inner();
            all.extend(page.blueprints);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return all;
            }
        }
    }
}

/// Whether the issue is in a terminal state.
pub fn is_terminal(issue: &v1::Issue) -> bool {
    matches!(
        issue.state(),
        v1::IssueState::Applied | v1::IssueState::Rejected
    )
}
