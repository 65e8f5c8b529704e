//! The present state of a watched Blueprint. All watchers share it.
//!
//! Commits and documents are read when the first watcher sends them, and then shared.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use proto::v1;
use shared::blueprint::json;
use shared::ids::{BlueprintId, ChannelName, Version};
use shared::store::{HeadPointer, Heads, Shard, StoreError};
use tokio::sync::OnceCell;

use crate::blueprints::convert::commit_to_wire;

/// Maximum size of the kept documents of all states, in bytes.
const DOCUMENTS_KEPT_BYTES: usize = 64 * 1024 * 1024;

/// The heads of a Blueprint, with the contents that they name.
#[derive(Debug)]
pub(super) struct State {
    pub(super) blueprint_id: BlueprintId,
    heads: Heads,
    contents: Vec<Arc<Content>>,
}

/// The version that a watcher should have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selected<'a> {
    pub(super) content: &'a Arc<Content>,
    /// The revision of the channel; 0 for the head.
    pub(super) revision: u64,
}

impl State {
    /// Creates a state. Its contents are those of `before` if that has them.
    pub(super) fn new(blueprint_id: BlueprintId, heads: Heads, before: Option<&State>) -> Self {
        let mut contents: Vec<Arc<Content>> = Vec::new();
        for pointer in heads.head.iter().chain(heads.channels.values()) {
            if contents.iter().any(|content| content.is_of(pointer)) {
                continue;
            }
            let mut known = before.iter().flat_map(|before| &before.contents);
            let known = known.find(|content| content.is_of(pointer));
            contents.push(known.map_or_else(|| Arc::new(Content::of(pointer)), Arc::clone));
        }
        Self {
            blueprint_id,
            heads,
            contents,
        }
    }

    /// Returns true if the state has these heads.
    pub(super) fn is(&self, heads: &Heads) -> bool {
        self.heads == *heads
    }

    /// Returns true if the Blueprint exists.
    pub(super) fn exists(&self) -> bool {
        self.heads.head.is_some()
    }

    /// Returns the version for watchers of this channel, or of the head.
    pub(super) fn version(&self, channel: Option<&ChannelName>) -> Option<&Version> {
        Some(&self.pointer(channel).ok()?.version)
    }

    /// Returns the content for watchers of this channel, or of the head; else why it is missing.
    pub(super) fn select(
        &self,
        channel: Option<&ChannelName>,
    ) -> Result<Selected<'_>, v1::RemovalReason> {
        let pointer = self.pointer(channel)?;
        let mut contents = self.contents.iter();
        Ok(Selected {
            content: contents
                .find(|content| content.is_of(pointer))
                .expect("a state has the content of each of its pointers"),
            revision: pointer.revision,
        })
    }

    fn pointer(&self, channel: Option<&ChannelName>) -> Result<&HeadPointer, v1::RemovalReason> {
        let Some(head) = &self.heads.head else {
            return Err(v1::RemovalReason::NotFound);
        };
        if self.heads.is_archived {
            return Err(v1::RemovalReason::Archived);
        }
        let Some(channel) = channel else {
            return Ok(head);
        };
        let found = self.heads.channels.get(channel);
        found.ok_or(v1::RemovalReason::NotInChannel)
    }
}

/// A version of a Blueprint. Read at most once, unless its documents exceed the memory for all.
#[derive(Debug)]
pub(super) struct Content {
    seq: u64,
    version: Version,
    commit: OnceCell<v1::Commit>,
    documents: Mutex<Arc<OnceCell<Arc<Documents>>>>,
    is_reported: AtomicBool,
}

/// A document in both forms.
#[derive(Debug)]
pub(super) struct Documents {
    pub(super) yaml: String,
    pub(super) json: String,
}

impl Content {
    fn of(pointer: &HeadPointer) -> Self {
        Self {
            seq: pointer.seq,
            version: pointer.version.clone(),
            commit: OnceCell::new(),
            documents: Mutex::default(),
            is_reported: AtomicBool::new(false),
        }
    }

    /// Logs that the content cannot be read, once for all watchers.
    pub(super) fn report(&self, blueprint_id: &BlueprintId, error: &StoreError) {
        if !self.is_reported.swap(true, Ordering::Relaxed) {
            tracing::error!(
                %blueprint_id,
                version = %self.version,
                seq = self.seq,
                %error,
                "this version cannot be read; its watchers are not told of it"
            );
        }
    }

    fn is_of(&self, pointer: &HeadPointer) -> bool {
        self.seq == pointer.seq && self.version == pointer.version
    }

    /// Returns the commit.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub(super) async fn commit(
        &self,
        shard: &Shard,
        blueprint_id: &BlueprintId,
    ) -> Result<&v1::Commit, StoreError> {
        let read = async || {
            let commit = shard.commit(blueprint_id, self.seq).await?;
            Ok::<_, StoreError>(commit_to_wire(commit))
        };
        self.commit.get_or_try_init(read).await
    }

    /// Returns the documents, and keeps them as long as `kept` has room.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub(super) async fn documents(
        self: &Arc<Self>,
        shard: &Shard,
        blueprint_id: &BlueprintId,
        kept: &KeptDocuments,
    ) -> Result<Arc<Documents>, StoreError> {
        let read = async || {
            let blueprint = shard.content(blueprint_id, &self.version).await?;
            let documents = Documents {
                yaml: blueprint.canonical_yaml().to_string(),
                json: json::emit(blueprint.doc()),
            };
            kept.add(self, documents.yaml.len() + documents.json.len());
            Ok::<_, StoreError>(Arc::new(documents))
        };
        let cell = Arc::clone(&self.cell());
        cell.get_or_try_init(read).await.cloned()
    }

    fn cell(&self) -> std::sync::MutexGuard<'_, Arc<OnceCell<Arc<Documents>>>> {
        self.documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The contents whose documents are in memory, oldest first.
#[derive(Debug, Default)]
pub(super) struct KeptDocuments(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    contents: VecDeque<(Weak<Content>, usize)>,
    bytes: usize,
}

impl KeptDocuments {
    /// Adds documents, and drops the oldest ones above the limit.
    fn add(&self, content: &Arc<Content>, bytes: usize) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.bytes + bytes > DOCUMENTS_KEPT_BYTES
            && let Some((oldest, bytes)) = kept.contents.pop_front()
        {
            kept.bytes -= bytes;
            if let Some(oldest) = oldest.upgrade() {
                *oldest.cell() = Arc::default();
            }
        }
        kept.bytes += bytes;
        kept.contents.push_back((Arc::downgrade(content), bytes));
    }
}
