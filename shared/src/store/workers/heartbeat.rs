//! The heartbeat of a worker.

use crate::domain::issue_ref::IssueRef;
use crate::ids::WorkerId;
use crate::store::queue::issue_block::Lease;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// What a heartbeat found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beat {
    /// Leases that are not this worker's any more: stop that work.
    pub lost: Vec<IssueRef>,
    /// Issues that were called off: stop that work.
    pub cancelled: Vec<IssueRef>,
    /// Elements of the processing list that no lease has: popped, and the reply got lost.
    pub unleased: Vec<IssueRef>,
    /// True if the worker's scripts are known. A worker that was silent for an hour is forgotten, and Redis may lose
    /// what it had: then they must be registered again.
    pub is_registered: bool,
}

/// How long a worker that is gone stays registered: a command that sat in a socket's buffer
/// can fill its list after its death.
pub(crate) const REMEMBERED_MS: u64 = 3_600_000;

impl Shard {
    /// Says that the worker lives and extends the leases that it names.
    ///
    /// # Errors
    /// [`StoreError`]; the leases may have been extended all the same.
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
