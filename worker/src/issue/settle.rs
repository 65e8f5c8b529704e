//! Settles an issue, and takes over the queue's next one.

use std::sync::Arc;
use std::time::Instant;

use shared::domain::enhance_log::VerdictStatus;
use shared::error::chain;
use shared::fail_point;
use shared::ids::BlueprintId;
use shared::store::{Claimed, IssueRef, Lease, NextClaim, SettleOutcome, Settlement, StoreError};
use shared::telemetry::trace;
use shared::whole_ms::whole_ms;
use tracing::Instrument;

use crate::issue::dispatcher::{Dispatcher, Granted, HeadMoved, new_nonce};
use crate::issue::hand_over::HandOvers;
use crate::metrics::{self, Metrics};
use crate::pause::Pause;

impl Dispatcher {
    /// Settles an issue, and asks for the queue's next issue if `hand_overs` allows it. Repeats
    /// the call while the lease is trusted and the result is unknown.
    ///
    /// Returns the next issue if one was handed over.
    ///
    /// # Errors
    /// [`HeadMoved`] if the settlement is for an older head. It never is for a failure, which does
    /// not depend on the head.
    pub(crate) async fn settle(
        &self,
        claimed: &Claimed,
        settlement: Settlement,
        hand_overs: Option<&HandOvers>,
    ) -> Result<Option<Granted>, HeadMoved> {
        let IssueRef {
            blueprint_id,
            issue_id: issue,
        } = &claimed.lease.issue;
        // Notifying other shards may take long, and the lease of a handed-over issue is not
        // extended meanwhile.
        let asks =
            hand_overs.is_some_and(HandOvers::may_continue) && !self.must_notify_of(blueprint_id);
        let cached = match settlement.blueprint() {
            None if asks => self.documents.get(blueprint_id),
            _ => None,
        };
        let nonce = new_nonce();
        let next = asks.then(|| NextClaim {
            nonce: &nonce,
            lease_ms: whole_ms(self.lease),
            known: settlement
                .blueprint()
                .or(cached.as_ref())
                .map(|blueprint| blueprint.version()),
            yields: hand_overs.is_some_and(HandOvers::yields),
        });
        let (mut asked, mut is_certain) = (Instant::now(), true);
        let mut pause = Pause::default();
        loop {
            if !self.leases.is_trusted(issue) {
                tracing::warn!("lease is no longer trusted; the decision is dropped");
                self.release_untrusted(claimed).await;
                return Ok(None);
            }
            let settled = self
                .settle_once(&claimed.lease, &settlement, next.as_ref())
                .instrument(tracing::debug_span!(target: trace::TARGET, "settle"))
                .await;
            match settled {
                Ok((SettleOutcome::Settled(_), next)) => {
                    log_settled(&settlement);
                    self.count(&settlement);
                    self.notify_of_orbit(blueprint_id).await;
                    let written = settlement.blueprint().cloned();
                    if let Some(written) = &written {
                        self.documents.put(Arc::clone(written));
                    }
                    return Ok(next.map(|claimed| Granted {
                        claimed: *claimed,
                        known: written.or(cached),
                        asked,
                    }));
                }
                Ok((
                    SettleOutcome::MovedHead {
                        head,
                        settings_counter,
                    },
                    _,
                )) => {
                    return Err(HeadMoved {
                        head,
                        settings_counter,
                    });
                }
                Ok((SettleOutcome::Stale, _)) => {
                    Metrics::count(&self.metrics.stale);
                    tracing::info!(
                        "another worker decided or claimed the issue; the decision is dropped"
                    );
                    return Ok(None);
                }
                Ok((SettleOutcome::Archived, _)) => {
                    Metrics::count(&self.metrics.failed);
                    tracing::info!("blueprint was archived; failed");
                    return Ok(None);
                }
                Ok((SettleOutcome::OrbitNeedsAdmin, _)) => {
                    Metrics::count(&self.metrics.failed);
                    tracing::warn!(
                        "blueprint has become an orbit, and the issue was not submitted by an admin; failed"
                    );
                    return Ok(None);
                }
                Err(error) if error.is_retryable() => {
                    tracing::debug!(error = chain(&error), "settle is repeated");
                    is_certain &= error.certainly_not_executed();
                    pause.wait().await;
                    if is_certain {
                        asked = Instant::now();
                    }
                }
                Err(error) => {
                    tracing::error!(
                        error = chain(&error),
                        "could not settle; the lease will expire"
                    );
                    return Ok(None);
                }
            }
        }
    }

