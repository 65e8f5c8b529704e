//! What a restore has to write: the difference between a backup and a store.

use std::collections::BTreeMap;
use std::path::Path;

use proto::v1::{BlueprintSummary, EnhanceSetting, ExportBlueprintRequest, ListChannelsRequest};

use super::scan::{Scan, Stored, is_bundled};
use super::{BackupError, content};
use crate::client::{CliError, Client};
use crate::verbs::history_file::{from_entry, to_entry};
use crate::verbs::setting_file::to_json;
use crate::verbs::versions::newest;
use crate::verbs::{blueprints, settings};

/// What is to be done for a Blueprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Import it.
    Import,
    /// Import it in place of the bundled document, which nobody has changed.
    Replace,
    /// Nothing: the store has exactly this history.
    Present {
        /// True if it is archived in the store.
        is_archived: bool,
    },
}

/// What is to be done.
pub(super) struct Plan<'a> {
    pub(super) blueprints: Vec<(&'a Stored, Step)>,
    /// The settings to write, each with the revision to replace.
    pub(super) settings: Vec<(EnhanceSetting, u64)>,
}

impl<'a> Plan<'a> {
    /// Compares a backup with the store.
    ///
    /// # Errors
    /// [`BackupError::Differs`]; [`BackupError::NotEmpty`] unless `merge`; errors of intake.
    pub(super) async fn of(
        client: &mut Client,
        scan: &'a Scan,
        path: &Path,
        merge: bool,
    ) -> Result<Self, CliError> {
        let all = blueprints::summaries(client, true).await?.into_iter();
        let mut in_store: BTreeMap<String, BlueprintSummary> = all
            .map(|found| (found.blueprint_id.clone(), found))
            .collect();
        let (mut differs, mut foreign) = (Vec::new(), Vec::new());
        let mut steps = Vec::new();
        for stored in &scan.blueprints {
            let step = match in_store.remove(&stored.id) {
                None => Some(Step::Import),
                Some(found) => compare(client, stored, &found, path).await?,
            };
            match step {
                Some(step) => steps.push((stored, step)),
                None => differs.push(format!("Blueprint {}", stored.id)),
            }
        }
        for id in in_store.into_keys() {
            if !is_as_bundled(client, &id).await? {
                foreign.push(format!("Blueprint {id}"));
            }
        }
        let mut present: BTreeMap<String, EnhanceSetting> = settings::all(client)
            .await?
            .into_iter()
            .map(|setting| (setting.id.clone(), setting))
            .collect();
        let mut to_write = Vec::new();
        for (value, setting) in &scan.settings {
            match present.remove(&setting.id) {
                None => to_write.push((setting.clone(), 0)),
                Some(found) if content(to_json(&found)) == content(value.clone()) => {}
                Some(found) if is_seeded(&found) => {
                    to_write.push((setting.clone(), found.revision));
                }
                Some(_) => differs.push(format!("setting {}", setting.id)),
            }
        }
        let others = present.into_values().filter(|setting| !is_seeded(setting));
        foreign.extend(others.map(|setting| format!("setting {}", setting.id)));
        if !differs.is_empty() {
            let found = listed(&differs);
            return Err(BackupError::Differs { found }.into());
        }
        if !foreign.is_empty() && !merge {
            let found = listed(&foreign);
            return Err(BackupError::NotEmpty { found }.into());
        }
        Ok(Self {
            blueprints: steps,
            settings: to_write,
        })
    }
}

/// Names the first few.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        n => format!("{shown} and {n} more"),
    }
}

fn is_seeded(setting: &EnhanceSetting) -> bool {
    setting.revision == 1 && setting.updated_by.is_empty()
}

/// Returns what is to be done for a Blueprint that the store has; `None` if they differ.
async fn compare(
    client: &mut Client,
    stored: &Stored,
    found: &BlueprintSummary,
    path: &Path,
) -> Result<Option<Step>, CliError> {
    if is_as_bundled(client, &stored.id).await? {
        let is_same = stored.is_bundled() && stored.head.version == found.head;
        let step = if is_same {
            Step::Present {
                is_archived: found.archived,
            }
        } else {
            Step::Replace
        };
        return Ok(Some(step));
    }
    let is_same = is_same_history(client, stored, path).await?;
    let step = Step::Present {
        is_archived: found.archived,
    };
    // A Blueprint is archived at the end of a restore.
    let can_continue = is_same && (stored.archived || !found.archived);
    Ok(can_continue.then_some(step))
}

/// Returns true if the Blueprint is a bundled document that nobody has changed.
async fn is_as_bundled(client: &mut Client, id: &str) -> Result<bool, CliError> {
    let head = newest(client, id).await?;
    if !is_bundled(&head) {
        return Ok(false);
    }
    let request = ListChannelsRequest {
        blueprint_id: id.to_owned(),
    };
    let channels = client.blueprints.list_channels(request).await?.into_inner();
    Ok(channels.channels.is_empty())
}

/// Compares the history in the store with the one in the file, entry by entry.
async fn is_same_history(
    client: &mut Client,
    stored: &Stored,
    path: &Path,
) -> Result<bool, CliError> {
    let request = ExportBlueprintRequest {
        blueprint_id: stored.id.clone(),
    };
    let mut present = client
        .blueprints
        .export_blueprint(request)
        .await?
        .into_inner();
    let mut expected = stored.messages(path)?;
    loop {
        let found = present.message().await?;
        let wanted = expected.next().map_err(|damage| damage.of(path))?;
        let (Some(found), Some(wanted)) = (&found, &wanted) else {
            return Ok(found.is_none() && wanted.is_none());
        };
        let Ok(mut found) = from_entry(to_entry(found.clone())?) else {
            return Ok(false);
        };
        // The caller of an import is the author of a commit without one.
        if let (Some(found), Some(wanted)) = (&mut found.commit, &wanted.commit)
            && wanted.author.is_empty()
        {
            found.author.clear();
        }
        if found != *wanted {
            return Ok(false);
        }
    }
}
