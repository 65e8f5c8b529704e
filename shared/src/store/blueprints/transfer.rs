//! Exports and imports whole histories.
//!
//! An export reads the commits up to the current head in parts. Commits are immutable, so it blocks
//! nothing. An import stages the commits under separate keys with an expiry, which no other call
//! reads. At the end, one script renames them if the Blueprint is still absent. So an import is
//! atomic and needs no long script, independent of its size.
//!
//! A restored store has the bundled orbits already. An import can take the place of one that nobody
//! has changed, under the rules for a write of an orbit: see [`Store::finish_replacement`].

use redis::cmd;

use crate::blueprint::DocumentError;
use crate::domain::bundled::BUNDLED_ORBITS;
use crate::domain::channel::ChannelMove;
use crate::domain::commit::Commit;
use crate::domain::history::HistoryEntry;
use crate::ids::{BlueprintId, IssueId, Version};
use crate::store::blueprints::put_orbit::OrbitUse;
use crate::store::blueprints::read::read_commit;
use crate::store::codec;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;

/// The maximum time between two steps of an import. Afterwards its staged data expires.
const LIFETIME_MS: u64 = 600_000;

/// A history that is being staged. If it is dropped before [`Import::finish`], its data expires.
#[derive(Debug)]
pub struct Import {
    store: Shard,
    id: BlueprintId,
    staged: [String; 7],
    last: Option<Commit>,
    /// The version of the only commit that it replaces.
    replaced: Option<Version>,
}

/// The outcome of staging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageOutcome {
    /// The entries are staged.
    Staged,
    /// Redis uses too much of its memory to accept more data.
    MemoryFull {
        /// Used memory in bytes.
        used: u64,
        /// Available memory in bytes.
        max: u64,
    },
    /// The import paused for too long, and its staged data has expired.
    Expired,
    /// A move names a commit with this number, which does not have the version of the move.
    NotACommit(u64),
}

/// The outcome of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportOutcome {
    /// The Blueprint is imported.
    Imported,
    /// A Blueprint with this id already exists.
    Exists,
    /// The import paused for too long, and its staged data has expired.
    Expired,
    /// A setting changed after the check of the orbit to replace.
    OrbitInUse,
}

impl Shard {
    /// Returns the number of a Blueprint's newest commit; `None` if the Blueprint does not exist.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn head_seq(&self, id: &BlueprintId) -> Result<Option<u64>, StoreError> {
        self.handle
            .command("head", cmd("HGET").arg(self.keys.blueprint(id)).arg("seq"))
            .await
    }

    /// Returns the commits with these numbers and their contents, oldest first. `to` is at most the
    /// number of the head.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] and [`StoreError::Document`] if one is missing or does not match its
    /// hash.
    pub async fn history(
        &self,
        id: &BlueprintId,
        from: u64,
        to: u64,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        let seqs: Vec<u64> = (from..=to).collect();
        let mut read = cmd("HMGET");
        read.arg(self.keys.commits(id)).arg(&seqs);
        let commits: Vec<Option<String>> = self.handle.command("history", &read).await?;
        let commits: Vec<Commit> = seqs
            .iter()
            .zip(commits)
            .map(|(seq, text)| read_commit(id, *seq, text))
            .collect::<Result<_, _>>()?;
        let versions: Vec<&str> = commits.iter().map(|c| c.version.as_str()).collect();
        let mut read = cmd("HMGET");
        read.arg(self.keys.documents(id)).arg(&versions);
        let documents: Vec<Option<String>> = self.handle.command("history", &read).await?;
        commits
            .into_iter()
            .zip(documents)
            .map(|(commit, document)| {
                let document = whole(&commit, document)?;
                Ok(HistoryEntry { commit, document })
            })
            .collect()
    }

    /// Starts the import of a history; `None` if a Blueprint with this id exists.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn begin_import(&self, id: &BlueprintId) -> Result<Option<Import>, StoreError> {
        let is_absent = self.head_seq(id).await?.is_none();
        Ok(is_absent.then(|| self.import(id, None)))
    }

    /// Starts the import of a history in place of a bundled orbit that is as the release wrote it;
    /// of a new Blueprint if it is absent. `None` if the Blueprint is another one, or was changed.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or a stored form is damaged.
    pub async fn begin_replacement(&self, id: &BlueprintId) -> Result<Option<Import>, StoreError> {
        match self.head_seq(id).await? {
            None => Ok(Some(self.import(id, None))),
            Some(1) if BUNDLED_ORBITS.contains(&id.as_str()) => {
                let first = self.history(id, 1, 1).await?.into_iter().next();
                let first = first.map(|entry| entry.commit);
                let seeded = first.filter(|c| c.author.is_none() && c.issue_id.is_none());
                Ok(seeded.map(|seeded| self.import(id, Some(seeded.version))))
            }
            Some(_) => Ok(None),
        }
    }

    fn import(&self, id: &BlueprintId, replaced: Option<Version>) -> Import {
        Import {
            store: self.clone(),
            id: id.clone(),
            staged: self.keys.staged(IssueId::generate().as_str()),
            last: None,
            replaced,
        }
    }
}

