//! JSON Patch, RFC 6902, on documents.
//!
//! A patch is atomic without undoing anything: it works on a copy of the root that shares every
//! container with the original, each operation copies the containers on its way down and no
//! others, and an operation that fails drops the copy.
//!
//! Four lines of JSON can ask for gigabytes (copy the document into itself, four times ten). So
//! the document is measured after every operation, by adding what came and subtracting what went,
//! and refused when it grows past the limits of a document.

use std::borrow::Cow;
use std::sync::Arc;

use thiserror::Error;

use crate::blueprint::doc::Doc;
use crate::blueprint::error::cut;
use crate::blueprint::measure::{Measure, Measurer};
use crate::blueprint::pointer::{self, InvalidPointer, Pointer};
use crate::blueprint::{MAX_DOCUMENT_BYTES, MAX_LEVELS};

/// Most operations in a patch.
pub const MAX_OPS: usize = 10_000;

/// Why a patch was not applied. Nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatchError {
    /// The patch is no array.
    #[error("a patch is an array of operations, not {found}")]
    NotAnArray {
        /// What it is.
        found: &'static str,
    },
    /// More operations than allowed.
    #[error("the patch has {count} operations; at most {MAX_OPS} are allowed")]
    TooManyOps {
        /// How many it has.
        count: usize,
    },
    /// An operation failed.
    #[error("op {index} ({}): {source}", label(.op, .path))]
    Op {
        /// Its index in the patch, from 0.
        index: usize,
        /// Its `op`, empty if it has none.
        op: String,
        /// Its `path`, cut to 200 characters; empty if it has none.
        path: String,
        /// What is wrong.
        source: OpError,
    },
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpError {
    /// An element of the patch is no object.
    #[error("an operation is an object, not {found}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// A member is missing.
    #[error("the member {member} is missing")]
    MissingMember {
        /// The member.
        member: &'static str,
    },
    /// A member that must be a string is none.
    #[error("the member {member} must be a string, not {found}")]
    MistypedMember {
        /// The member.
        member: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// `op` names no operation.
    #[error("there is no such operation; known are add, remove, replace, move, copy, test")]
    UnknownOp,
    /// A member that must be a pointer is none.
    #[error("the member {member} is no JSON Pointer: {source}")]
    Pointer {
        /// The member.
        member: &'static str,
        /// What is wrong with it.
        source: InvalidPointer,
    },
    /// Nothing is at `path`.
    #[error("path does not exist")]
    PathNotFound,
    /// Nothing is at `from`.
    #[error("from {from} does not exist")]
    FromNotFound {
        /// The pointer, cut to 200 characters.
        from: String,
    },
    /// The parent of `path` is neither an object nor an array.
    #[error("the parent of path is {found} and has no members")]
    NoContainer {
        /// What it is.
        found: &'static str,
    },
    /// An array has no such index.
    #[error(
        "{token:?} is no index of an array of {length}; an index is 0 or digits without a leading zero"
    )]
    BadIndex {
        /// The last name of the pointer, cut to 40 characters.
        token: String,
        /// The array's length.
        length: usize,
    },
    /// An index past the place after the last element.
    #[error("the index {index} is out of bounds: the array has {length} elements")]
    OutOfBounds {
        /// The index.
        index: usize,
        /// The array's length.
        length: usize,
    },
    /// The whole document was to be removed.
    #[error("the whole document cannot be removed")]
    RemoveRoot,
    /// A value was to be moved into itself.
    #[error("{from} cannot be moved into its own child")]
    MoveIntoChild {
        /// The pointer, cut to 200 characters; empty for the whole document.
        from: String,
    },
    /// `test` found another value.
    #[error("the value is not the one that the test expects")]
    TestFailed,
    /// The document would be too large.
    #[error(
        "the document would have more than {MAX_DOCUMENT_BYTES} bytes (1 MiB) of canonical YAML"
    )]
    TooLarge,
    /// The document would be too deep.
    #[error("the document would be nested deeper than {MAX_LEVELS} levels")]
    TooDeep,
}

impl PatchError {
    /// The index of the operation that failed, if it was one.
    pub fn op_index(&self) -> Option<usize> {
        match self {
            PatchError::Op { index, .. } => Some(*index),
            _ => None,
        }
    }
}

/// Applies all of `ops` to `doc`, or none.
///
/// `test` compares numbers by value, exactly. The document is at most 64 levels deep and about
/// 1 MiB as canonical YAML after every operation; the exact size is known when it is written.
///
/// # Errors
/// [`PatchError`] for the first operation that fails.
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

/// The container that a value goes into or stands in.
struct Site<'d> {
    container: &'d mut Doc,
    /// How far its lines are indented.
    indent: usize,
    /// Containers from the root to it, itself included.
    levels: usize,
}

impl Site<'_> {
    /// The bytes that a member of this measure takes here, with its key or dash.
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
        let came = self.measurer.measure(&value);
        let site = site(&mut self.root, parents)?;
        if site.levels + came.levels > MAX_LEVELS {
            return Err(OpError::TooDeep);
        }
        let added = site.cost(last, came);
        let mut removed = 0;
        match site.container {
            Doc::Object(members) => {
                if let Some(old) = members.get(&**last) {
                    let went = self.measurer.measure(old);
                    removed = Measure::empty(false).entry(last, went).cost(site.indent);
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
        let came = self.measurer.measure(&value);
        let site = site(&mut self.root, parents)?;
        if site.levels + came.levels > MAX_LEVELS {
            return Err(OpError::TooDeep);
        }
        let went = self.measurer.measure(member(site.container, last)?);
        let (removed, added) = (site.cost(last, went), site.cost(last, came));
        *member_mut(site.container, last)? = value;
        self.account(removed, added)
    }

    fn remove(&mut self, path: &Pointer<'_>) -> Result<Doc, OpError> {
        let Some((last, parents)) = path.tokens().split_last() else {
            return Err(OpError::RemoveRoot);
        };
        let site = site(&mut self.root, parents)?;
        let went = self.measurer.measure(member(site.container, last)?);
        let removed = site.cost(last, went);
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

    /// `move`: RFC 6902 section 4.4.
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

    /// Books what an operation removed and added, and refuses a document that is too large.
    ///
    /// The sum drifts by a few bytes where a container becomes empty or no longer is, so the
    /// document is measured anew before it is refused.
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

/// Goes down to the container that `parents` point to, making every container on the way our own.
fn site<'d>(root: &'d mut Doc, parents: &[Cow<'_, str>]) -> Result<Site<'d>, OpError> {
    let mut site = Site {
        container: root,
        indent: 0,
        levels: 1,
    };
    for token in parents {
        let around = Measure::empty(matches!(site.container, Doc::Array(_)));
        let next = member_mut(site.container, token).map_err(|error| match error {
            // It is not the parent of path that has no members, but something before it.
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

/// The member of `container` that `token` names.
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

/// The same, to be changed. Nothing is copied unless the member is there.
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
