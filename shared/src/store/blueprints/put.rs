//! Writes a version of a Blueprint.

use crate::blueprint::{Blueprint, orbit};
use crate::domain::actor::Actor;
use crate::domain::commit::Commit;
use crate::ids::Version;
use crate::store::codec;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;
use crate::store::settings::orbit_entry::follows;

/// The head that a writer expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedHead {
    /// Any head, or none.
    Any,
    /// No head: the Blueprint must not exist.
    Absent,
    /// A head with this content.
    At(Version),
}

/// The outcome of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    /// This call created a commit.
    Created(Commit),
    /// The head already has this content.
    Unchanged(Commit),
    /// The head differs from the expected one.
    HeadMoved {
        /// The actual head; `None` if the Blueprint does not exist.
        actual: Option<Version>,
    },
    /// The Blueprint is archived.
    Archived,
    /// A setting uses it as its orbit, and the document cannot run: the reason.
    NotRunnable(String),
}

impl Shard {
    /// Writes a document as the new head of the Blueprint in its `id`, in a commit without an
    /// author.
    ///
    /// # Errors
    /// [`StoreError`]. The document may be written nevertheless. A repeated call then returns
    /// `Unchanged`.
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
            let put = self.put_as(blueprint, &expected, rationale, None, counter);
            // Each further iteration means a concurrent write of a setting or an orbit.
            if let Some(outcome) = put.await? {
                return Ok(outcome);
            }
        }
    }

    /// Writes a document whose use was checked at this value of the settings counter. Returns
    /// `None` if a setting follows it and the counter has changed.
    pub(crate) async fn put_as(
        &self,
        blueprint: &Blueprint,
        expected: &ExpectedHead,
        rationale: &str,
        author: Option<&Actor>,
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
        ];
        let label = blueprint.version_label().unwrap_or_default();
        let version = blueprint.version();
        let commit = codec::commit_draft(version, label, rationale, "", None, None, author);
        let (mode, version) = match expected {
            ExpectedHead::Any => ("any", ""),
            ExpectedHead::Absent => ("absent", ""),
            ExpectedHead::At(version) => ("at", version.as_str()),
        };
        let mut reply = self
            .handle
            .script(&script::PUT_BLUEPRINT, &keys, |call| {
                call.arg(id.as_str())
                    .arg(blueprint.version().as_str())
                    .arg(&**blueprint.canonical_yaml());
                call.arg(label).arg(&commit).arg(mode).arg(version);
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
                    author: author.cloned(),
                    decided_by: None,
                    comment: String::new(),
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
}