impl Store {
    /// Makes the staged data the history of a bundled orbit, as [`Import::finish`]. `used` is its
    /// use at the time when its head was checked.
    ///
    /// # Errors
    /// As [`Import::finish`].
    pub async fn finish_replacement(
        &self,
        import: &Import,
        used: &OrbitUse,
    ) -> Result<ImportOutcome, StoreError> {
        let outcome = import.end(used.counter).await?;
        if outcome == ImportOutcome::Imported {
            self.tell_of_orbit(&import.store, &import.id).await?;
        }
        Ok(outcome)
    }
}

fn whole(commit: &Commit, document: Option<String>) -> Result<String, StoreError> {
    let document = document.ok_or_else(|| StoreError::Damaged {
        what: "document",
        id: commit.blueprint_id.to_string(),
        problem: format!("version {} has a commit and no content", commit.version),
    })?;
    let computed = Version::of(&document);
    if computed != commit.version {
        return Err(StoreError::Document {
            blueprint_id: commit.blueprint_id.to_string(),
            source: DocumentError::HashMismatch {
                declared: commit.version.clone(),
                computed,
            },
        });
    }
    Ok(document)
}

impl Import {
    /// Stages the next entries. Precondition: they continue the previous ones.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or full. Abort the import then.
    pub async fn stage(&mut self, entries: &[HistoryEntry]) -> Result<StageOutcome, StoreError> {
        let Some((first, last)) = entries.first().zip(entries.last()) else {
            return Ok(StageOutcome::Staged);
        };
        if let Some((used, max)) = self.store.memory_pressure().await? {
            return Ok(StageOutcome::MemoryFull { used, max });
        }
        let reply = self
            .store
            .handle
            .script(&script::STAGE_HISTORY, &self.staged[..4], |call| {
                call.arg(LIFETIME_MS).arg(first.commit.seq);
                for HistoryEntry { commit, document } in entries {
                    call.arg(commit.version.as_str()).arg(document);
                    call.arg(&commit.version_label)
                        .arg(codec::commit_whole(commit));
                }
            })
            .await?;
        match reply.outcome() {
            "staged" => {
                self.last = Some(last.commit.clone());
                Ok(StageOutcome::Staged)
            }
            "lost" => Ok(StageOutcome::Expired),
            _ => Err(reply.unknown()),
        }
    }

