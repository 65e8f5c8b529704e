//! JSON Patch (RFC 6902) on documents.
//!
//! A patch is atomic without an undo. It works on a copy of the root that shares every container
//! with the original. Each operation copies only the containers on its path. A failed operation
//! drops the copy.
//!
//! Four lines of JSON can request gigabytes: copy the document into itself, four times ten. So the
//! size of the document is updated after every operation. A patch fails when the document exceeds
//! its limits.

use std::borrow::Cow;
use std::sync::Arc;

use thiserror::Error;

use crate::blueprint::doc::Doc;
use crate::blueprint::error::cut;
use crate::blueprint::measure::{Measure, Measurer};
use crate::blueprint::pointer::{self, InvalidPointer, Pointer};
use crate::blueprint::{MAX_DOCUMENT_BYTES, MAX_LEVELS};

/// The maximum number of operations in a patch.
pub const MAX_OPS: usize = 10_000;

/// The reason why a patch failed. The document is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatchError {
    /// The patch is not an array.
    #[error("a patch is an array of operations, not {found}")]
    NotAnArray {
        /// The actual kind.
        found: &'static str,
    },
    /// The patch has too many operations.
    #[error("the patch has {count} operations; at most {MAX_OPS} are allowed")]
    TooManyOps {
        /// The number of operations.
        count: usize,
    },
    /// An operation failed.
    #[error("op {index} ({}): {source}", label(.op, .path))]
    Op {
        /// The index in the patch, from 0.
        index: usize,
        /// The member `op`; empty if it is missing.
        op: String,
        /// The member `path`, cut to 200 characters; empty if it is missing.
        path: String,
        /// The reason.
        source: OpError,
    },
}

/// The reason why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpError {
    /// An element of the patch is not an object.
    #[error("an operation is an object, not {found}")]
    NotAnObject {
        /// The actual kind.
        found: &'static str,
    },
    /// A member is missing.
    #[error("the member {member} is missing")]
    MissingMember {
        /// The member.
        member: &'static str,
    },
    /// A member is not a string.
    #[error("the member {member} must be a string, not {found}")]
    MistypedMember {
        /// The member.
        member: &'static str,
        /// The actual kind.
        found: &'static str,
    },
    /// `op` is not a known operation.
    #[error("there is no such operation; known are add, remove, replace, move, copy, test")]
    UnknownOp,
    /// A member is not a valid pointer.
    #[error("the member {member} is not a JSON Pointer: {source}")]
    Pointer {
        /// The member.
        member: &'static str,
        /// The description of the problem.
        source: InvalidPointer,
    },
    /// `path` does not exist.
    #[error("path does not exist")]
    PathNotFound,
    /// `from` does not exist.
    #[error("from {from} does not exist")]
    FromNotFound {
        /// The pointer, cut to 200 characters.
        from: String,
    },
    /// The parent of `path` is neither an object nor an array.
    #[error("the parent of path is {found} and has no members")]
    NoContainer {
        /// The actual kind.
        found: &'static str,
    },
    /// An invalid index of an array.
    #[error(
        "{token:?} is not an index of an array of {length}; an index is 0 or digits without a leading zero"
    )]
    BadIndex {
        /// The last token of the pointer, cut to 40 characters.
        token: String,
        /// The array's length.
        length: usize,
    },
    /// An index beyond the end of the array.
    #[error("the index {index} is out of bounds: the array has {length} elements")]
    OutOfBounds {
        /// The index.
        index: usize,
        /// The array's length.
        length: usize,
    },
    /// An attempt to remove the whole document.
    #[error("the whole document cannot be removed")]
    RemoveRoot,
    /// An attempt to move a value into itself.
    #[error("{from} cannot be moved into its own child")]
    MoveIntoChild {
        /// The pointer, cut to 200 characters; empty for the whole document.
        from: String,
    },
    /// The value differs from the expected one of a `test`.
    #[error("the value is not the one that the test expects")]
    TestFailed,
    /// The result is too large.
    #[error(
        "the document would have more than {MAX_DOCUMENT_BYTES} bytes (1 MiB) of canonical YAML"
    )]
    TooLarge,
    /// The result is nested too deeply.
    #[error("the document would be nested deeper than {MAX_LEVELS} levels")]
    TooDeep,
}

impl PatchError {
    /// Returns the index of the failed operation; `None` if the patch itself is invalid.
    pub fn op_index(&self) -> Option<usize> {
        match self {
            PatchError::Op { index, .. } => Some(*index),
            _ => None,
        }
    }
}

/// Applies all operations of `ops` to `doc`, or none.
///
/// `test` compares numbers by exact value. After every operation, the document is at most 64 levels
/// deep and about 1 MiB as canonical YAML. The exact size is checked when the document is written.
///
/// # Errors
/// [`PatchError`] for the first failed operation.
pub fn apply(doc: &Doc, ops: &Doc) -> Result<Doc, PatchError> {
    let Some(list) = ops.as_array() else {
        return Err(PatchError::NotAnArray { found: ops.kind() });
    };
    if list.len() > MAX_OPS {
        return Err(PatchError::TooManyOps { count: list.len() });
    }
    let mut measurer = Measurer::default();
    let bytes = measurer.measure(doc).bytes;
    let mut work = Work {
        root: doc.clone(),
        bytes,
        measurer,
    };
    for (index, op) in list.iter().enumerate() {
        work.run(op).map_err(|source| {
            let text = |member| op.get(member).and_then(Doc::as_str).unwrap_or_default();
            PatchError::Op {
                index,
                op: cut(text("op"), 40),
                path: cut(text("path"), 200),
                source,
            }
        })?;
    }
    Ok(work.root)
}

