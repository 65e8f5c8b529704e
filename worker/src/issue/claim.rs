//! Claims a popped issue, or returns it to its queue.

use std::time::Instant;

use shared::error::chain;
use shared::store::{ClaimMode, ClaimOutcome, IssueRef, ReturnOutcome};
use shared::whole_ms::whole_ms;

use crate::issue::dispatcher::{Dispatcher, Granted, NeedsExclusiveRun, new_nonce};
use crate::issue::submitter::submitter;
use crate::pause::Pause;

impl Dispatcher {
    /// Claims the issue. Returns `None` if it cannot be claimed.
    pub(crate) async fn claim(
        &self,
        issue: &IssueRef,
        claim_mode: ClaimMode,
    ) -> Result<Option<Granted>, NeedsExclusiveRun> {
        let nonce = new_nonce();
        let lease_ms = whole_ms(self.lease);
        let known = self.documents.get(&issue.blueprint_id);
        let known_version = known.as_ref().map(|b| b.version());
        let mut pause = Pause::default();
        let deadline = Instant::now() + self.lease;
        let (mut asked, mut is_certain) = (Instant::now(), true);
        loop {
            let claimed = self
                .store
                .of(&issue.blueprint_id)
                .claim(
                    issue,
                    &self.worker_id,
                    &nonce,
                    lease_ms,
                    known_version,
                    claim_mode,
                )
                .await;
            match claimed {
                Ok(ClaimOutcome::Claimed(claimed)) => {
                    return Ok(Some(Granted {
                        claimed: *claimed,
                        known,
                        asked,
                    }));
                }
                Ok(ClaimOutcome::MustBeAlone) => return Err(NeedsExclusiveRun),
                Ok(outcome @ (ClaimOutcome::Archived | ClaimOutcome::OrbitNeedsAdmin)) => {
                    let actor = submitter(self.store.of(&issue.blueprint_id), issue).await;
                    tracing::info!(issue_id = %issue.issue_id, actor, ?outcome, "failed by the claim");
                    return Ok(None);
                }
                Ok(other) => {
                    tracing::debug!(issue_id = %issue.issue_id, outcome = ?other, "not claimed");
                    return Ok(None);
                }
                // A repeated claim with the same nonce returns the lease that was already granted.
                Err(error) if error.is_retryable() && Instant::now() < deadline => {
                    tracing::debug!(issue_id = %issue.issue_id, error = chain(&error), "claim is repeated");
                    is_certain &= error.certainly_not_executed();
                    pause.wait().await;
                    if is_certain {
                        asked = Instant::now();
                    }
                }
                Err(error) => {
                    tracing::warn!(issue_id = %issue.issue_id, error = chain(&error), "could not claim");
                    return Ok(None);
                }
            }
        }
    }

    /// Returns a popped element that this worker does not claim. If the call fails, the worker
    /// returns the element at sign-off, or a reaper does.
    pub(crate) async fn return_element(&self, issue: &IssueRef) {
        let shard = self.store.of(&issue.blueprint_id);
        let returned = shard.return_element(issue, self.worker_id.as_str());
        match returned.await {
            Ok(ReturnOutcome::Returned | ReturnOutcome::Gone | ReturnOutcome::NotMine) => {}
            Ok(ReturnOutcome::Leased) => {
                tracing::error!(issue_id = %issue.issue_id, "is leased by an unknown claim; its lease will expire");
            }
            Err(error) => {
                tracing::debug!(issue_id = %issue.issue_id, error = chain(&error), "could not return the element");
            }
        }
    }
}
