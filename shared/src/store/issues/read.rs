//! Reads single issues, and pages of issues, newest first.

use std::collections::HashMap;

use redis::cmd;

use crate::domain::actor::Actor;
use crate::domain::issue::{Issue, IssueState, RejectionCause};
use crate::ids::{BlueprintId, IdPart, IssueId};
use crate::store::codec;
use crate::store::codec::paging::{Cursor, LOOKED_AT_PER_PAGE, Order, Page, PageRequest};
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::whole_ms::score_ms;

/// A filter for issues. An issue must match all `Some` values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssueFilter {
    /// The target.
    pub blueprint_id: Option<BlueprintId>,
    /// The state.
    pub state: Option<IssueState>,
    /// The cause of the rejection.
    pub cause: Option<RejectionCause>,
    /// The actor that submitted it.
    pub submitted_by: Option<Actor>,
    /// The beginning or end of the id.
    pub id_part: Option<IdPart>,
    /// True for only the dead list.
    pub dead_only: bool,
}

impl IssueFilter {
    /// True if the list has the order in which its issues last changed.
    pub(crate) fn is_by_change(&self) -> bool {
        self.dead_only || self.state == Some(IssueState::InReview)
    }

    /// The order of the list: who has waited longest for a review comes first.
    pub(crate) fn order(&self) -> Order {
        match (self.dead_only, self.state) {
            (false, Some(IssueState::InReview)) => Order::OldestFirst,
            _ => Order::NewestFirst,
        }
    }

    fn wants(&self, issue: &Issue) -> bool {
        self.blueprint_id
            .as_ref()
            .is_none_or(|b| *b == issue.blueprint_id)
            && self.state.is_none_or(|s| s == issue.state)
            && self.cause.is_none_or(|c| Some(c) == issue.cause)
            && (self.submitted_by.is_none() || self.submitted_by == issue.submitted_by)
    }
}

/// The number of issues in one round trip.
const BATCH: usize = 200;

impl Shard {
    /// Returns the issue with this id; `None` if it does not exist.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or the stored form is damaged.
    pub async fn issue(&self, id: &IssueId) -> Result<Option<Issue>, StoreError> {
        Ok(self
            .read_issues(std::slice::from_ref(id))
            .await?
            .pop()
            .flatten())
    }