/// The document between two operations, and its size.
struct Work {
    root: Doc,
    bytes: usize,
    measurer: Measurer,
}

/// The target container of an operation.
struct Site<'d> {
    container: &'d mut Doc,
    /// The indentation of its lines.
    indent: usize,
    /// The number of containers from the root, including itself.
    levels: usize,
}

impl Site<'_> {
    /// Returns the size of a member in this container, with its key or dash.
    fn cost(&self, key: &str, member: Measure) -> usize {
        Measure::empty(matches!(self.container, Doc::Array(_)))
            .entry(key, member)
            .cost(self.indent)
    }
}

impl Work {
    fn run(&mut self, op: &Doc) -> Result<(), OpError> {
        if op.as_object().is_none() {
            return Err(OpError::NotAnObject { found: op.kind() });
        }
        let name = text_member(op, "op")?;
        if !matches!(
            name,
            "add" | "remove" | "replace" | "move" | "copy" | "test"
        ) {
            return Err(OpError::UnknownOp);
        }
        let path = pointer_member(op, "path")?;
        match name {
            "add" => self.add(&path, value_member(op)?.clone()),
            "remove" => self.remove(&path).map(drop),
            "replace" => self.replace(&path, value_member(op)?.clone()),
            "move" => {
                let from = pointer_member(op, "from")?;
                self.relocate(&from, &path)
            }
            "copy" => {
                let from = pointer_member(op, "from")?;
                let value = from
                    .get(&self.root)
                    .ok_or_else(|| from_not_found(op))?
                    .clone();
                self.add(&path, value)
            }
            _ => {
                let expected = value_member(op)?;
                match path.get(&self.root) {
                    Some(found) if found.same_value(expected) => Ok(()),
                    Some(_) => Err(OpError::TestFailed),
                    None => Err(OpError::PathNotFound),
                }
            }
        }
        .map_err(|error| match error {
            OpError::FromNotFound { .. } => from_not_found(op),
            OpError::MoveIntoChild { .. } => OpError::MoveIntoChild {
                from: from_text(op),
            },
            other => other,
        })
    }

    fn add(&mut self, path: &Pointer<'_>, value: Doc) -> Result<(), OpError> {
        let Some((last, parents)) = path.tokens().split_last() else {
            return self.set_root(value);
        };
        let new_measure = self.measurer.measure(&value);
        let site = site(&mut self.root, parents)?;
        if site.levels + new_measure.levels > MAX_LEVELS {
            return Err(OpError::TooDeep);
        }
        let added = site.cost(last, new_measure);
        let mut removed = 0;
        match site.container {
            Doc::Object(members) => {
                if let Some(old) = members.get(&**last) {
                    let old_measure = self.measurer.measure(old);
                    removed = Measure::empty(false)
                        .entry(last, old_measure)
                        .cost(site.indent);
                }
                Arc::make_mut(members).insert((&**last).into(), value);
            }
            Doc::Array(items) => {
                let at = if last == "-" {
                    items.len()
                } else {
                    array_index(last, items.len())?
                };
                if at > items.len() {
                    return Err(OpError::OutOfBounds {
                        index: at,
                        length: items.len(),
                    });
                }
                Arc::make_mut(items).insert(at, value);
            }
            other => {
                return Err(OpError::NoContainer {
                    found: other.kind(),
                });
            }
        }
        self.account(removed, added)
    }

    fn replace(&mut self, path: &Pointer<'_>, value: Doc) -> Result<(), OpError> {
        let Some((last, parents)) = path.tokens().split_last() else {
            return self.set_root(value);
        };
        let new_measure = self.measurer.measure(&value);
        let site = site(&mut self.root, parents)?;
        if site.levels + new_measure.levels > MAX_LEVELS {
            return Err(OpError::TooDeep);
        }
        let old_measure = self.measurer.measure(member(site.container, last)?);
        let (removed, added) = (site.cost(last, old_measure), site.cost(last, new_measure));
        *member_mut(site.container, last)? = value;
        self.account(removed, added)
    }

    fn remove(&mut self, path: &Pointer<'_>) -> Result<Doc, OpError> {
        let Some((last, parents)) = path.tokens().split_last() else {
            return Err(OpError::RemoveRoot);
        };
        let site = site(&mut self.root, parents)?;
        let old_measure = self.measurer.measure(member(site.container, last)?);
        let removed = site.cost(last, old_measure);
        let value = match site.container {
            Doc::Object(members) => Arc::make_mut(members)
                .remove(&**last)
                .ok_or(OpError::PathNotFound)?,
            Doc::Array(items) => {
                let at = array_index(last, items.len())?;
                Arc::make_mut(items).remove(at)
            }
            other => {
                return Err(OpError::NoContainer {
                    found: other.kind(),
                });
            }
        };
        self.bytes = self.bytes.saturating_sub(removed);
        Ok(value)
    }

