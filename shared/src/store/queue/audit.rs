//! Audits the queues: compares each queue's head with the record `places`.
//!
//! They differ only if Redis lost data or a script has a defect. Nothing else detects this, and no
//! worker would receive that queue again. The reads here run outside any script and only find
//! suspect queues; they can be slightly stale. The script `audit_queue` checks everything again and
//! repairs only what is wrong at that moment.
//!
//! Times in Redis come from its clock. A time beyond the longest possible wait was written before
//! the clock was set back. It would block its queue until that time, so the audit repairs it too.

use std::collections::HashSet;
use std::time::Duration;

use redis::cmd;
use serde::Serialize;

use crate::domain::issue_ref::IssueRef;
use crate::ids::{BlueprintId, IssueId};
use crate::store::queue::issue_block::{NO_HEAD, NOBODY};
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;
use crate::whole_ms::whole_ms;

/// The number of queues, or elements of a list, in one round trip.
const BATCH: usize = 500;

/// A repaired queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// The Blueprint of the queue.
    pub blueprint_id: BlueprintId,
    /// The wrong place: `none`, `ready`, `leased`, `delayed` or `parked`.
    pub place: String,
}

#[derive(Serialize)]
struct AuditArg<'a> {
    workers: &'a [String],
}

impl Shard {
    /// Returns true for one caller per interval `every`: that caller runs the audit.
    ///
    /// # Errors
    /// [`StoreError`]. The turn may be taken nevertheless; the next one follows after `every`.
    pub async fn take_audit_turn(&self, every: Duration) -> Result<bool, StoreError> {
        self.take_turn("audit turn", self.keys.audited(), every)
            .await
    }

