//! Calls that cover all shards: merged lists in pages, and aggregated counts.
//!
//! A page of a merged list consists of the first items of all shards in the order of the list. So
//! each shard returns a whole page, and most of its items may be discarded. Only lists over all
//! Blueprints have this cost.

use std::collections::{BTreeMap, HashMap};

use crate::domain::actor::Actor;
use crate::domain::enhance_log::LogEntry;
use crate::domain::issue::Issue;
use crate::ids::{BlueprintId, WorkerId};
use crate::store::codec::paging::{Page, PageRequest, cursor_at, place_of};
use crate::store::events::{CancelStream, EventStream};
use crate::store::issues::read::IssueFilter;
use crate::store::log::{LogFilter, LogPart};
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;
use crate::store::stats::{QueueStats, WorkerStats, memory_warning};

impl Store {
    /// Lists the issues of all shards as [`Shard::list_issues`].
    ///
    /// # Errors
    /// As [`Shard::list_issues`].
    pub async fn list_issues(
        &self,
        filter: &IssueFilter,
        page: &PageRequest,
    ) -> Result<Page<Issue>, StoreError> {
        let shards = self.of_blueprint(filter.blueprint_id.as_ref());
        if let [shard] = shards {
            return shard.list_issues(filter, page).await;
        }
        // A cursor is a position in the order of all issues, so it is valid in every shard.
        let mut parts = Vec::with_capacity(shards.len());
        for shard in shards {
            parts.push(shard.list_issues(filter, page).await?);
        }
        // The dead list and the list of reviews have the order of failure and of proposal, which is
        // the last change of their issues.
        let is_by_change = filter.is_by_change();
        let place = |issue: &Issue| {
            let at = if is_by_change {
                issue.updated_at_ms
            } else {
                issue.submitted_at_ms
            };
            (at, issue.issue_id.clone())
        };
        // A shard that stopped early may have more items right after its cursor. Items behind it
        // are uncertain.
        let order = filter.order();
        let cursors = parts.iter().filter_map(|part| part.next.as_deref());
        let cursors: Vec<_> = cursors.map(place_of).collect::<Result<_, _>>()?;
        let certain = cursors.into_iter().min_by(|a, b| order.compare(a, b));
        let mut items: Vec<Issue> = parts.into_iter().flat_map(|part| part.items).collect();
        items.sort_by(|a, b| order.compare(&place(a), &place(b)));
        items.retain(|issue| {
            let is_certain = |certain| order.compare(&place(issue), certain).is_le();
            certain.as_ref().is_none_or(is_certain)
        });
        let mut last = certain;
        if items.len() > page.size {
            items.truncate(page.size);
            last = items.last().map(place);
        }
        let next = last.map(|(at, id)| cursor_at(at, &id));
        Ok(Page { items, next })
    }

    /// Lists log entries as [`Shard::list_log_entries`]. Several shards are merged by the time of
    /// decision.
    ///
    /// # Errors
    /// As [`Shard::list_log_entries`].
    pub async fn list_log_entries(
        &self,
        filter: &LogFilter,
        newest_first: bool,
        page: &PageRequest,
    ) -> Result<Page<LogEntry>, StoreError> {
        let shards = self.of_blueprint(filter.blueprint_id.as_ref());
        if let [shard] = shards {
            return shard.list_log_entries(filter, newest_first, page).await;
        }
        let places = log_places(page.after.as_deref(), shards.len())?;
        let mut parts = Vec::with_capacity(shards.len());
        for (shard, place) in shards.iter().zip(places) {
            let part = shard.log_part(filter, newest_first, place, page.size);
            parts.push(part.await?);
        }
        // Always takes the first item of some shard. So the cursor has a position in each,
        // independent of their clocks.
        let mut items = Vec::new();
        while items.len() < page.size {
            // A shard that stopped early may have the next entry right behind its position.
            let stopped_early = |part: &LogPart| part.entries.is_empty() && part.at != part.end;
            if parts.iter().any(stopped_early) {
                break;
            }
            let firsts = parts.iter().enumerate();
            let firsts = firsts.filter_map(|(n, part)| Some((part.entries.front()?.1.ts_ms, n)));
            let chosen = if newest_first {
                firsts.max_by_key(|(at, n)| (*at, std::cmp::Reverse(*n)))
            } else {
                firsts.min()
            };
            let Some((_, n)) = chosen else { break };
            items.extend(parts[n].entries.pop_front().map(|(_, entry)| entry));
        }
        let has_more = parts.iter().any(|part| part.position() != part.end);
        let next: Vec<String> = parts.iter().map(|p| p.position().to_string()).collect();
        Ok(Page {
            items,
            next: has_more.then(|| next.join(",")),
        })
    }

