//! Reads what pending issues wait for.
//!
//! The cost is bounded for each issue, whatever the length of the queue: a place is searched among
//! 1,000 elements. Nothing else in the queue depends on this reading.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use redis::cmd;

use crate::domain::issue::Issue;
use crate::domain::issue_ref::IssueRef;
use crate::domain::waiting::{Pause, Waiting, WaitingReason};
use crate::ids::{BlueprintId, IssueId};
use crate::store::codec::read_actor;
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;
use crate::whole_ms::score_ms;

/// The number of issues in one round trip.
const PER_CALL: usize = 100;
/// The number of elements among which a place is searched.
const SEARCHED: u64 = 1_000;
/// The time without a heartbeat of any worker after which none counts as running. The heartbeat
/// interval is 5 s.
const SILENT_MS: u64 = 20_000;

/// A pending issue, as read before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingIssue {
    /// The issue.
    pub issue: IssueRef,
    /// The time at which it joined its queue, Redis time.
    pub joined_at_ms: u64,
}

impl PendingIssue {
    /// Returns the pending issue of an issue that was read.
    pub fn of(issue: &Issue) -> Self {
        Self {
            issue: IssueRef {
                blueprint_id: issue.blueprint_id.clone(),
                issue_id: issue.issue_id.clone(),
            },
            joined_at_ms: issue.joined_at_ms,
        }
    }
}

/// What each issue waits for; `None` if it is not in its queue any more.
pub type WaitingIssues = Vec<(IssueId, Option<Waiting>)>;

impl Store {
    /// Returns what these pending issues wait for, in two round trips per shard and 100 issues.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or a pause is damaged.
    pub async fn waiting(&self, issues: &[PendingIssue]) -> Result<WaitingIssues, StoreError> {
        let mut by_shard: BTreeMap<usize, Vec<&PendingIssue>> = BTreeMap::new();
        for issue in issues {
            let shard = self.of(&issue.issue.blueprint_id).number();
            by_shard.entry(shard).or_default().push(issue);
        }
        let reading = by_shard.into_iter().flat_map(|(shard, issues)| {
            let batches = issues.chunks(PER_CALL).map(<[_]>::to_vec);
            let batches: Vec<_> = batches.collect();
            batches
                .into_iter()
                .map(move |batch| async move { self.shards()[shard].waiting(&batch).await })
        });
        Ok(try_join_all(reading).await?.concat())
    }
}

/// The facts about one issue: the pauses of all and of its Blueprint, the place of its queue's
/// head, its position and the length of its queue, its position and the length of the pending list,
/// and the head of its queue.
type Row = (
    (Option<String>, Option<String>),
    Option<String>,
    (Option<u64>, u64),
    (Option<u64>, u64),
    Option<String>,
);

