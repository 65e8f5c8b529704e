//! Reads Blueprints: immutable documents and commits, and the current head.
//!
//! A document is stored under its hash and a commit under its number; both are immutable. Only the
//! head changes, a small record. Only a script changes it, after a comparison with the head that
//! the writer read. So a reader sees either the old or the new head. Of two concurrent writers, one
//! receives a conflict.
//!
//! The script that writes a commit also writes two small indexes: `newest` (content → newest
//! commit) and `labels` (label → newest commit). So no selector reads the commits. A requirement
//! reads all labels of the Blueprint.
//!
//! Every read document is hashed again. A damaged document is an error.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use redis::cmd;

use crate::blueprint::Blueprint;
use crate::domain::actor::Actor;
use crate::domain::commit::{BlueprintSummary, Commit};
use crate::domain::version_selector::VersionSelector;
use crate::ids::{BlueprintId, Version, VersionPrefix};
use crate::store::codec;
use crate::store::codec::paging::{LOOKED_AT_PER_PAGE, Page, PageRequest};
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;

/// The number of versions that Redis scans in one call of a search.
const SCANNED_PER_CALL: usize = 1_000;
/// The number of commits in one round trip of a list with a filter.
const BATCH: u64 = 200;

/// A version with its commit.
#[derive(Debug, Clone)]
pub struct StoredBlueprint {
    /// The document.
    pub blueprint: Arc<Blueprint>,
    /// The commit in the history.
    pub commit: Commit,
}

impl Shard {
    /// Returns the version that the selector selects; `None` if the Blueprint, the fixed version or
    /// the channel does not exist.
    ///
    /// # Errors
    /// * [`StoreError::NoMatchingVersion`] and [`StoreError::InvalidSemver`] for a requirement
    ///   without a match.
    /// * [`StoreError::Document`] if the stored bytes do not match their hash.
    pub async fn blueprint(
        &self,
        id: &BlueprintId,
        selector: &VersionSelector,
    ) -> Result<Option<StoredBlueprint>, StoreError> {
        let seq: Option<u64> = match selector {
            VersionSelector::Latest => self.head_seq(id).await?,
            VersionSelector::Fixed(version) => self.newest_seq_of(id, version).await?,
            VersionSelector::Channel(name) => {
                let channel = self.channel(id, name).await?;
                channel.map(|channel| channel.seq)
            }
            VersionSelector::SemverReq(req) => {
                let labels = self.labels_for(id, req).await?;
                match labels.highest {
                    Some((_, seq)) => Some(seq),
                    None if labels.exists => return Err(labels.nothing(id, req)),
                    None => None,
                }
            }
        };
        let Some(seq) = seq else { return Ok(None) };
        let commit = self.commit(id, seq).await?;
        let blueprint = self.content(id, &commit.version).await?;
        Ok(Some(StoredBlueprint {
            blueprint: Arc::new(blueprint),
            commit,
        }))
    }

    async fn newest_seq_of(
        &self,
        id: &BlueprintId,
        version: &Version,
    ) -> Result<Option<u64>, StoreError> {
        let mut read = cmd("HGET");
        read.arg(self.keys.newest(id)).arg(version.as_str());
        self.handle.command("fixed", &read).await
    }

    /// Returns the newest commit of this version; `None` if the history does not have it.
    pub(crate) async fn newest_commit_of(
        &self,
        id: &BlueprintId,
        version: &Version,
    ) -> Result<Option<Commit>, StoreError> {
        match self.newest_seq_of(id, version).await? {
            None => Ok(None),
            Some(seq) => Ok(Some(self.commit(id, seq).await?)),
        }
    }

    pub(crate) async fn exists(&self, id: &BlueprintId) -> Result<bool, StoreError> {
        self.handle
            .command("exists", cmd("EXISTS").arg(self.keys.blueprint(id)))
            .await
    }

    /// Returns the document of a version that has a commit.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it is missing; [`StoreError::Document`] if the stored bytes do
    /// not match their hash.
    pub async fn content(
        &self,
        id: &BlueprintId,
        version: &Version,
    ) -> Result<Blueprint, StoreError> {
        let document = self.document(id, version).await?;
        Blueprint::from_stored(version, &document).map_err(|source| StoreError::Document {
            blueprint_id: id.to_string(),
            source,
        })
    }

    async fn document(&self, id: &BlueprintId, version: &Version) -> Result<String, StoreError> {
        let found: Option<String> = self
            .handle
            .command(
                "document",
                cmd("HGET")
                    .arg(self.keys.documents(id))
                    .arg(version.as_str()),
            )
            .await?;
        found.ok_or_else(|| StoreError::Damaged {
            what: "document",
            id: id.to_string(),
            problem: format!("version {version} has a commit and no content"),
        })
    }

    /// Returns the commit with this number.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it is missing or damaged.
    pub async fn commit(&self, id: &BlueprintId, seq: u64) -> Result<Commit, StoreError> {
        let found: Option<String> = self
            .handle
            .command("commit", cmd("HGET").arg(self.keys.commits(id)).arg(seq))
            .await?;
        read_commit(id, seq, found)
    }

