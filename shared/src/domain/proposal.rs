//! A proposal: a verified change that waits for the decision of a person.

use std::time::Duration;

use crate::domain::actor::Actor;
use crate::domain::enhance_log::{SpawnerUsage, Verdict};
use crate::ids::{BlueprintId, IssueId, Version};

/// The maximum length of a reviewer's comment or reason, in bytes.
pub const MAX_REVIEW_TEXT_BYTES: usize = 4 << 10;

/// The default of [`ReviewPolicy::ttl_secs`]: 7 days.
pub const DEFAULT_REVIEW_TTL_SECS: u64 = 7 * 24 * 3_600;

/// The maximum of [`ReviewPolicy::ttl_secs`]: one year.
pub const MAX_REVIEW_TTL_SECS: u64 = 365 * 24 * 3_600;

/// The rules of the reviews under a setting. A proposal keeps the rules under which it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReviewPolicy {
    /// The time that a proposal waits for a review, in seconds; 0: no limit.
    pub ttl_secs: u64,
    /// True if the submitter of an issue may approve it.
    pub allow_self_review: bool,
}

impl Default for ReviewPolicy {
    fn default() -> Self {
        Self {
            ttl_secs: DEFAULT_REVIEW_TTL_SECS,
            allow_self_review: false,
        }
    }
}

impl ReviewPolicy {
    /// Returns the time that a proposal waits for a review; `None` without a limit.
    pub fn ttl(&self) -> Option<Duration> {
        (self.ttl_secs > 0).then(|| Duration::from_secs(self.ttl_secs))
    }

    /// Returns the reason of an issue that nobody reviewed in time.
    pub fn expiry_reason(&self) -> String {
        let units = [("day", 24 * 3_600), ("hour", 3_600), ("minute", 60)];
        let fitting = units.into_iter().find(|(_, secs)| {
            // An hour and a half is 90 minutes, not 1 hour.
            self.ttl_secs >= *secs && self.ttl_secs.is_multiple_of(*secs)
        });
        let (unit, secs) = fitting.unwrap_or(("second", 1));
        let n = self.ttl_secs / secs;
        let plural = if n == 1 { "" } else { "s" };
        format!("no review within {n} {unit}{plural}")
    }
}

/// A change that waits for a review, with all that a reviewer needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The issue.
    pub issue_id: IssueId,
    /// Its target.
    pub blueprint_id: BlueprintId,
    /// The intent of the issue.
    pub intent: String,
    /// The submitter of the issue; `None` in data of releases without actors.
    pub submitted_by: Option<Actor>,
    /// The version of the proposed document.
    pub version: Version,
    /// The proposed document: canonical YAML.
    pub document: String,
    /// The head that the change was verified on.
    pub base_version: Version,
    /// The number of the commit of that head.
    pub base_seq: u64,
    /// True if the head has moved since.
    pub head_moved: bool,
    /// The spawner's RFC 6902 patch.
    pub patch_json: String,
    /// The spawner's rationale for its patch.
    pub rationale: String,
    /// The verdict of each axis.
    pub verdicts: Vec<Verdict>,
    /// Why a person has to decide, as `axis: reason`; at least one.
    pub reasons: Vec<String>,
    /// The cost of the spawner.
    pub usage: SpawnerUsage,
    /// The number of this proposal of the issue, from 1.
    pub round: u32,
    /// True if the submitter may approve it.
    pub allow_self_review: bool,
    /// The time of the proposal, Redis time.
    pub proposed_at_ms: u64,
    /// The time at which it is declined without a review, Redis time; `None`: never.
    pub expires_at_ms: Option<u64>,
}

/// What a claim hands to the worker of an issue whose approval found another head: the proposed
/// change is verified again, and no model is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPatch {
    /// The spawner's whole reply, as JSON.
    pub reply_json: String,
    /// The cost of the spawner.
    pub usage: SpawnerUsage,
}

/// The approval of a document that a person has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The version of the proposed document.
    pub new_version: Version,
    /// The head that it was verified on.
    pub base_version: Version,
    /// The comment; empty without one.
    pub comment: String,
    /// The approver.
    pub by: Actor,
    /// True if intake has authenticated the approver. Only then is self-review refused.
    pub is_authenticated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_an_expiry_has_whole_units() {
        for (ttl_secs, expected) in [
            (DEFAULT_REVIEW_TTL_SECS, "no review within 7 days"),
            (24 * 3_600, "no review within 1 day"),
            (36 * 3_600, "no review within 36 hours"),
            (5_400, "no review within 90 minutes"),
            (1, "no review within 1 second"),
        ] {
            let policy = ReviewPolicy {
                ttl_secs,
                ..ReviewPolicy::default()
            };
            assert_eq!(policy.expiry_reason(), expected);
        }
    }
}
