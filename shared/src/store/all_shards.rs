//! What all shards have together: lists, in pages that merge those of the shards, and numbers.
//!
//! A page of a merged list is made of the first items that each shard would give, in the order of the
//! list. So each shard is asked for a whole page, of which the greater part may be thrown away;
//! that is the price of one list over many shards, and paid only where no single Blueprint is asked for.

use std::collections::{BTreeMap, HashMap};

use crate::domain::enhance_log::LogEntry;
use crate::domain::issue::Issue;
use crate::ids::{BlueprintId, WorkerId};
use crate::store::codec::paging::{Page, PageRequest};
use crate::store::events::{CancelStream, EventStream};
use crate::store::issues::read::IssueFilter;
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;
use crate::store::stats::{QueueStats, WorkerStats, memory_warning};

impl Store {
    /// See [`Shard::list_issues`].
    ///
    /// # Errors
    /// As there.
    pub async fn list_issues(
        &self,
        filter: &IssueFilter,
        page: &PageRequest,
    ) -> Result<Page<Issue>, StoreError> {
        let shards = self.of_blueprint(filter.blueprint_id.as_ref());
        if let [shard] = shards {
            return shard.list_issues(filter, page).await;
        }
        // Every shard understands the cursor of any other: it is a place in the order of all issues.
        let mut parts = Vec::with_capacity(shards.len());
        for shard in shards {
            parts.push(shard.list_issues(filter, page).await?);
        }
        // The dead list is in the order in which its issues were given up, which is when they changed last.
        let dead_only = filter.dead_only;
        let place = |issue: &Issue| {
            let at = if dead_only {
                issue.updated_at_ms
            } else {
                issue.submitted_at_ms
            };
            (at, issue.issue_id.clone())
        };
        // A shard that stopped early may have more right behind where it stopped: nothing later is certain.
        let mut certain = None;
        for cursor in parts.iter().filter_map(|part| part.next.as_deref()) {
            certain = certain.max(Some(crate::store::codec::paging::place_of(cursor)?));
        }
        let mut items: Vec<Issue> = parts.into_iter().flat_map(|part| part.items).collect();
        items.sort_by_key(|issue| std::cmp::Reverse(place(issue)));
        items.retain(|issue| {
            certain
                .as_ref()
                .is_none_or(|certain| place(issue) >= *certain)
        });
        let mut last = certain;
        if items.len() > page.size {
            items.truncate(page.size);
            last = items.last().map(place);
        }
        let next = last.map(|(at, id)| crate::store::codec::paging::cursor_at(at, &id));
        Ok(Page { items, next })
    }