impl Shard {
    async fn waiting(&self, issues: &[&PendingIssue]) -> Result<WaitingIssues, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("TIME");
        pipeline.cmd("ZRANGE").arg(self.keys.workers());
        pipeline.arg(-1).arg(-1).arg("WITHSCORES");
        for pending in issues {
            let blueprint = &pending.issue.blueprint_id;
            let backlog = self.keys.backlog(blueprint);
            let element = backlog_element(pending);
            pipeline.cmd("HMGET").arg(self.keys.paused());
            pipeline.arg("*").arg(blueprint.as_str());
            pipeline.cmd("HGET").arg(self.keys.places());
            pipeline.arg(blueprint.as_str());
            pipeline.cmd("LPOS").arg(&backlog).arg(element);
            pipeline.arg("MAXLEN").arg(SEARCHED);
            pipeline.cmd("LLEN").arg(&backlog);
            pipeline.cmd("LPOS").arg(self.keys.pending());
            pipeline.arg(pending.issue.element()).arg("RANK").arg(-1);
            pipeline.arg("MAXLEN").arg(SEARCHED);
            pipeline.cmd("LLEN").arg(self.keys.pending());
            pipeline.cmd("LINDEX").arg(&backlog).arg(0);
        }
        let replies: Vec<redis::Value> = self.handle.pipeline("waiting", &pipeline).await?;
        let unreadable = |source: redis::ParsingError| StoreError::Redis {
            call: "waiting",
            source: source.into(),
        };
        let mut replies = replies.into_iter();
        let mut next = || replies.next().unwrap_or_default();
        let (secs, micros): (u64, u64) = redis::from_redis_value(next()).map_err(unreadable)?;
        let now_ms = secs * 1000 + micros / 1000;
        let newest: Vec<(String, f64)> = redis::from_redis_value(next()).map_err(unreadable)?;
        let has_worker = newest
            .first()
            .is_some_and(|(_, seen)| score_ms(*seen) + SILENT_MS >= now_ms);
        let mut rows: Vec<Row> = Vec::with_capacity(issues.len());
        for _ in issues {
            let mut read = || -> Result<Row, redis::ParsingError> {
                Ok((
                    redis::from_redis_value(next())?,
                    redis::from_redis_value(next())?,
                    (
                        redis::from_redis_value(next())?,
                        redis::from_redis_value(next())?,
                    ),
                    (
                        redis::from_redis_value(next())?,
                        redis::from_redis_value(next())?,
                    ),
                    redis::from_redis_value(next())?,
                ))
            };
            rows.push(read().map_err(unreadable)?);
        }
        let due = self.ends_of_delays(issues, &rows).await?;
        let mut all = Vec::with_capacity(issues.len());
        for ((pending, row), due) in issues.iter().zip(rows).zip(due) {
            let waiting = waiting_of(&pending.issue.blueprint_id, row, due, has_worker)?;
            all.push((pending.issue.issue_id.clone(), waiting));
        }
        Ok(all)
    }

    /// Returns the end of the delay of each queue's head; `None` for a queue that is not delayed.
    async fn ends_of_delays(
        &self,
        issues: &[&PendingIssue],
        rows: &[Row],
    ) -> Result<Vec<Option<u64>>, StoreError> {
        let heads: Vec<Option<String>> = issues
            .iter()
            .zip(rows)
            .map(|(pending, (_, place, _, _, head))| {
                let (id, _) = head.as_ref()?.rsplit_once('|')?;
                let element = format!("{}/{id}", pending.issue.blueprint_id);
                (place.as_deref() == Some("delayed")).then_some(element)
            })
            .collect();
        let delayed: Vec<&String> = heads.iter().flatten().collect();
        if delayed.is_empty() {
            return Ok(vec![None; heads.len()]);
        }
        let mut read = cmd("ZMSCORE");
        read.arg(self.keys.delayed()).arg(delayed);
        let ends: Vec<Option<f64>> = self.handle.command("delays", &read).await?;
        let mut ends = ends.into_iter();
        let of_head = |head: &Option<String>| head.as_ref().and_then(|_| ends.next().flatten());
        Ok(heads
            .iter()
            .map(of_head)
            .map(|end| end.map(score_ms))
            .collect())
    }
}

fn backlog_element(pending: &PendingIssue) -> String {
    format!("{}|{}", pending.issue.issue_id, pending.joined_at_ms)
}

fn waiting_of(
    blueprint: &BlueprintId,
    row: Row,
    due: Option<u64>,
    has_worker: bool,
) -> Result<Option<Waiting>, StoreError> {
    let ((all, own), _, (position, length), (ready_at, n_ready), _) = row;
    let issues_ahead = match position {
        Some(position) => position,
        None if length > SEARCHED => SEARCHED,
        None => return Ok(None),
    };
    // Workers take from the end of the list.
    let queues_ahead = ready_at.map_or(0, |at| n_ready.saturating_sub(at + 1));
    let paused = |stored: Option<String>| {
        stored
            .map(|text| read_pause(blueprint.as_str(), &text))
            .transpose()
    };
    let reason = match (paused(all)?, paused(own)?, due) {
        (Some(pause), _, _) => WaitingReason::QueuePaused(pause),
        (None, Some(pause), _) => WaitingReason::BlueprintPaused(pause),
        _ if !has_worker => WaitingReason::NoWorker,
        (_, _, next_attempt_at_ms) if issues_ahead > 0 => {
            WaitingReason::OlderIssues { next_attempt_at_ms }
        }
        (_, _, Some(at_ms)) => WaitingReason::NextAttempt { at_ms },
        _ => WaitingReason::Worker,
    };
    Ok(Some(Waiting {
        reason,
        issues_ahead,
        queues_ahead,
    }))
}

/// Reads a pause, `<ms> <actor>`. Releases without the actor wrote the time alone.
fn read_pause(id: &str, text: &str) -> Result<Pause, StoreError> {
    let (since, by) = text.split_once(' ').unwrap_or((text, ""));
    Ok(Pause {
        since_ms: since.parse().map_err(|_| {
            crate::store::codec::damaged("pause", id, format!("{since:?} is not a time"))
        })?,
        by: read_actor("pause", id, by)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_has_a_time_and_an_actor_with_any_name() {
        let read =
            |text| read_pause("b", text).map(|p| (p.since_ms, p.by.map(|by| by.to_string())));
        assert_eq!(read("12").unwrap(), (12, None));
        assert_eq!(read("12 alice").unwrap(), (12, Some("alice".to_owned())));
        let long = "12 CN=alice, O=Ärzte e. V.";
        let name = "CN=alice, O=Ärzte e. V.".to_owned();
        assert_eq!(read(long).unwrap(), (12, Some(name)));
        assert!(read("soon alice").is_err());
    }
}
