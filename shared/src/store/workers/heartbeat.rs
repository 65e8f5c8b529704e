//! The heartbeat of a worker.

use crate::domain::issue_ref::IssueRef;
use crate::ids::WorkerId;
use crate::store::queue::issue_block::Lease;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The result of a heartbeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beat {
    /// Leases that this worker no longer holds: stop their work.
    pub lost: Vec<IssueRef>,
    /// Cancelled issues: stop their work.
    pub cancelled: Vec<IssueRef>,
    /// Elements of the processing list without a lease: the reply of their pop was lost.
    pub unleased: Vec<IssueRef>,
    /// True if the worker's scripts are registered. They are removed after an hour without a
    /// heartbeat, and Redis can lose them. Register them again then.
    pub is_registered: bool,
}

/// How long a dead worker stays registered. A command in a socket's buffer can fill its list after
/// its death.
pub(crate) const REMEMBERED_MS: u64 = 3_600_000;

impl Shard {
    /// Records a heartbeat and extends the given leases.
    ///
    /// # Errors
    /// [`StoreError`]. The leases may be extended nevertheless.
    pub async fn beat(
        &self,
        worker: &WorkerId,
        lease_ms: u64,
        held: &[Lease],
    ) -> Result<Beat, StoreError> {
        let mut keys = vec![
            self.keys.workers(),
            self.keys.worker_load(),
            self.keys.leases(),
            self.keys.processing(worker.as_str()),
            self.keys.worker_scripts(),
        ];
        keys.extend(
            held.iter()
                .map(|lease| self.keys.issue(&lease.issue.issue_id)),
        );
        let mut reply = self
            .handle
            .script(&script::BEAT_WORKER, &keys, |call| {
                call.arg(worker.as_str()).arg(lease_ms);
                for lease in held {
                    call.arg(lease.issue.element()).arg(&lease.token);
                }
            })
            .await?;
        match reply.outcome() {
            "ok" => {
                let _now: u64 = reply.take()?;
                let mut elements = || -> Result<Vec<IssueRef>, StoreError> {
                    Ok(reply
                        .take::<Vec<String>>()?
                        .iter()
                        .filter_map(|e| IssueRef::parse(e))
                        .collect())
                };
                let (lost, cancelled, unleased) = (elements()?, elements()?, elements()?);
                Ok(Beat {
                    lost,
                    cancelled,
                    unleased,
                    is_registered: reply.take::<u8>()? == 1,
                })
            }
            _ => Err(reply.unknown()),
        }
    }
}
