//! Reads the enhance log. The scripts that decide issues write its entries.

use redis::cmd;

use crate::domain::enhance_log::LogEntry;
use crate::ids::{BlueprintId, IssueId};
use crate::store::codec;
use crate::store::codec::paging::{Page, PageRequest};
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;

impl Shard {
    /// Returns the log entry of the issue; `None` if it is not decided.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or the stored form is damaged.
    pub async fn log_entry(&self, id: &IssueId) -> Result<Option<LogEntry>, StoreError> {
        let found: Option<String> = self
            .handle
            .command(
                "log entry",
                cmd("HGET").arg(self.keys.log()).arg(id.as_str()),
            )
            .await?;
        found.map(|text| codec::log_entry(id, &text)).transpose()
    }

    /// Returns the number of entries.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub(crate) async fn n_decided(&self) -> Result<usize, StoreError> {
        let length = cmd("LLEN").arg(self.keys.decided()).to_owned();
        self.handle.command("list log", &length).await
    }

    /// Returns entries of one Blueprint or of all, in the order of decision or in reverse.
    ///
    /// # Errors
    /// [`StoreError::Cursor`] for an invalid cursor; otherwise as [`Shard::log_entry`].
    pub async fn list_log_entries(
        &self,
        blueprint: Option<&BlueprintId>,
        newest_first: bool,
        page: &PageRequest,
    ) -> Result<Page<LogEntry>, StoreError> {
        let index = blueprint.map_or_else(|| self.keys.decided(), |id| self.keys.decided_of(id));
        // The list only grows at its end, so an index is a stable cursor.
        let length: usize = self
            .handle
            .command("list log", cmd("LLEN").arg(&index))
            .await?;
        let cursor = match &page.after {
            Some(text) => Some(
                text.parse::<usize>()
                    .map_err(|_| StoreError::Cursor(text.clone()))?,
            ),
            None => None,
        };
        let (first, past) = if newest_first {
            let past = cursor.unwrap_or(length).min(length);
            (past.saturating_sub(page.size), past)
        } else {
            let first = cursor.unwrap_or(0).min(length);
            (first, (first + page.size).min(length))
        };
        if first == past {
            return Ok(Page {
                items: Vec::new(),
                next: None,
            });
        }
        let mut ids: Vec<String> = self
            .handle
            .command(
                "list log",
                cmd("LRANGE").arg(&index).arg(first).arg(past - 1),
            )
            .await?;
        if newest_first {
            ids.reverse();
        }
        let texts: Vec<Option<String>> = self
            .handle
            .command("list log", cmd("HMGET").arg(self.keys.log()).arg(&ids))
            .await?;
        let mut items = Vec::with_capacity(ids.len());
        for (id, text) in ids.iter().zip(texts) {
            let missing = || StoreError::Damaged {
                what: "log entry",
                id: id.clone(),
                problem: "it is listed and not there".to_owned(),
            };
            let issue = IssueId::parse(id).map_err(|_| missing())?;
            items.push(codec::log_entry(&issue, &text.ok_or_else(missing)?)?);
        }
        let next = if newest_first {
            (first > 0).then_some(first)
        } else {
            (past < length).then_some(past)
        };
        Ok(Page {
            items,
            next: next.map(|n| n.to_string()),
        })
    }
}
