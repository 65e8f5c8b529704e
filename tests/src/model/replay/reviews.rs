//! The calls of reviewers on the real scripts.

use serde_json::json;
use shared::domain::actor::Actor;
use shared::ids::Version;

use crate::model::replay::calls::{NOBODY, answer};
use crate::model::replay::stage::{Stage, blueprint_name, issue_name};
use crate::model::state::IssueNo;
use crate::raw_script::outcome_for;
use crate::store_fixture::proposed;

impl Stage<'_> {
    /// By the script itself: the typed function maps outcomes.
    pub(super) async fn approve(&self, issue: IssueNo, base: u8, is_submitter: bool) -> String {
        let blueprint = self.scenario.issues[usize::from(issue)];
        let seq = u64::from(base) + 1;
        let new = proposed(&blueprint_name(blueprint), &issue_name(issue), seq);
        let submitter = Actor::anonymous();
        let own = json!({
            "new_version": new.version().as_str(),
            "base_version": self.version_of(issue, seq).await.as_str(),
            "by": if is_submitter { submitter.as_str() } else { "reviewer" },
            "comment": "",
            "is_authenticated": true,
            "refused_log": r#"{"cause":"failed"}"#,
        });
        let (store, issue) = (&self.fixture.store, self.issue(issue));
        answer(outcome_for(store, "approve_issue", &issue, NOBODY, own).await)
    }

    pub(super) async fn decline(&self, issue: IssueNo) -> String {
        let own = json!({ "reason": "no", "by": "reviewer" });
        let (store, issue) = (&self.fixture.store, self.issue(issue));
        answer(outcome_for(store, "decline_issue", &issue, NOBODY, own).await)
    }

    pub(super) async fn expire(&self, issue: IssueNo) -> String {
        let (store, issue) = (&self.fixture.store, self.issue(issue));
        answer(outcome_for(store, "expire_review", &issue, NOBODY, json!({})).await)
    }

    /// Moves the end of a review to the past.
    pub(super) async fn fall_due(&self, issue: IssueNo) {
        let (issue, keys) = (self.issue(issue), self.fixture.store.keys());
        let element = issue.element();
        let _: i64 = self
            .fixture
            .raw(&["ZADD", &keys.review_due(), "XX", "1", &element])
            .await;
        let proposal = keys.proposal(&issue.issue_id);
        let _: i64 = self
            .fixture
            .raw(&["HSET", &proposal, "expires_at", "1"])
            .await;
    }

    /// The version of a commit of the issue's Blueprint.
    async fn version_of(&self, issue: IssueNo, seq: u64) -> Version {
        let blueprint = self.issue(issue).blueprint_id;
        answer(self.fixture.store.commit(&blueprint, seq).await).version
    }
}
