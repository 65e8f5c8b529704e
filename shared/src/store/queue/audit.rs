//! The audit of the queues: is every queue's head where the record `places` says it is?
//!
//! It is, unless Redis lost something or a script is wrong, and then nobody else would ever look: an
//! untrue place means that no worker hears of that queue again. What is read here, outside any
//! script, only finds queues to suspect, and may be old by a moment. The script `audit_queue`
//! looks at everything again and mends only what is untrue then.
//!
//! Times in Redis are by its clock. One that lies further ahead than any wait lasts was written before
//! the clock was set back, and would hold its queue for as long as that; the audit finds these, too.

use std::collections::HashSet;
use std::time::Duration;

use redis::cmd;

use crate::domain::issue_ref::IssueRef;
use crate::ids::{BlueprintId, IssueId};
use crate::store::queue::issue_block::{NO_HEAD, head_args_of};
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;
use crate::whole_ms::whole_ms;

/// How many queues, or elements of a list, are read in one round trip.
const BATCH: usize = 500;

/// A queue that was mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// Whose queue.
    pub blueprint_id: BlueprintId,
    /// The place that was untrue: `none`, `ready`, `leased`, `delayed` or `parked`.
    pub place: String,
}

impl Shard {
    /// True for one caller in each `every`: the one that is to audit.
    ///
    /// # Errors
    /// [`StoreError`]; the turn may have been taken all the same, and comes again.
    pub async fn take_audit_turn(&self, every: Duration) -> Result<bool, StoreError> {
        self.take_turn("audit turn", self.keys.audited(), every)
            .await
    }

    /// True for one caller in each `every`, of those that name this key.
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
            // A mark that lasts longer than any is made to: Redis's clock was set back. Any number may do it at once.
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
            // A full Redis takes no mark, and needs what is done in the turn more than ever; any number may do it at once.
            Err(error) if error.is_full() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Looks at every queue that is not empty and mends those whose place is untrue. Returns those;
    /// without faults there are none.
    ///
    /// Safe to run at any time, by any number of callers, and to drop half-way.
    ///
    /// # Errors
    /// [`StoreError`]; what was mended stays mended.
    pub async fn audit_queues(&self) -> Result<Vec<Repaired>, StoreError> {
        self.pull_workers_back().await?;
        let workers = self.registered_workers().await?;
        let mut listed = HashSet::new();
        let lists = workers.iter().map(|w| self.keys.processing(w));
        for list in lists.chain([self.keys.pending()]) {
            self.read_list(&list, &mut listed).await?;
        }
        let (mut repaired, mut seen) = (Vec::new(), HashSet::new());
        // A queue that lost its place is found by its waiting issues.
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

    /// Workers that were heard of later than now have not beaten since Redis's clock was set back. They
    /// count as heard of now, so that one that is dead is noticed in its time.
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
        // Only if it has not beaten meanwhile.
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

    /// The untrue place that was mended, if it was one.
    async fn audit_queue(
        &self,
        blueprint: &BlueprintId,
        head: Option<&IssueId>,
        workers: &[String],
    ) -> Result<Option<String>, StoreError> {
        let head = head.map_or(NO_HEAD, IssueId::as_str);
        let mut keys =
            self.keys
                .issue_block_of(blueprint, head, crate::store::queue::issue_block::NOBODY);
        keys.push(self.keys.workers());
        keys.extend(workers.iter().map(|w| self.keys.processing(w)));
        let mut reply = self
            .handle
            .script(&script::AUDIT_QUEUE, &keys, |call| {
                head_args_of(call, blueprint, head);
                call.arg(workers);
            })
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