    /// Returns true for one caller per interval `every` and key.
    pub(crate) async fn take_turn(
        &self,
        call: &'static str,
        key: String,
        every: Duration,
    ) -> Result<bool, StoreError> {
        let every_ms = whole_ms(every);
        let mut turn = redis::pipe();
        turn.cmd("SET").arg(&key).arg("1").arg("NX");
        turn.arg("PX").arg(every_ms);
        turn.cmd("PTTL").arg(&key);
        match self
            .handle
            .pipeline::<(Option<String>, i64)>(call, &turn)
            .await
        {
            Ok((Some(_), _)) => Ok(true),
            // A mark beyond the longest duration: Redis's clock was set back. Concurrent callers
            // may all reset it.
            Ok((None, left_ms)) if u64::try_from(left_ms).is_ok_and(|left| left > every_ms) => {
                let again = cmd("SET")
                    .arg(&key)
                    .arg("1")
                    .arg("PX")
                    .arg(every_ms)
                    .to_owned();
                let _: String = self.handle.command(call, &again).await?;
                Ok(true)
            }
            Ok((None, _)) => Ok(false),
            // A full Redis stores no mark but still needs the work of the turn. Concurrent callers
            // may all do it.
            Err(error) if error.is_full() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Checks every queue that is not empty and repairs wrong places. Returns the repaired queues;
    /// without faults, the list is empty.
    ///
    /// Cancel safety: a dropped call loses nothing. Any number of callers can run it at any time.
    ///
    /// # Errors
    /// [`StoreError`]. Finished repairs remain.
    pub async fn audit_queues(&self) -> Result<Vec<Repaired>, StoreError> {
        self.pull_workers_back().await?;
        let workers = self.registered_workers().await?;
        let mut listed = HashSet::new();
        let lists = workers.iter().map(|w| self.keys.processing(w));
        for list in lists.chain([self.keys.pending()]) {
            self.read_list(&list, &mut listed).await?;
        }
        let (mut repaired, mut seen) = (Vec::new(), HashSet::new());
        // A queue without a place is found by its waiting issues.
        let scans = [
            (cmd("HSCAN"), self.keys.places()),
            (cmd("ZSCAN"), self.keys.waiting()),
        ];
        for (scan, index) in scans {
            let mut cursor = 0_u64;
            loop {
                let mut scan = scan.clone();
                scan.arg(&index).arg(cursor).arg("COUNT").arg(BATCH);
                let rows: (u64, Vec<(String, String)>) =
                    self.handle.command("audit scan", &scan).await?;
                let names = rows.1.into_iter().map(|(name, _)| name);
                let new = names.filter(|name| seen.insert(name.clone()));
                let new: Vec<_> = new.filter_map(|n| BlueprintId::parse(&n).ok()).collect();
                self.audit_batch(new, &listed, &workers, &mut repaired)
                    .await?;
                cursor = rows.0;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(repaired)
    }

    /// Resets heartbeats in the future to the current time. They stem from before Redis's clock was
    /// set back. Otherwise the death of such a worker would be detected late.
    async fn pull_workers_back(&self) -> Result<(), StoreError> {
        let now = self.server_ms().await?;
        let mut range = cmd("ZRANGEBYSCORE");
        range
            .arg(self.keys.workers())
            .arg(format!("({now}"))
            .arg("+inf");
        let ahead: Vec<String> = self.handle.command("workers ahead", &range).await?;
        if ahead.is_empty() {
            return Ok(());
        }
        let mut pull = cmd("ZADD");
        // Changes only workers without a heartbeat in the meantime.
        pull.arg(self.keys.workers()).arg("XX").arg("LT");
        for worker in ahead {
            pull.arg(now).arg(worker);
        }
        let _: u64 = self.handle.command("pull workers back", &pull).await?;
        Ok(())
    }

    async fn audit_batch(
        &self,
        blueprints: Vec<BlueprintId>,
        listed: &HashSet<String>,
        workers: &[String],
        repaired: &mut Vec<Repaired>,
    ) -> Result<(), StoreError> {
        if blueprints.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        for blueprint in &blueprints {
            pipeline
                .cmd("HGET")
                .arg(self.keys.places())
                .arg(blueprint.as_str());
            pipeline
                .cmd("LINDEX")
                .arg(self.keys.backlog(blueprint))
                .arg(0);
        }
        let read: Vec<Option<String>> = self.handle.pipeline("audit read", &pipeline).await?;
        for (blueprint_id, read) in blueprints.into_iter().zip(read.chunks(2)) {
            let head = read[1].as_deref().and_then(|item| item.split('|').next());
            let head = head.and_then(|id| IssueId::parse(id).ok());
            let is_listed = head.as_ref().is_some_and(|id| {
                let issue = IssueRef {
                    blueprint_id: blueprint_id.clone(),
                    issue_id: id.clone(),
                };
                listed.contains(&issue.element())
            });
            if read[0].as_deref() == Some("ready") && is_listed {
                continue;
            }
            if let Some(place) = self
                .audit_queue(&blueprint_id, head.as_ref(), workers)
                .await?
            {
                repaired.push(Repaired {
                    blueprint_id,
                    place,
                });
            }
        }
        Ok(())
    }

    /// Returns the repaired wrong place, or `None`.
    async fn audit_queue(
        &self,
        blueprint: &BlueprintId,
        head: Option<&IssueId>,
        workers: &[String],
    ) -> Result<Option<String>, StoreError> {
        let head = head.map_or(NO_HEAD, IssueId::as_str);
        let arg = AuditArg { workers };
        let mut reply = self
            .queue_script(&script::AUDIT_QUEUE, blueprint, head, NOBODY, &arg, None)
            .await?;
        match reply.outcome() {
            "sound" | "placed" | "moved" => Ok(None),
            "repaired" => Ok(Some(reply.take()?)),
            _ => Err(reply.unknown()),
        }
    }

    async fn read_list(&self, list: &str, into: &mut HashSet<String>) -> Result<(), StoreError> {
        let mut start = 0;
        loop {
            let range = cmd("LRANGE")
                .arg(list)
                .arg(start)
                .arg(start + BATCH - 1)
                .to_owned();
            let part: Vec<String> = self.handle.command("audit list", &range).await?;
            let full = part.len() == BATCH;
            into.extend(part);
            if !full {
                return Ok(());
            }
            start += BATCH;
        }
    }
}
