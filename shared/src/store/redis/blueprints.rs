//! Blueprints: immutable documents and commits, and the head that moves over them.
//!
//! A document is stored under its hash and never changed; a commit is stored under its number
//! and never changed. What moves is one small record, the head, and only a script moves it,
//! after comparing it with the head that the writer had seen. So a reader sees an old head or
//! a new one and never a mixture, and of two writers one is told that the head moved.
//!
//! Two small indexes are written in the same script as the commit that they point at:
//! `newest` (content → its newest commit) and `labels` (label → its newest commit). They make
//! every selector cost the same at ten commits and at a hundred thousand.
//!
//! Every document that is read is hashed again: a damaged one is an error and is never served.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use redis::cmd;

use super::Shard;
use super::error::StoreError;
use super::issues::{Page, PageRequest};
use super::orbit_use::follows;
use super::{label_rank, script, stored};
use crate::blueprint::{Blueprint, orbit};
use crate::commit::{BlueprintSummary, Commit};
use crate::ids::{BlueprintId, Version, VersionPrefix};
use crate::version_selector::VersionSelector;

/// How many versions Redis looks at in one call of a search.
const SCANNED_PER_CALL: usize = 1_000;

/// The head that a writer expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedHead {
    /// Whatever there is.
    Any,
    /// None: the Blueprint must not exist.
    Absent,
    /// This content.
    At(Version),
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    /// This call made a commit.
    Created(Commit),
    /// The head has this content already.
    Unchanged(Commit),
    /// The head is another one than expected; `None`: there is none.
    HeadMoved {
        /// The head.
        actual: Option<Version>,
    },
    /// The Blueprint is archived.
    Archived,
    /// A setting uses it as its orbit, and it could not be run: why.
    NotRunnable(String),
}

/// A version with its commit.
#[derive(Debug, Clone)]
pub struct StoredBlueprint {
    /// The document.
    pub blueprint: Arc<Blueprint>,
    /// Where it stands in the history.
    pub commit: Commit,
}

impl Shard {
    /// Writes a document as the new head of the Blueprint that its `id` names.
    ///
    /// # Errors
    /// [`StoreError`]; it may have been written all the same (repeating it is then `Unchanged`).
    pub async fn put_blueprint(
        &self,
        blueprint: &Blueprint,
        expected: ExpectedHead,
        rationale: &str,
    ) -> Result<PutOutcome, StoreError> {
        loop {
            let (counter, orbits) = self.orbits_in_use().await?;
            if orbits.iter().any(|entry| follows(entry, blueprint.id())) {
                let known = self.known_scripts().await?;
                let has_script = |name: &str| known.has_step(name);
                if let Err(why) = orbit::check(blueprint, None, &has_script) {
                    return Ok(PutOutcome::NotRunnable(why.to_string()));
                }
            }
            let put = self.put_as(blueprint, &expected, rationale, counter);
            // Each further turn is a setting or an orbit that somebody wrote meanwhile.
            if let Some(outcome) = put.await? {
                return Ok(outcome);
            }
        }
    }

    /// Writes a document whose use was looked at when the settings counter had this value; `None` if a setting follows
    /// it and the counter has another one now.
    pub(super) async fn put_as(
        &self,
        blueprint: &Blueprint,
        expected: &ExpectedHead,
        rationale: &str,
        counter: u64,
    ) -> Result<Option<PutOutcome>, StoreError> {
        let id = blueprint.id();
        let keys = [
            self.keys.blueprint(id),
            self.keys.documents(id),
            self.keys.commits(id),
            self.keys.newest(id),
            self.keys.labels(id),
            self.keys.blueprints(),
            self.keys.settings_counter(),
            self.keys.orbits(),
            self.keys.ranks(id),
        ];
        let label = blueprint.version_label().unwrap_or_default();
        let commit = stored::commit_draft(blueprint.version(), label, rationale, "", None, None);
        let (mode, version) = match expected {
            ExpectedHead::Any => ("any", ""),
            ExpectedHead::Absent => ("absent", ""),
            ExpectedHead::At(version) => ("at", version.as_str()),
        };
        let mut reply = self
            .link
            .script(&script::PUT_BLUEPRINT, &keys, |call| {
                call.arg(id.as_str())
                    .arg(blueprint.version().as_str())
                    .arg(&**blueprint.canonical_yaml());
                call.arg(label).arg(&commit).arg(mode).arg(version);
                call.arg(label_rank::rank(label));
                call.arg(counter);
            })
            .await?;
        let outcome = match reply.outcome() {
            "orbit_in_use" => return Ok(None),
            "created" => {
                let (seq, committed_at_ms) = (reply.take()?, reply.take()?);
                let parent: String = reply.take()?;
                PutOutcome::Created(Commit {
                    blueprint_id: id.clone(),
                    seq,
                    version: blueprint.version().clone(),
                    parents: Version::parse(&parent).into_iter().collect(),
                    version_label: label.to_owned(),
                    rationale: rationale.to_owned(),
                    patch_hash: String::new(),
                    issue_id: None,
                    epoch: None,
                    committed_at_ms,
                })
            }
            "unchanged" => {
                let seq: u64 = reply.take()?;
                PutOutcome::Unchanged(self.commit(id, seq).await?)
            }
            "head_moved" => {
                let actual: String = reply.take()?;
                PutOutcome::HeadMoved {
                    actual: Version::parse(&actual).ok(),
                }
            }
            "archived" => PutOutcome::Archived,
            _ => return Err(reply.unknown()),
        };
        Ok(Some(outcome))
    }