    /// Performs `move` (RFC 6902 section 4.4).
    fn relocate(&mut self, from: &Pointer<'_>, path: &Pointer<'_>) -> Result<(), OpError> {
        let not_found = || OpError::FromNotFound {
            from: String::new(),
        };
        if from.get(&self.root).is_none() {
            return Err(not_found());
        }
        if from == path {
            return Ok(());
        }
        if path.tokens().starts_with(from.tokens()) {
            return Err(OpError::MoveIntoChild {
                from: String::new(),
            });
        }
        let value = self.remove(from)?;
        self.add(path, value)
    }

    fn set_root(&mut self, value: Doc) -> Result<(), OpError> {
        let measure = self.measurer.measure(&value);
        if measure.levels > MAX_LEVELS {
            return Err(OpError::TooDeep);
        }
        self.root = value;
        self.bytes = 0;
        self.account(0, measure.bytes)
    }

    /// Updates the size after an operation and rejects a document that is too large.
    ///
    /// The sum drifts by a few bytes when a container becomes empty or non-empty. So the document
    /// is measured again before it is rejected.
    fn account(&mut self, removed: usize, added: usize) -> Result<(), OpError> {
        self.bytes = self.bytes.saturating_sub(removed).saturating_add(added);
        if self.bytes > MAX_DOCUMENT_BYTES {
            self.bytes = self.measurer.measure(&self.root).bytes;
            if self.bytes > MAX_DOCUMENT_BYTES {
                return Err(OpError::TooLarge);
            }
        }
        Ok(())
    }
}

/// Returns the container at `parents` and makes every container on the path unshared.
fn site<'d>(root: &'d mut Doc, parents: &[Cow<'_, str>]) -> Result<Site<'d>, OpError> {
    let mut site = Site {
        container: root,
        indent: 0,
        levels: 1,
    };
    for token in parents {
        let around = Measure::empty(matches!(site.container, Doc::Array(_)));
        let next = member_mut(site.container, token).map_err(|error| match error {
            // An earlier container on the path has no members, not the parent.
            OpError::NoContainer { .. } => OpError::PathNotFound,
            other => other,
        })?;
        let indent = site.indent + around.indent_of(matches!(next, Doc::Array(_)));
        site = Site {
            container: next,
            indent,
            levels: site.levels + 1,
        };
    }
    Ok(site)
}

/// Returns the member `token` of `container`.
fn member<'d>(container: &'d Doc, token: &str) -> Result<&'d Doc, OpError> {
    match container {
        Doc::Object(members) => members.get(token).ok_or(OpError::PathNotFound),
        Doc::Array(items) => {
            let index = array_index(token, items.len())?;
            items.get(index).ok_or(OpError::OutOfBounds {
                index,
                length: items.len(),
            })
        }
        other => Err(OpError::NoContainer {
            found: other.kind(),
        }),
    }
}

/// Returns the member `token` for modification. It copies nothing if the member is missing.
fn member_mut<'d>(container: &'d mut Doc, token: &str) -> Result<&'d mut Doc, OpError> {
    member(container, token)?;
    match container {
        Doc::Object(members) => Arc::make_mut(members)
            .get_mut(token)
            .ok_or(OpError::PathNotFound),
        Doc::Array(items) => {
            let (index, length) = (array_index(token, items.len())?, items.len());
            Arc::make_mut(items)
                .get_mut(index)
                .ok_or(OpError::OutOfBounds { index, length })
        }
        other => Err(OpError::NoContainer {
            found: other.kind(),
        }),
    }
}

fn array_index(token: &str, length: usize) -> Result<usize, OpError> {
    pointer::index(token).ok_or_else(|| OpError::BadIndex {
        token: cut(token, 40),
        length,
    })
}

fn text_member<'a>(op: &'a Doc, member: &'static str) -> Result<&'a str, OpError> {
    let value = op.get(member).ok_or(OpError::MissingMember { member })?;
    value.as_str().ok_or(OpError::MistypedMember {
        member,
        found: value.kind(),
    })
}

fn pointer_member<'a>(op: &'a Doc, member: &'static str) -> Result<Pointer<'a>, OpError> {
    Pointer::parse(text_member(op, member)?).map_err(|source| OpError::Pointer { member, source })
}

fn value_member(op: &Doc) -> Result<&Doc, OpError> {
    op.get("value")
        .ok_or(OpError::MissingMember { member: "value" })
}

fn from_text(op: &Doc) -> String {
    cut(
        op.get("from").and_then(Doc::as_str).unwrap_or_default(),
        200,
    )
}

fn from_not_found(op: &Doc) -> OpError {
    OpError::FromNotFound {
        from: from_text(op),
    }
}

fn label(op: &str, path: &str) -> String {
    match (op, path) {
        ("", _) => "no op".to_owned(),
        (op, "") => op.to_owned(),
        (op, path) => format!("{op} {path}"),
    }
}
