//! The programs with a tokens file, and a Blueprint whose changes need a review.

use proto::v1;
use tests::client::Client;
use tests::eventually::eventually;
use tests::factory;
use tests::programs::Process;
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;
use tonic::{Request, Status};
use tonic_types::StatusExt;

/// Tokens of named actors. Their scopes are in [`Stage::start`].
pub(super) const ALICE: &str = "token-of-alice-5b2a7c";
pub(super) const BOB: &str = "token-of-bob-91d0aa10";
pub(super) const OPS: &str = "token-of-ops-77aa10ce";
/// Tokens without a name.
pub(super) const SUBMITTER: &str = "token-without-name-1";
pub(super) const REVIEWER: &str = "token-without-name-2";

/// The Blueprint whose changes need a review. Its setting is `reviewed`.
pub(super) const TARGET: &str = "guarded";

/// `message` with a token.
pub(super) fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("a header");
    request.metadata_mut().insert("authorization", value);
    request
}

/// The reason of a refusal.
pub(super) fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.unwrap_or_else(|| panic!("{status:?} has no ErrorInfo"))
        .reason
}

/// The value of a key in the metadata of a refusal.
pub(super) fn metadata(status: &Status, key: &str) -> String {
    let info = status.get_details_error_info().expect("ErrorInfo");
    let found = info.metadata.get(key);
    found
        .unwrap_or_else(|| panic!("{status:?} has no {key}"))
        .clone()
}

/// The programs.
pub(super) struct Stage {
    pub(super) rig: Rig,
    _tokens: tempfile::NamedTempFile,
}

impl Stage {
    /// Starts everything, with one worker.
    pub(super) async fn start() -> Stage {
        Self::start_with(&[]).await
    }

    /// As [`Stage::start`], with additional variables of intake.
    pub(super) async fn start_with(env: &[(&str, &str)]) -> Stage {
        let tokens = tempfile::NamedTempFile::new().expect("a file");
        let text = format!(
            "submit alice {ALICE}\nreview bob {BOB}\nadmin ops {OPS}\n\
             submit {SUBMITTER}\nreview {REVIEWER}\n"
        );
        std::fs::write(tokens.path(), text).expect("the file of tokens");
        let path = tokens.path().to_str().expect("a plain path");
        let redis = RedisServer::start(Aof::None);
        let mut all = vec![("DRAFTSMAN_TOKENS_FILE", path)];
        all.extend_from_slice(env);
        let mut intake = Process::intake(&redis.url(), &all);
        let address = intake.address().await;
        let client = Client::connect_unready(&address).await;
        intake.until_ready().await;
        let worker = Process::worker(&redis.url(), &[]);
        worker.until_ready().await;
        let stage = Stage {
            rig: Rig {
                client,
                workers: vec![worker],
                intake,
                redis,
                address,
            },
            _tokens: tokens,
        };
        stage.put(factory::small(TARGET)).await;
        stage.put_setting(|_| {}).await;
        stage
    }

    /// Writes the setting of [`TARGET`].
    pub(super) async fn put_setting(&self, edit: impl FnOnce(&mut v1::EnhanceSetting)) {
        let request = factory::setting("reviewed", |setting| {
            setting.verifier_axes = vec!["noop".to_owned(), "human-review".to_owned()];
            setting.applies_to = vec![TARGET.to_owned()];
            edit(setting);
        });
        let mut settings = self.rig.client.settings.clone();
        let put = settings.put_setting(with(OPS, request)).await;
        put.expect("PutSetting");
    }

    /// Writes a document past the review.
    pub(super) async fn put(&self, document: String) -> v1::Commit {
        let request = v1::PutBlueprintRequest {
            document,
            ..Default::default()
        };
        let mut blueprints = self.rig.client.blueprints.clone();
        let put = blueprints.put_blueprint(with(OPS, request)).await;
        put.expect("PutBlueprint")
            .into_inner()
            .commit
            .expect("a commit")
    }

    /// Submits an issue as the holder of `token`.
    pub(super) async fn submit(&self, token: &str, intent: &str) -> String {
        let request = v1::SubmitIssueRequest {
            blueprint_id: TARGET.to_owned(),
            intent: intent.to_owned(),
            ..Default::default()
        };
        let mut intake = self.rig.client.intake.clone();
        let answer = intake.submit_issue(with(token, request)).await;
        let answer = answer.expect("SubmitIssue").into_inner();
        answer.issue.expect("an issue").issue_id
    }

    /// Submits an issue, waits until it is in review, and returns its proposal.
    pub(super) async fn propose(&self, token: &str, intent: &str) -> v1::Proposal {
        let issue_id = self.submit(token, intent).await;
        self.in_review(&issue_id).await;
        self.proposal(&issue_id).await.expect("GetProposal")
    }