    /// The version that the selector chooses; `None` if there is no such Blueprint, or no such fixed version.
    ///
    /// # Errors
    /// [`StoreError::NoMatchingVersion`] and [`StoreError::InvalidSemver`] for a requirement that nothing
    /// satisfies; [`StoreError::Document`] if the stored bytes are not what their hash says.
    pub async fn blueprint(
        &self,
        id: &BlueprintId,
        selector: &VersionSelector,
    ) -> Result<Option<StoredBlueprint>, StoreError> {
        let seq: Option<u64> = match selector {
            VersionSelector::Latest => self.head_seq(id).await?,
            VersionSelector::Fixed(version) => {
                self.link
                    .command(
                        "fixed",
                        cmd("HGET").arg(self.keys.newest(id)).arg(version.as_str()),
                    )
                    .await?
            }
            VersionSelector::SemverReq(req) => {
                let labels = self.labels_for(id, req).await?;
                match labels.highest {
                    Some((_, rank)) => {
                        let newest = cmd("HGET").arg(self.keys.labels(id)).arg(&rank).to_owned();
                        self.link.command("labels", &newest).await?
                    }
                    None if labels.exists => return Err(labels.nothing(id, req)),
                    None => None,
                }
            }
        };
        let Some(seq) = seq else { return Ok(None) };
        let commit = self.commit(id, seq).await?;
        let document = self.document(id, &commit.version).await?;
        let blueprint = Blueprint::from_stored(&commit.version, &document).map_err(|source| {
            StoreError::Document {
                blueprint_id: id.to_string(),
                source,
            }
        })?;
        Ok(Some(StoredBlueprint {
            blueprint: Arc::new(blueprint),
            commit,
        }))
    }

    /// The labels that decide what a requirement chooses. However many there are, a few are read.
    pub(super) async fn labels_for(
        &self,
        id: &BlueprintId,
        req: &semver::VersionReq,
    ) -> Result<LabelsFor, StoreError> {
        let ranks = self.keys.ranks(id);
        let mut pipeline = redis::pipe();
        pipeline.cmd("EXISTS").arg(self.keys.blueprint(id));
        let ranges = label_rank::ranges(req);
        let of_ranges = ranges.iter().map(|r| (r.max.as_str(), r.min.as_str()));
        let invalid = (label_rank::ABOVE_INVALID, label_rank::INVALID);
        let invalid = (format!("({}", invalid.0), format!("[{}", invalid.1));
        for (max, min) in of_ranges.chain([(invalid.0.as_str(), invalid.1.as_str())]) {
            let top = pipeline.cmd("ZRANGE").arg(&ranks).arg(max).arg(min);
            top.arg("BYLEX").arg("REV").arg("LIMIT").arg(0).arg(1);
        }
        let found: Vec<redis::Value> = self.link.pipeline("labels", &pipeline).await?;
        let mut found = found.into_iter();
        let read = |source: redis::ParsingError| StoreError::Redis {
            call: "labels",
            source: source.into(),
        };
        let exists = found
            .next()
            .map_or(Ok(false), redis::from_redis_value)
            .map_err(read)?;
        let tops: Result<Vec<Vec<String>>, _> = found.map(redis::from_redis_value).collect();
        let mut tops = tops.map_err(read)?;
        let invalid = tops.pop().unwrap_or_default().pop();
        let highest = label_rank::best(req, &tops.concat()).map(|(v, rank)| (v, rank.to_owned()));
        Ok(LabelsFor {
            exists,
            highest,
            invalid,
        })
    }

    pub(super) async fn exists(&self, id: &BlueprintId) -> Result<bool, StoreError> {
        self.link
            .command("exists", cmd("EXISTS").arg(self.keys.blueprint(id)))
            .await
    }