    /// Pauses one Blueprint or all as [`Shard::pause_queue`].
    ///
    /// # Errors
    /// [`StoreError`]. Some shards may be paused nevertheless.
    pub async fn pause_queue(
        &self,
        blueprint: Option<&BlueprintId>,
        by: &Actor,
    ) -> Result<bool, StoreError> {
        let mut is_known = true;
        for shard in self.of_blueprint(blueprint) {
            is_known &= shard.pause_queue(blueprint, by).await?;
        }
        Ok(is_known)
    }

    /// Resumes one Blueprint or all as [`Shard::resume_queue`].
    ///
    /// # Errors
    /// [`StoreError`]. Some shards may be resumed nevertheless.
    pub async fn resume_queue(&self, blueprint: Option<&BlueprintId>) -> Result<bool, StoreError> {
        let mut is_known = true;
        for shard in self.of_blueprint(blueprint) {
            is_known &= shard.resume_queue(blueprint).await?;
        }
        Ok(is_known)
    }

    /// Returns the shard of one Blueprint, or all shards.
    fn of_blueprint(&self, blueprint: Option<&BlueprintId>) -> &[Shard] {
        match blueprint {
            Some(blueprint) => std::slice::from_ref(self.of(blueprint)),
            None => self.shards(),
        }
    }

