//! Reads the enhance log. The scripts that decide issues write its entries.

use std::collections::VecDeque;

use redis::cmd;

use crate::domain::actor::Actor;
use crate::domain::enhance_log::LogEntry;
use crate::ids::{BlueprintId, IdPart, IssueId};
use crate::store::codec;
use crate::store::codec::paging::{LOOKED_AT_PER_PAGE, Page, PageRequest};
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;

/// The number of entries in one round trip of a list with a filter. An entry can have a patch with
/// a whole document.
const BATCH: usize = 50;
/// The size of the entries after which a page with a filter ends early, in bytes.
const LOOKED_AT_BYTES: usize = 16 << 20;

/// The number of ids in one round trip of a list of one id.
const ID_BATCH: usize = 1_000;

/// A filter for log entries. An entry must match all `Some` values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// The target.
    pub blueprint_id: Option<BlueprintId>,
    /// The actor that submitted the issue.
    pub submitted_by: Option<Actor>,
    /// The beginning or end of the issue's id.
    pub id_part: Option<IdPart>,
}

impl LogFilter {
    /// Returns the filter for the entries of one Blueprint.
    pub fn of_blueprint(id: &BlueprintId) -> Self {
        Self {
            blueprint_id: Some(id.clone()),
            ..Self::default()
        }
    }
}

/// A part of the log of a shard. A position is the number of entries of the list before it.
pub(crate) struct LogPart {
    /// The entries, each with the position from which a later part begins with it.
    pub(crate) entries: VecDeque<(usize, LogEntry)>,
    /// The position of the first entry that was not looked at.
    pub(crate) at: usize,
    /// The position at which the list ends.
    pub(crate) end: usize,
}

impl LogPart {
    /// Returns the position from which a later part continues.
    pub(crate) fn position(&self) -> usize {
        self.entries.front().map_or(self.at, |(at, _)| *at)
    }
}

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

    /// Returns matching entries, in the order of decision or in reverse. With a submitter or a part
    /// of an id, a page can be incomplete and still have a next one.
    ///
    /// # Errors
    /// [`StoreError::Cursor`] for an invalid cursor; otherwise as [`Shard::log_entry`].
    pub async fn list_log_entries(
        &self,
        filter: &LogFilter,
        newest_first: bool,
        page: &PageRequest,
    ) -> Result<Page<LogEntry>, StoreError> {
        let start = match &page.after {
            Some(text) => Some(
                text.parse::<usize>()
                    .map_err(|_| StoreError::Cursor(text.clone()))?,
            ),
            None => None,
        };
        let part = self
            .log_part(filter, newest_first, start, page.size)
            .await?;
        Ok(Page {
            next: (part.at != part.end).then(|| part.at.to_string()),
            items: part.entries.into_iter().map(|(_, entry)| entry).collect(),
        })
    }

    /// Reads at most `size` matching entries from the position `start` on; `None` is the beginning
    /// of the list. Reads a bounded number of entries.
    pub(crate) async fn log_part(
        &self,
        filter: &LogFilter,
        newest_first: bool,
        start: Option<usize>,
        size: usize,
    ) -> Result<LogPart, StoreError> {
        let index = match &filter.blueprint_id {
            Some(id) => self.keys.decided_of(id),
            None => self.keys.decided(),
        };
        // The list only grows at its end, so an index is a stable position.
        let length: usize = self
            .handle
            .command("list log", cmd("LLEN").arg(&index))
            .await?;
        let (first, end) = if newest_first {
            (length, 0)
        } else {
            (0, length)
        };
        let mut at = start.unwrap_or(first).min(length);
        let (mut entries, mut looked_at, mut bytes) = (VecDeque::new(), 0, 0);
        while at != end && entries.len() < size {
            if looked_at >= LOOKED_AT_PER_PAGE || bytes >= LOOKED_AT_BYTES {
                break;
            }
            let n = match (&filter.id_part, &filter.submitted_by) {
                (Some(_), _) => ID_BATCH,
                (None, Some(_)) => BATCH,
                (None, None) => size,
            };
            let (from, to) = if newest_first {
                (at.saturating_sub(n), at)
            } else {
                (at, (at + n).min(length))
            };
            let part = filter.id_part.as_ref();
            for read in self.log_texts(&index, from, to, newest_first, part).await? {
                if entries.len() == size {
                    break;
                }
                if let Some((id, text)) = read {
                    let entry = codec::log_entry(&id, &text)?;
                    let by = filter.submitted_by.as_ref();
                    if by.is_none() || by == entry.submitted_by.as_ref() {
                        entries.push_back((at, entry));
                    }
                    bytes += text.len();
                }
                at = if newest_first { at - 1 } else { at + 1 };
                looked_at += 1;
            }
        }
        Ok(LogPart { entries, at, end })
    }

    /// Returns the stored entries with these indexes of the list, in its order or in reverse.
    /// `None` stands for an id without this part.
    async fn log_texts(
        &self,
        index: &str,
        from: usize,
        to: usize,
        newest_first: bool,
        part: Option<&IdPart>,
    ) -> Result<Vec<Option<(IssueId, String)>>, StoreError> {
        let range = cmd("LRANGE").arg(index).arg(from).arg(to - 1).to_owned();
        let mut ids: Vec<String> = self.handle.command("list log", &range).await?;
        if newest_first {
            ids.reverse();
        }
        let is_read = |id: &str| part.is_none_or(|part| part.is_of(id));
        let wanted: Vec<&String> = ids.iter().filter(|id| is_read(id)).collect();
        if wanted.is_empty() {
            return Ok(vec![None; ids.len()]);
        }
        let texts: Vec<Option<String>> = self
            .handle
            .command("list log", cmd("HMGET").arg(self.keys.log()).arg(&wanted))
            .await?;
        let mut texts = texts.into_iter();
        let found = ids.iter().map(|id| {
            if !is_read(id) {
                return Ok(None);
            }
            let text = texts.next().flatten();
            let missing = || StoreError::Damaged {
                what: "log entry",
                id: id.clone(),
                problem: "it is listed and not there".to_owned(),
            };
            let issue = IssueId::parse(id).map_err(|_| missing())?;
            Ok(Some((issue, text.ok_or_else(missing)?)))
        });
        found.collect()
    }
}