    /// Returns true if an issue with this id was decided and then pruned.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn is_pruned(&self, id: &IssueId) -> Result<bool, StoreError> {
        let (is_there, is_logged) = self.is_there_or_logged(id).await?;
        Ok(is_logged && !is_there)
    }

    /// Returns true if an issue with this id exists or existed.
    pub(crate) async fn knows(&self, id: &IssueId) -> Result<bool, StoreError> {
        let (is_there, is_logged) = self.is_there_or_logged(id).await?;
        Ok(is_there || is_logged)
    }

    async fn is_there_or_logged(&self, id: &IssueId) -> Result<(bool, bool), StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("EXISTS").arg(self.keys.issue(id));
        pipeline
            .cmd("HEXISTS")
            .arg(self.keys.log())
            .arg(id.as_str());
        self.handle.pipeline("is pruned", &pipeline).await
    }

    async fn read_issues(&self, ids: &[IssueId]) -> Result<Vec<Option<Issue>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for id in ids {
            pipeline
                .cmd("HGETALL")
                .arg(self.keys.issue(id))
                .cmd("GET")
                .arg(self.keys.intent(id));
        }
        let replies: Vec<redis::Value> = self.handle.pipeline("read issues", &pipeline).await?;
        let read = |source| StoreError::Redis {
            call: "read issues",
            source,
        };
        let mut replies = replies.into_iter();
        let mut issues = Vec::with_capacity(ids.len());
        for id in ids {
            let (fields, intent) = (
                replies.next().unwrap_or_default(),
                replies.next().unwrap_or_default(),
            );
            let fields: HashMap<String, String> =
                redis::from_redis_value(fields).map_err(|e| read(e.into()))?;
            let intent: Option<String> =
                redis::from_redis_value(intent).map_err(|e| read(e.into()))?;
            // One script writes both. Without the hash, the issue does not exist.
            let issue = match (fields.is_empty(), intent) {
                (false, Some(intent)) => Some(codec::issue(id, &fields, intent)?),
                _ => None,
            };
            issues.push(issue);
        }
        Ok(issues)
    }

    /// Returns matching issues, newest first. A filter for those in review returns the oldest
    /// proposal first. A page can be incomplete and still have a next one.
    ///
    /// # Errors
    /// [`StoreError::Cursor`] for a cursor of another list; otherwise as [`Shard::issue`].
    pub async fn list_issues(
        &self,
        filter: &IssueFilter,
        page: &PageRequest,
    ) -> Result<Page<Issue>, StoreError> {
        let index = match (&filter.blueprint_id, filter.state) {
            _ if filter.dead_only => self.keys.dead(),
            (_, Some(IssueState::InReview)) => self.keys.in_review(),
            (Some(blueprint), _) => self.keys.issues_of(blueprint),
            (None, _) => self.keys.issues(),
        };
        let order = filter.order();
        let mut cursor = page.after.as_deref().map(Cursor::parse).transpose()?;
        let mut items = Vec::new();
        let mut looked_at = 0;
        while looked_at < LOOKED_AT_PER_PAGE {
            let batch = self.ids_after(&index, cursor.as_ref(), order).await?;
            if batch.is_empty() {
                return Ok(Page { items, next: None });
            }
            looked_at += batch.len();
            let last = batch.last().cloned();
            // Ids alone decide this part of the filter, so no other issue is read.
            let is_read = |at: &Cursor| {
                filter
                    .id_part
                    .as_ref()
                    .is_none_or(|part| part.is_of(at.id.as_str()))
            };
            let batch: Vec<Cursor> = batch.into_iter().filter(is_read).collect();
            let ids: Vec<IssueId> = batch.iter().map(|c| c.id.clone()).collect();
            for (found, at) in self.read_issues(&ids).await?.into_iter().zip(batch) {
                if let Some(issue) = found.filter(|issue| filter.wants(issue)) {
                    if items.len() == page.size {
                        return Ok(Page {
                            items,
                            next: cursor.map(|c| c.text()),
                        });
                    }
                    items.push(issue);
                }
                cursor = Some(at);
            }
            cursor = last;
        }
        Ok(Page {
            items,
            next: cursor.map(|c| c.text()),
        })
    }

    /// Returns the next ids of an index after the cursor. It does not use ranks, which shift when
    /// issues are added or removed between two pages.
    async fn ids_after(
        &self,
        index: &str,
        cursor: Option<&Cursor>,
        order: Order,
    ) -> Result<Vec<Cursor>, StoreError> {
        let (first, last) = match order {
            Order::NewestFirst => ("+inf", "-inf"),
            Order::OldestFirst => ("-inf", "+inf"),
        };
        let from = cursor.map_or(first.to_owned(), |cursor| cursor.score.to_string());
        let mut skip = 0;
        loop {
            let mut range = cmd("ZRANGE");
            range.arg(index).arg(&from).arg(last).arg("BYSCORE");
            if order == Order::NewestFirst {
                range.arg("REV");
            }
            range.arg("LIMIT").arg(skip).arg(BATCH);
            range.arg("WITHSCORES");
            let rows: Vec<(String, f64)> = self.handle.command("list issues", &range).await?;
            let n_rows = rows.len();
            let mut found = Vec::with_capacity(n_rows);
            for (id, score) in rows {
                let place = Cursor::new(&id, score_ms(score))?;
                if cursor.is_none_or(|cursor| place.is_after(cursor, order)) {
                    found.push(place);
                }
            }
            if !found.is_empty() || n_rows < BATCH {
                return Ok(found);
            }
            // The whole batch has the same millisecond as the cursor.
            skip += BATCH;
        }
    }
}