    async fn document(&self, id: &BlueprintId, version: &Version) -> Result<String, StoreError> {
        let found: Option<String> = self
            .link
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

    async fn commit(&self, id: &BlueprintId, seq: u64) -> Result<Commit, StoreError> {
        let found: Option<String> = self
            .link
            .command("commit", cmd("HGET").arg(self.keys.commits(id)).arg(seq))
            .await?;
        read_commit(id, seq, found)
    }

    /// What a list shows of this Blueprint; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away or the stored form is damaged.
    pub async fn summary(&self, id: &BlueprintId) -> Result<Option<BlueprintSummary>, StoreError> {
        let fields: HashMap<String, String> = self
            .link
            .command("summary", cmd("HGETALL").arg(self.keys.blueprint(id)))
            .await?;
        (!fields.is_empty())
            .then(|| read_summary(id, &fields))
            .transpose()
    }

    /// The newest commit of each version that begins with `prefix`, newest first, `limit` at most: where more begin
    /// with it, which ones is not defined. `None` if there is no such Blueprint.
    ///
    /// Redis looks through the versions in bounded steps and sends those that match.
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
        // A version may be seen twice while the hash grows.
        let (mut seqs, mut cursor) = (BTreeSet::new(), "0".to_owned());
        loop {
            let mut scan = cmd("HSCAN");
            scan.arg(self.keys.newest(id)).arg(&cursor);
            scan.arg("MATCH").arg(format!("{prefix}*"));
            scan.arg("COUNT").arg(SCANNED_PER_CALL);
            let found: (String, Vec<(String, u64)>) =
                self.link.command("versions by prefix", &scan).await?;
            seqs.extend(found.1.into_iter().map(|(_, seq)| seq));
            cursor = found.0;
            if cursor == "0" || seqs.len() >= limit {
                break;
            }
        }
        let seqs: Vec<u64> = seqs.into_iter().rev().take(limit).collect();
        Ok(Some(self.commits_at(id, &seqs).await?))
    }

    /// The commits of these numbers.
    async fn commits_at(&self, id: &BlueprintId, seqs: &[u64]) -> Result<Vec<Commit>, StoreError> {
        if seqs.is_empty() {
            return Ok(Vec::new());
        }
        let read = cmd("HMGET").arg(self.keys.commits(id)).arg(seqs).to_owned();
        let found: Vec<Option<String>> = self.link.command("list commits", &read).await?;
        let pairs = seqs.iter().zip(found);
        pairs
            .map(|(seq, text)| read_commit(id, *seq, text))
            .collect()
    }

    /// A Blueprint's commits, newest first; `None` if there is no such Blueprint.
    ///
    /// # Errors
    /// [`StoreError::Cursor`] for a cursor that is none; else as [`Shard::summary`].
    pub async fn list_commits(
        &self,
        id: &BlueprintId,
        page: &PageRequest,
    ) -> Result<Option<Page<Commit>>, StoreError> {
        let Some(head) = self.head_seq(id).await? else {
            return Ok(None);
        };
        let newest = match &page.after {
            None => head,
            Some(cursor) => cursor
                .parse::<u64>()
                .map_err(|_| StoreError::Cursor(cursor.clone()))?
                .saturating_sub(1)
                .min(head),
        };
        let oldest = (newest + 1).saturating_sub(page.size as u64).max(1);
        let seqs: Vec<u64> = (oldest..=newest.min(head)).rev().collect();
        if seqs.is_empty() {
            return Ok(Some(Page {
                items: Vec::new(),
                next: None,
            }));
        }
        Ok(Some(Page {
            items: self.commits_at(id, &seqs).await?,
            next: (oldest > 1).then(|| oldest.to_string()),
        }))
    }
}

/// What a list shows of a Blueprint, from the fields of its head.
pub(super) fn read_summary(
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

pub(super) fn read_commit(
    id: &BlueprintId,
    seq: u64,
    text: Option<String>,
) -> Result<Commit, StoreError> {
    let text = text.ok_or_else(|| StoreError::Damaged {
        what: "commit",
        id: id.to_string(),
        problem: format!("number {seq} is missing"),
    })?;
    stored::commit(id, &text)
}

/// What the labels of a Blueprint say to a requirement.
pub(super) struct LabelsFor {
    /// Whether there is such a Blueprint.
    pub(super) exists: bool,
    /// The highest that satisfies it, and its rank.
    pub(super) highest: Option<(semver::Version, String)>,
    /// The rank of one that is no semver.
    invalid: Option<String>,
}

impl LabelsFor {
    /// Why nothing is chosen.
    fn nothing(&self, id: &BlueprintId, req: &semver::VersionReq) -> StoreError {
        let invalid = self.invalid.as_deref().and_then(|rank| {
            let label = rank.strip_prefix(label_rank::INVALID)?;
            Some((label, semver::Version::parse(label).err()?))
        });
        match invalid {
            Some((label, source)) => StoreError::InvalidSemver {
                blueprint_id: id.to_string(),
                label: label.to_owned(),
                source,
            },
            None => StoreError::NoMatchingVersion {
                blueprint_id: id.to_string(),
                req: req.to_string(),
            },
        }
    }
}