    /// Returns the list entry of this Blueprint; `None` if it does not exist.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or the stored form is damaged.
    pub async fn summary(&self, id: &BlueprintId) -> Result<Option<BlueprintSummary>, StoreError> {
        let fields: HashMap<String, String> = self
            .handle
            .command("summary", cmd("HGETALL").arg(self.keys.blueprint(id)))
            .await?;
        (!fields.is_empty())
            .then(|| read_summary(id, &fields))
            .transpose()
    }

    /// Returns the newest commit of each version with this `prefix`, newest first, at most `limit`.
    /// If more versions match, the selection is undefined. Returns `None` if the Blueprint does not
    /// exist.
    ///
    /// Redis scans the versions in bounded steps and returns the matches.
    ///
    /// # Errors
    /// As [`Shard::summary`].
    pub async fn commits_by_prefix(
        &self,
        id: &BlueprintId,
        prefix: &VersionPrefix,
        limit: usize,
    ) -> Result<Option<Vec<Commit>>, StoreError> {
        if self.head_seq(id).await?.is_none() {
            return Ok(None);
        }
        // A version can appear twice while the hash grows.
        let (mut seqs, mut cursor) = (BTreeSet::new(), "0".to_owned());
        loop {
            let mut scan = cmd("HSCAN");
            scan.arg(self.keys.newest(id)).arg(&cursor);
            scan.arg("MATCH").arg(format!("{prefix}*"));
            scan.arg("COUNT").arg(SCANNED_PER_CALL);
            let found: (String, Vec<(String, u64)>) =
                self.handle.command("versions by prefix", &scan).await?;
            seqs.extend(found.1.into_iter().map(|(_, seq)| seq));
            cursor = found.0;
            if cursor == "0" || seqs.len() >= limit {
                break;
            }
        }
        let seqs: Vec<u64> = seqs.into_iter().rev().take(limit).collect();
        Ok(Some(self.commits_at(id, &seqs).await?))
    }

    /// Returns the commits with these numbers.
    async fn commits_at(&self, id: &BlueprintId, seqs: &[u64]) -> Result<Vec<Commit>, StoreError> {
        if seqs.is_empty() {
            return Ok(Vec::new());
        }
        let read = cmd("HMGET").arg(self.keys.commits(id)).arg(seqs).to_owned();
        let found: Vec<Option<String>> = self.handle.command("list commits", &read).await?;
        let pairs = seqs.iter().zip(found);
        pairs
            .map(|(seq, text)| read_commit(id, *seq, text))
            .collect()
    }

    /// Returns a Blueprint's commits, or those of one author, newest first; `None` if the Blueprint
    /// does not exist. With an author, a page can be incomplete and still have a next one.
    ///
    /// # Errors
    /// [`StoreError::Cursor`] for an invalid cursor; otherwise as [`Shard::summary`].
    pub async fn list_commits(
        &self,
        id: &BlueprintId,
        author: Option<&Actor>,
        page: &PageRequest,
    ) -> Result<Option<Page<Commit>>, StoreError> {
        let Some(head) = self.head_seq(id).await? else {
            return Ok(None);
        };
        // The number of the oldest commit that was looked at.
        let mut before = match &page.after {
            None => head + 1,
            Some(cursor) => cursor
                .parse::<u64>()
                .map_err(|_| StoreError::Cursor(cursor.clone()))?
                .min(head + 1),
        };
        let (mut items, mut looked_at) = (Vec::new(), 0);
        while before > 1 && items.len() < page.size && looked_at < LOOKED_AT_PER_PAGE {
            let size = match author {
                Some(_) => BATCH,
                None => page.size as u64,
            };
            let oldest = before.saturating_sub(size).max(1);
            let seqs: Vec<u64> = (oldest..before).rev().collect();
            for commit in self.commits_at(id, &seqs).await? {
                if items.len() == page.size {
                    break;
                }
                (before, looked_at) = (commit.seq, looked_at + 1);
                if author.is_none() || author == commit.author.as_ref() {
                    items.push(commit);
                }
            }
        }
        Ok(Some(Page {
            items,
            next: (before > 1).then(|| before.to_string()),
        }))
    }
}

/// Reads the list entry of a Blueprint from the fields of its head.
pub(crate) fn read_summary(
    id: &BlueprintId,
    fields: &HashMap<String, String>,
) -> Result<BlueprintSummary, StoreError> {
    let text = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let bad = |field: &str| StoreError::Damaged {
        what: "head",
        id: id.to_string(),
        problem: format!("field {field} is missing or mistyped"),
    };
    Ok(BlueprintSummary {
        blueprint_id: id.clone(),
        head: Version::parse(text("version")).map_err(|_| bad("version"))?,
        version_label: text("label").to_owned(),
        archived: text("archived") == "1",
        updated_at_ms: text("updated_at").parse().map_err(|_| bad("updated_at"))?,
    })
}

pub(crate) fn read_commit(
    id: &BlueprintId,
    seq: u64,
    text: Option<String>,
) -> Result<Commit, StoreError> {
    let text = text.ok_or_else(|| StoreError::Damaged {
        what: "commit",
        id: id.to_string(),
        problem: format!("number {seq} is missing"),
    })?;
    codec::commit(id, &text)
}
