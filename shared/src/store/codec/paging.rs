//! Pages of lists, and the cursors between them.

use crate::ids::IssueId;
use crate::store::redis::error::StoreError;

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<String>,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// How many at most; above 0.
    pub size: usize,
    /// The [`Page::next`] of the page before; `None` for the first.
    pub after: Option<String>,
}

/// The place that a cursor names: what the index is ordered by, and the id. A greater one comes earlier.
pub(crate) fn place_of(cursor: &str) -> Result<(u64, IssueId), StoreError> {
    let cursor = Cursor::parse(cursor)?;
    Ok((cursor.score, cursor.id))
}

/// The cursor that names a place.
pub(crate) fn cursor_at(score: u64, id: &IssueId) -> String {
    let id = id.clone();
    Cursor { score, id }.text()
}

/// A place in an index: `<score>/<id>`.
pub(crate) struct Cursor {
    pub(crate) score: u64,
    pub(crate) id: IssueId,
}

impl Cursor {
    pub(crate) fn new(id: &str, score: u64) -> Result<Cursor, StoreError> {
        Ok(Cursor {
            score,
            id: IssueId::parse(id).map_err(|_| StoreError::Cursor(id.to_owned()))?,
        })
    }

    pub(crate) fn parse(text: &str) -> Result<Cursor, StoreError> {
        let bad = || StoreError::Cursor(text.to_owned());
        let (score, id) = text.split_once('/').ok_or_else(bad)?;
        Cursor::new(id, score.parse().map_err(|_| bad())?)
    }

    /// Whether it comes later in the list.
    pub(crate) fn is_after(&self, other: &Cursor) -> bool {
        (self.score, self.id.as_str()) < (other.score, other.id.as_str())
    }

    pub(crate) fn text(&self) -> String {
        format!("{}/{}", self.score, self.id)
    }
}
