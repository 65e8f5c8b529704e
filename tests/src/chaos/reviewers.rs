//! Issues that need a review, and a reviewer who approves, declines or ignores them at random.

use std::time::Duration;

use proto::v1;
use proto::v1::IssueState;
use proto::v1::intake_service_client::IntakeServiceClient;
use shared::domain::bundled::DEFAULT_SETTING;
use shared::domain::id_pattern::IdPattern;
use shared::domain::proposal::ReviewPolicy;
use shared::domain::setting::EnhanceSetting;
use shared::ids::SettingId;
use shared::store::{PutSettingOutcome, Store};
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::{Code, Status};

use crate::chaos::load::{AGAIN, Load, is_passing};
use crate::chaos::stage::N_INTAKES;
use crate::client::is_terminal;
use crate::eventually::eventually;
use crate::factory;
use crate::rng::SeededRng;

/// The Blueprint whose changes need a review. A tenth of the issues target it.
pub(super) const REVIEWED: &str = "reviewed";
/// The pause between two submissions to it.
const PAUSE_MS: usize = 200;
/// The time after which an ignored proposal is declined.
const TTL_SECS: u64 = 3;

/// Writes the setting of [`REVIEWED`].
///
/// # Panics
/// If the store does not answer.
pub(super) async fn prepare(redis_url: &str) {
    let store = Store::open(redis_url, 1).expect("a URL of Redis");
    let default = SettingId::parse(DEFAULT_SETTING).expect("an id");
    let bundled = eventually("the bundled setting is written", async || {
        match store.home().setting(&default).await {
            Ok(Some(setting)) => Ok(setting),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let mut setting = EnhanceSetting {
        id: SettingId::parse(REVIEWED).expect("an id"),
        applies_to: vec![IdPattern::parse(REVIEWED).expect("a pattern")],
        review: ReviewPolicy {
            ttl_secs: TTL_SECS,
            allow_self_review: false,
        },
        ..bundled
    };
    setting.verifier_axes.push("human-review".to_owned());
    let put = store.put_setting(&setting, None).await;
    assert!(matches!(put, Ok(PutSettingOutcome::Stored(_))), "{put:?}");
}

/// A document that an operator writes; each call gives a different one.
pub(super) fn document(edit: usize) -> String {
    factory::small(REVIEWED).replace("sample reviewed", &format!("edit {edit} of reviewed"))
}

impl Load {
    /// Submits issues that need a review.
    pub(super) async fn review_submitter(self, stopped: watch::Receiver<bool>) {
        let mut rng = SeededRng::part(self.seed, 9);
        let mut n = 0;
        while !*stopped.borrow() {
            let id = format!("r-{n}");
            self.note(|loaded| {
                loaded.reviewed.entry(id.clone()).or_default();
            });
            let intent = match n % 5 {
                3 => "nobody understands this".to_owned(),
                4 => format!("describe as number {n}"),
                _ => format!("tag n{}", n % 20),
            };
            self.submit_to(REVIEWED, &id, intent, &mut rng).await;
            if rng.one_in(6) {
                self.put(rng.roll(N_INTAKES), document(n + 1)).await;
            }
            sleep(Duration::from_millis(PAUSE_MS as u64)).await;
            n += 1;
        }
    }

    /// Decides over proposals until every issue is decided. A proposal that it ignores expires.
    pub(super) async fn reviewer(self, stopped: watch::Receiver<bool>) {
        let mut rng = SeededRng::part(self.seed, 10);
        loop {
            let is_last = *stopped.borrow();
            match self.inbox(rng.roll(N_INTAKES)).await {
                Ok(issues) => {
                    for issue in issues {
                        self.review(&issue.issue_id, &mut rng).await;
                    }
                }
                Err(status) if is_passing(&status) => {}
                Err(status) => self.problem(format!("ListIssues answered {status}")),
            }
            if is_last && self.are_all_decided(rng.roll(N_INTAKES)).await {
                return;
            }
            sleep(AGAIN).await;
        }
    }

    async fn inbox(&self, intake: usize) -> Result<Vec<v1::Issue>, Status> {
        let mut intake = IntakeServiceClient::new(self.stage.channel(intake));
        let request = v1::ListIssuesRequest {
            state: Some(IssueState::InReview.into()),
            ..Default::default()
        };
        Ok(intake.list_issues(request).await?.into_inner().issues)
    }

    /// Whether every acknowledged issue that needs a review is decided.
    async fn are_all_decided(&self, intake: usize) -> bool {
        let mut ids = Vec::new();
        self.note(|loaded| {
            let acknowledged = loaded.acknowledged.iter();
            let reviewed = acknowledged.filter(|id| loaded.reviewed.contains_key(*id));
            ids = reviewed.cloned().collect();
        });
        let mut intake = IntakeServiceClient::new(self.stage.channel(intake));
        for issue_id in ids {
            let found = intake.get_issue(v1::GetIssueRequest { issue_id }).await;
            let issue = found.ok().and_then(|found| found.into_inner().issue);
            if !issue.is_some_and(|issue| is_terminal(&issue)) {
                return false;
            }
        }
        true
    }

    async fn review(&self, issue_id: &str, rng: &mut SeededRng) {
        let intake = rng.roll(N_INTAKES);
        let answered = match rng.roll(10) {
            0..5 => self.approve(issue_id, intake, rng).await,
            5..7 => self.decline(issue_id, intake).await,
            _ => Ok(()),
        };
        match answered {
            Ok(()) => {}
            // The head has moved, somebody else has decided, or the proposal has expired.
            Err(status) if matches!(status.code(), Code::Aborted | Code::FailedPrecondition) => {
                self.stage.tally.loaded("reviews refused");
            }
            Err(status) if is_passing(&status) => self.stage.tally.loaded("reviews unanswered"),
            Err(status) => self.problem(format!("a review of {issue_id} answered {status}")),
        }
    }

    async fn approve(
        &self,
        issue_id: &str,
        intake: usize,
        rng: &mut SeededRng,
    ) -> Result<(), Status> {
        let mut intake = IntakeServiceClient::new(self.stage.channel(intake));
        let request = v1::GetProposalRequest {
            issue_id: issue_id.to_owned(),
        };
        let answer = intake.get_proposal(request).await?.into_inner();
        let proposal = answer.proposal.unwrap_or_default();
        // The head may move while the reviewer reads.
        sleep(Duration::from_millis(rng.roll(200) as u64)).await;
        self.note(|loaded| {
            let approved = loaded.reviewed.entry(issue_id.to_owned()).or_default();
            approved.push(proposal.new_version.clone());
        });
        let request = v1::ApproveIssueRequest {
            issue_id: issue_id.to_owned(),
            new_version: proposal.new_version,
            base_version: proposal.base_version,
            comment: Some("seen".to_owned()),
        };
        self.stage.tally.loaded("approvals");
        intake.approve_issue(request).await.map(drop)
    }

    async fn decline(&self, issue_id: &str, intake: usize) -> Result<(), Status> {
        let mut intake = IntakeServiceClient::new(self.stage.channel(intake));
        let request = v1::DeclineIssueRequest {
            issue_id: issue_id.to_owned(),
            reason: "not like this".to_owned(),
        };
        self.stage.tally.loaded("declines");
        intake.decline_issue(request).await.map(drop)
    }
}