    pub(super) async fn issue(&self, issue_id: &str) -> v1::Issue {
        let request = v1::GetIssueRequest {
            issue_id: issue_id.to_owned(),
        };
        let mut intake = self.rig.client.intake.clone();
        let answer = intake.get_issue(with(OPS, request)).await;
        answer
            .expect("GetIssue")
            .into_inner()
            .issue
            .expect("an issue")
    }

    /// Waits until the issue is in a state that `is_expected`.
    pub(super) async fn until(
        &self,
        issue_id: &str,
        what: &str,
        is_expected: impl Fn(&v1::Issue) -> bool,
    ) -> v1::Issue {
        eventually(&format!("{issue_id} is {what}"), async || {
            let issue = self.issue(issue_id).await;
            let as_expected = is_expected(&issue);
            as_expected
                .then_some(issue.clone())
                .ok_or_else(|| format!("{issue:?}"))
        })
        .await
    }

    /// Waits until the issue is in review.
    pub(super) async fn in_review(&self, issue_id: &str) -> v1::Issue {
        self.until(issue_id, "in review", |issue| {
            issue.state() == v1::IssueState::InReview
        })
        .await
    }

    pub(super) async fn proposal(&self, issue_id: &str) -> Result<v1::Proposal, Status> {
        let request = v1::GetProposalRequest {
            issue_id: issue_id.to_owned(),
        };
        let mut intake = self.rig.client.intake.clone();
        let answer = intake.get_proposal(with(ALICE, request)).await?;
        Ok(answer.into_inner().proposal.expect("a proposal"))
    }

    /// Approves what `proposal` says, as the holder of `token`.
    pub(super) async fn approve(
        &self,
        token: &str,
        proposal: &v1::Proposal,
    ) -> Result<v1::Issue, Status> {
        let request = v1::ApproveIssueRequest {
            issue_id: proposal.issue_id.clone(),
            new_version: proposal.new_version.clone(),
            base_version: proposal.base_version.clone(),
            comment: Some("read twice".to_owned()),
        };
        let mut intake = self.rig.client.intake.clone();
        let answer = intake.approve_issue(with(token, request)).await?;
        Ok(answer.into_inner().issue.expect("an issue"))
    }

    /// Declines an issue as the holder of `token`.
    pub(super) async fn decline(
        &self,
        token: &str,
        issue_id: &str,
        reason: &str,
    ) -> Result<v1::Issue, Status> {
        let request = v1::DeclineIssueRequest {
            issue_id: issue_id.to_owned(),
            reason: reason.to_owned(),
        };
        let mut intake = self.rig.client.intake.clone();
        let answer = intake.decline_issue(with(token, request)).await?;
        Ok(answer.into_inner().issue.expect("an issue"))
    }

    pub(super) async fn cancel(&self, token: &str, issue_id: &str) -> v1::Issue {
        let request = v1::CancelIssueRequest {
            issue_id: issue_id.to_owned(),
        };
        let mut intake = self.rig.client.intake.clone();
        let answer = intake.cancel_issue(with(token, request)).await;
        answer
            .expect("CancelIssue")
            .into_inner()
            .issue
            .expect("an issue")
    }

    /// The log entry of a decided issue.
    pub(super) async fn entry(&self, issue_id: &str) -> v1::LogEntry {
        let request = v1::GetLogEntryRequest {
            issue_id: issue_id.to_owned(),
        };
        let mut log = self.rig.client.log.clone();
        let answer = log.get_log_entry(with(OPS, request)).await;
        answer
            .expect("GetLogEntry")
            .into_inner()
            .entry
            .expect("an entry")
    }

    /// The head of [`TARGET`].
    pub(super) async fn head(&self) -> v1::GetBlueprintResponse {
        let request = v1::GetBlueprintRequest {
            blueprint_id: TARGET.to_owned(),
            selector: None,
        };
        let mut blueprints = self.rig.client.blueprints.clone();
        let answer = blueprints.get_blueprint(with(OPS, request)).await;
        answer.expect("GetBlueprint").into_inner()
    }

    /// The page of issues that match.
    pub(super) async fn list(&self, request: v1::ListIssuesRequest) -> v1::ListIssuesResponse {
        let mut intake = self.rig.client.intake.clone();
        let answer = intake.list_issues(with(ALICE, request)).await;
        answer.expect("ListIssues").into_inner()
    }

    pub(super) async fn stats(&self) -> v1::GetQueueStatsResponse {
        let mut intake = self.rig.client.intake.clone();
        let answer = intake.get_queue_stats(with(ALICE, v1::GetQueueStatsRequest {}));
        answer.await.expect("GetQueueStats").into_inner()
    }
}