    /// Stages the next moves of channels. Precondition: all commits are staged, and the moves
    /// continue the previous ones.
    ///
    /// # Errors
    /// As [`Import::stage`].
    pub async fn stage_moves(&mut self, moves: &[ChannelMove]) -> Result<StageOutcome, StoreError> {
        let Some(newest) = &self.last else {
            return Ok(StageOutcome::Expired);
        };
        if moves.is_empty() {
            return Ok(StageOutcome::Staged);
        }
        if let Some((used, max)) = self.store.memory_pressure().await? {
            return Ok(StageOutcome::MemoryFull { used, max });
        }
        let mut read = cmd("HMGET");
        read.arg(&self.staged[1]);
        read.arg(moves.iter().map(|moved| moved.seq).collect::<Vec<_>>());
        let commits: Vec<Option<String>> = self.store.handle.command("staged", &read).await?;
        let mut channels = Vec::with_capacity(moves.len());
        for (moved, commit) in moves.iter().zip(commits) {
            let commit = commit.map(|text| codec::commit(&self.id, &text));
            let commit = commit.transpose()?;
            channels.push(match (&moved.to, commit) {
                (None, _) => None,
                (Some(version), Some(commit)) if commit.version == *version => {
                    moved.channel(&commit.version_label)
                }
                _ => return Ok(StageOutcome::NotACommit(moved.seq)),
            });
        }
        let reply = self
            .store
            .handle
            .script(&script::STAGE_CHANNELS, &self.staged, |call| {
                call.arg(LIFETIME_MS).arg(newest.seq);
                for (moved, channel) in moves.iter().zip(&channels) {
                    let channel = channel.as_ref().map(codec::channel_whole);
                    call.arg(moved.channel.as_str()).arg(moved.revision);
                    call.arg(channel.unwrap_or_default());
                    call.arg(codec::move_whole(moved));
                }
            })
            .await?;
        match reply.outcome() {
            "staged" => Ok(StageOutcome::Staged),
            "lost" => Ok(StageOutcome::Expired),
            _ => Err(reply.unknown()),
        }
    }

    /// Makes the staged data the Blueprint's history. Without staged data, it returns
    /// [`ImportOutcome::Expired`].
    ///
    /// # Errors
    /// [`StoreError`]. The history may be imported nevertheless.
    pub async fn finish(&self) -> Result<ImportOutcome, StoreError> {
        self.end(0).await
    }

    /// Returns true if it takes the place of a bundled orbit.
    pub fn is_replacement(&self) -> bool {
        self.replaced.is_some()
    }

    async fn end(&self, counter: u64) -> Result<ImportOutcome, StoreError> {
        let Some(head) = &self.last else {
            return Ok(ImportOutcome::Expired);
        };
        let k = &self.store.keys;
        let mut keys = vec![k.blueprint(&self.id), k.blueprints()];
        keys.extend([
            k.documents(&self.id),
            k.commits(&self.id),
            k.newest(&self.id),
            k.labels(&self.id),
            k.channels(&self.id),
            k.channel_revisions(&self.id),
            k.channel_moves(&self.id),
        ]);
        keys.extend(self.staged.iter().cloned());
        keys.extend([k.settings_counter(), k.orbits()]);
        let reply = self
            .store
            .handle
            .script(&script::IMPORT_BLUEPRINT, &keys, |call| {
                call.arg(self.id.as_str())
                    .arg(head.seq)
                    .arg(head.version.as_str());
                call.arg(&head.version_label).arg(head.committed_at_ms);
                call.arg(self.replaced.as_ref().map_or("", Version::as_str));
                call.arg(counter);
            })
            .await?;
        match reply.outcome() {
            "imported" => Ok(ImportOutcome::Imported),
            "exists" => Ok(ImportOutcome::Exists),
            "orbit_in_use" => Ok(ImportOutcome::OrbitInUse),
            "lost" => Ok(ImportOutcome::Expired),
            _ => Err(reply.unknown()),
        }
    }

    /// Deletes the staged data before it expires.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable. The data then expires.
    pub async fn give_up(self) -> Result<(), StoreError> {
        self.store
            .handle
            .command("give up import", cmd("UNLINK").arg(&self.staged))
            .await
    }
}
