//! Pages of lists and their cursors.

use std::cmp::Ordering;

use crate::ids::IssueId;
use crate::store::redis::error::StoreError;

/// The maximum number of items read for one page. With a selective filter a page ends early, which
/// bounds the duration of a call.
pub(crate) const LOOKED_AT_PER_PAGE: usize = 20_000;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// The start of the next page; `None` after the last one.
    pub next: Option<String>,
}

/// A request for a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// The maximum number of items; above 0.
    pub size: usize,
    /// The [`Page::next`] of the previous page; `None` for the first one.
    pub after: Option<String>,
}

/// The order of a list of issues. The id decides between issues of the same score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// By descending score.
    NewestFirst,
    /// By ascending score.
    OldestFirst,
}

impl Order {
    /// Compares two positions; the lesser one comes first in the list.
    pub(crate) fn compare(self, a: &(u64, IssueId), b: &(u64, IssueId)) -> Ordering {
        match self {
            Order::NewestFirst => b.cmp(a),
            Order::OldestFirst => a.cmp(b),
        }
    }
}

/// Returns the position of a cursor: the score of the index and the id.
pub(crate) fn place_of(cursor: &str) -> Result<(u64, IssueId), StoreError> {
    let cursor = Cursor::parse(cursor)?;
    Ok((cursor.score, cursor.id))
}

/// Returns the cursor of a position.
pub(crate) fn cursor_at(score: u64, id: &IssueId) -> String {
    let id = id.clone();
    Cursor { score, id }.text()
}

/// A position in an index: `<score>/<id>`.
#[derive(Clone)]
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

    /// Returns true if this position comes later in a list of this order.
    pub(crate) fn is_after(&self, other: &Cursor, order: Order) -> bool {
        let (own, other) = (
            (self.score, self.id.clone()),
            (other.score, other.id.clone()),
        );
        order.compare(&own, &other) == Ordering::Greater
    }

    pub(crate) fn text(&self) -> String {
        format!("{}/{}", self.score, self.id)
    }
}