    async fn settle_once(
        &self,
        lease: &Lease,
        settlement: &Settlement,
        next: Option<&NextClaim<'_>>,
    ) -> Result<(SettleOutcome, Option<Box<Claimed>>), StoreError> {
        let shard = self.store.of(&lease.issue.blueprint_id);
        let settled = match next {
            Some(next) => {
                let settled = shard.settle_and_claim_next(lease, settlement, next);
                settled.await
            }
            None => {
                let settled = shard.settle(lease, settlement).await;
                settled.map(|outcome| (outcome, None))
            }
        };
        match &settled {
            Ok((_, Some(_))) => fail_point::pass("hand_over.after"),
            _ => fail_point::pass("settle.after"),
        }
        settled
    }

    /// True if this Blueprint is an orbit in use and other shards need a notification of its
    /// writes.
    fn must_notify_of(&self, target: &BlueprintId) -> bool {
        self.store.shards().len() > 1 && self.orbits.names(target)
    }

    /// Notifies the other shards that an orbit in use was written. A shard that cannot be notified
    /// is covered by the orbit watcher.
    async fn notify_of_orbit(&self, target: &BlueprintId) {
        if self.must_notify_of(target)
            && let Err(error) = self.store.orbit_was_written(target).await
        {
            tracing::debug!(
                error = chain(&error),
                "could not notify the other shards of a new orbit"
            );
        }
    }

    fn count(&self, settlement: &Settlement) {
        if let Settlement::Denied { log, .. } = settlement {
            metrics::denied(&log.verdicts);
        }
        Metrics::count(match settlement {
            Settlement::Applied { .. } => &self.metrics.applied,
            Settlement::Review(_) => &self.metrics.in_review,
            Settlement::Denied { .. } => &self.metrics.denied,
            Settlement::Failed { .. } => &self.metrics.failed,
        });
    }
}

/// Logs the decision without its reason, because the reason may quote the intent or the document.
/// The issue and the log entry contain the reason.
fn log_settled(settlement: &Settlement) {
    let log = settlement.log();
    let (issue_id, blueprint_id) = (&log.issue_id, &log.blueprint_id);
    match settlement {
        Settlement::Applied { blueprint, .. } => {
            let (version, label) = (blueprint.version(), blueprint.version_label());
            tracing::info!(%issue_id, %blueprint_id, %version, label, "applied");
        }
        Settlement::Review(_) => {
            let asking = log.verdicts.iter();
            let asking = asking.filter(|v| v.status == VerdictStatus::Review);
            let axes: Vec<&str> = asking.map(|verdict| verdict.axis.as_str()).collect();
            tracing::info!(%issue_id, %blueprint_id, ?axes, "needs a review");
        }
        Settlement::Denied { .. } => {
            let denying = log
                .verdicts
                .iter()
                .filter(|v| v.status == VerdictStatus::Deny);
            let axes: Vec<&str> = denying.map(|verdict| verdict.axis.as_str()).collect();
            tracing::info!(%issue_id, %blueprint_id, ?axes, "denied");
        }
        Settlement::Failed { dead, kind, .. } => {
            tracing::warn!(%issue_id, %blueprint_id, kind, dead, "failed; the issue's reason says why");
        }
    }
}