    /// See [`Shard::list_log_entries`]. Of all Blueprints of several shards: in the order of the time of decision.
    ///
    /// # Errors
    /// As there.
    pub async fn list_log_entries(
        &self,
        blueprint: Option<&BlueprintId>,
        newest_first: bool,
        page: &PageRequest,
    ) -> Result<Page<LogEntry>, StoreError> {
        let shards = self.of_blueprint(blueprint);
        if let [shard] = shards {
            return shard.list_log_entries(blueprint, newest_first, page).await;
        }
        let places = log_places(page.after.as_deref(), shards.len())?;
        let (mut ends, mut next, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for (shard, place) in shards.iter().zip(&places) {
            let end = shard.n_decided().await?;
            let start = place.unwrap_or(if newest_first { end } else { 0 });
            let is_over = if newest_first {
                start == 0
            } else {
                start >= end
            };
            let items = if is_over {
                Vec::new()
            } else {
                let part = PageRequest {
                    size: page.size,
                    after: Some(start.to_string()),
                };
                let part = shard.list_log_entries(None, newest_first, &part).await?;
                part.items
            };
            ends.push(end);
            next.push(start);
            parts.push(items.into_iter().peekable());
        }
        // Always the first of some shard, so that the cursor has a place in each, whatever their clocks say.
        let mut items = Vec::new();
        while items.len() < page.size {
            let firsts = parts.iter_mut().enumerate();
            let firsts = firsts.filter_map(|(n, part)| Some((part.peek()?.ts_ms, n)));
            let chosen = if newest_first {
                firsts.max_by_key(|(at, n)| (*at, std::cmp::Reverse(*n)))
            } else {
                firsts.min()
            };
            let Some((_, n)) = chosen else { break };
            items.extend(parts[n].next());
            next[n] = if newest_first {
                next[n] - 1
            } else {
                next[n] + 1
            };
        }
        let has_more = next
            .iter()
            .zip(&ends)
            .any(|(at, end)| if newest_first { *at > 0 } else { at < end });
        let next: Vec<String> = next.iter().map(usize::to_string).collect();
        Ok(Page {
            items,
            next: has_more.then(|| next.join(",")),
        })
    }

    /// See [`Shard::pause_queue`].
    ///
    /// # Errors
    /// [`StoreError`]; some shards may have been paused all the same.
    pub async fn pause_queue(&self, blueprint: Option<&BlueprintId>) -> Result<bool, StoreError> {
        let mut is_known = true;
        for shard in self.of_blueprint(blueprint) {
            is_known &= shard.pause_queue(blueprint).await?;
        }
        Ok(is_known)
    }

    /// See [`Shard::resume_queue`].
    ///
    /// # Errors
    /// [`StoreError`]; some shards may have been resumed all the same.
    pub async fn resume_queue(&self, blueprint: Option<&BlueprintId>) -> Result<bool, StoreError> {
        let mut is_known = true;
        for shard in self.of_blueprint(blueprint) {
            is_known &= shard.resume_queue(blueprint).await?;
        }
        Ok(is_known)
    }

    /// The shard of one Blueprint, or all.
    fn of_blueprint(&self, blueprint: Option<&BlueprintId>) -> &[Shard] {
        match blueprint {
            Some(blueprint) => std::slice::from_ref(self.shard_of(blueprint)),
            None => self.shards(),
        }
    }

    /// See [`Shard::queue_stats`]. Of several shards the sums, and the memory of the fullest node.
    ///
    /// # Errors
    /// As there.
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
            let oldest = [all.oldest_pending_at_ms, part.oldest_pending_at_ms];
            all.oldest_pending_at_ms = oldest.into_iter().flatten().min();
            // A pause of all that has not reached every shard yet is none.
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
            // Whoever reads or uses the setting is told; the numbers are sound.
            Err(StoreError::Damaged { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(all)
    }

    /// See [`Shard::totals`].
    ///
    /// # Errors
    /// As there.
    pub async fn totals(&self) -> Result<HashMap<String, u64>, StoreError> {
        let mut all: HashMap<String, u64> = HashMap::new();
        for shard in self.shards() {
            for (name, count) in shard.totals().await? {
                *all.entry(name).or_default() += count;
            }
        }
        Ok(all)
    }

    /// The sentence that a person should read if a Redis fills up.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn memory_warning(&self) -> Result<Option<String>, StoreError> {
        let mut fullest = (0, 0);
        for shard in self.shards() {
            fullest = fuller(fullest, shard.memory().await?);
        }
        Ok(memory_warning(fullest.0, fullest.1))
    }

    /// Registers a worker with its scripts and axes, so that whoever writes an orbit or a setting knows them.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
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

    /// Subscribes to all changes of all issues: what is published in one shard is heard in all.
    ///
    /// # Errors
    /// [`StoreError::Redis`] if Redis is away.
    pub async fn subscribe(&self) -> Result<EventStream, StoreError> {
        self.home().subscribe().await
    }

    /// Subscribes to cancellations, of all shards.
    ///
    /// # Errors
    /// [`StoreError::Redis`] if Redis is away.
    pub async fn subscribe_cancelled(&self) -> Result<CancelStream, StoreError> {
        self.home().subscribe_cancelled().await
    }

    /// Asks the home shard for a sign of life: without it nothing can be begun. Another shard that is away
    /// is met by who asks for what it has.
    ///
    /// # Errors
    /// [`StoreError`] if there is none.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.home().ping().await
    }

    /// See [`Shard::check_server`].
    ///
    /// # Errors
    /// As there, of the first shard for which it is not well.
    pub async fn check_server(&self) -> Result<(), StoreError> {
        for shard in self.shards() {
            shard.check_server().await?;
        }
        Ok(())
    }
}

/// The fuller of two memories, used and allowed bytes. One without a limit is never full.
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

/// Each worker once, in the order of their ids: it beats in every shard.
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

/// Where the next page of the log begins in each shard; `None` for the first page.
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