    /// Returns the statistics of [`Shard::queue_stats`]: the sums over all shards, and the memory
    /// of the fullest node.
    ///
    /// # Errors
    /// As [`Shard::queue_stats`].
    pub async fn queue_stats(&self) -> Result<QueueStats, StoreError> {
        let mut all = self.home().queue_stats().await?;
        for shard in &self.shards()[1..] {
            let part = shard.queue_stats().await?;
            all.now_ms = all.now_ms.max(part.now_ms);
            all.pending += part.pending;
            all.ready += part.ready;
            all.delayed += part.delayed;
            all.in_flight += part.in_flight;
            all.dead += part.dead;
            all.in_review += part.in_review;
            let oldest = [all.oldest_in_review_at_ms, part.oldest_in_review_at_ms];
            all.oldest_in_review_at_ms = oldest.into_iter().flatten().min();
            let oldest = [all.oldest_pending_at_ms, part.oldest_pending_at_ms];
            all.oldest_pending_at_ms = oldest.into_iter().flatten().min();
            let oldest = [all.oldest_active_at_ms, part.oldest_active_at_ms];
            all.oldest_active_at_ms = oldest.into_iter().flatten().min();
            // A pause of all counts only once every shard has it.
            all.paused &= part.paused;
            all.paused_blueprint_ids.extend(part.paused_blueprint_ids);
            all.workers.extend(part.workers);
            let fullest = fuller(
                (all.used_memory, all.max_memory),
                (part.used_memory, part.max_memory),
            );
            (all.used_memory, all.max_memory) = fullest;
        }
        all.workers = merged(all.workers);
        all.unverified_settings = match self.home().list_settings().await {
            Ok(settings) => {
                let unverified = settings.into_iter().filter(|s| s.verifier_axes.is_empty());
                unverified.map(|setting| setting.id).collect()
            }
            // Other calls report the damaged setting; the counts remain correct.
            Err(StoreError::Damaged { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(all)
    }

    /// Returns the sums of [`Shard::totals`].
    ///
    /// # Errors
    /// As [`Shard::totals`].
    pub async fn totals(&self) -> Result<HashMap<String, u64>, StoreError> {
        let mut all: HashMap<String, u64> = HashMap::new();
        for shard in self.shards() {
            for (name, count) in shard.totals().await? {
                *all.entry(name).or_default() += count;
            }
        }
        Ok(all)
    }

    /// Returns a warning if the memory of a Redis node is almost full.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn memory_warning(&self) -> Result<Option<String>, StoreError> {
        let mut fullest = (0, 0);
        for shard in self.shards() {
            fullest = fuller(fullest, shard.memory().await?);
        }
        let warning = memory_warning(fullest.0, fullest.1);
        Ok(warning.map(|warning| warning.to_string()))
    }

    /// Registers a worker with its scripts and axes, for the checks of orbits and settings.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn register_scripts(
        &self,
        worker: &WorkerId,
        steps: &[String],
        axes: &[String],
    ) -> Result<(), StoreError> {
        for shard in self.shards() {
            shard.register_scripts(worker, steps, axes).await?;
        }
        Ok(())
    }

    /// Subscribes to all changes of all issues. Redis publishes the messages of every shard to all
    /// nodes.
    ///
    /// # Errors
    /// [`StoreError::Redis`] if Redis is unavailable.
    pub async fn subscribe(&self) -> Result<EventStream, StoreError> {
        self.home().subscribe().await
    }

    /// Subscribes to the cancellations of all shards.
    ///
    /// # Errors
    /// [`StoreError::Redis`] if Redis is unavailable.
    pub async fn subscribe_cancelled(&self) -> Result<CancelStream, StoreError> {
        self.home().subscribe_cancelled().await
    }

    /// Checks that the home shard responds: nothing can start without it. A call to another
    /// unavailable shard returns its own error.
    ///
    /// # Errors
    /// [`StoreError`] if the home shard does not respond.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.home().ping().await
    }

    /// Checks the servers of all shards as [`Shard::check_server`].
    ///
    /// # Errors
    /// As [`Shard::check_server`], of the first shard that fails.
    pub async fn check_server(&self) -> Result<(), StoreError> {
        for shard in self.shards() {
            shard.check_server().await?;
        }
        Ok(())
    }
}

/// Returns the fuller of two memories, as used and allowed bytes. A memory without a limit is never
/// full.
fn fuller(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    let percent = |(used, max): (u64, u64)| match max {
        0 => 0,
        max => u128::from(used) * 100 / u128::from(max),
    };
    match percent(b).cmp(&percent(a)) {
        std::cmp::Ordering::Less => a,
        std::cmp::Ordering::Greater => b,
        std::cmp::Ordering::Equal => a.max(b),
    }
}

/// Merges the entries of each worker, sorted by id. A worker sends heartbeats to every shard.
fn merged(workers: Vec<WorkerStats>) -> Vec<WorkerStats> {
    let mut all: BTreeMap<String, WorkerStats> = BTreeMap::new();
    for worker in workers {
        all.entry(worker.worker_id.clone())
            .and_modify(|known| {
                known.in_flight += worker.in_flight;
                known.last_seen_ms = known.last_seen_ms.max(worker.last_seen_ms);
            })
            .or_insert(worker);
    }
    all.into_values().collect()
}

/// Returns the start of the next log page in each shard; `None` for the first page.
fn log_places(cursor: Option<&str>, n_shards: usize) -> Result<Vec<Option<usize>>, StoreError> {
    let Some(cursor) = cursor else {
        return Ok(vec![None; n_shards]);
    };
    let places: Result<Vec<Option<usize>>, _> = cursor
        .split(',')
        .map(|place| place.parse().map(Some))
        .collect();
    match places {
        Ok(places) if places.len() == n_shards => Ok(places),
        _ => Err(StoreError::Cursor(cursor.to_owned())),
    }
}
