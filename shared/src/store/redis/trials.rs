//! Trials of orbits: requests in the list of previews that bring the documents along which are about to be written.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Shard;
use super::error::StoreError;
use super::previews::{PreviewRequestOutcome, Wanted};
use super::stored::{self, damaged};
use crate::blueprint::Blueprint;
use crate::ids::{IssueId, SettingId, Version};
use crate::issue::Authority;
use crate::preview::OrbitTrial;

/// The name of a trial in errors.
const WHAT: &str = "orbit trial";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredTrial {
    version: String,
    document: String,
    setting_id: String,
    setting: String,
}

impl StoredTrial {
    fn new(trial: &OrbitTrial) -> Self {
        Self {
            version: trial.orbit.version().to_string(),
            document: trial.orbit.canonical_yaml().to_string(),
            setting_id: trial.setting.id.to_string(),
            setting: stored::setting_draft(&trial.setting),
        }
    }

    pub(super) fn read(self, id: &str) -> Result<OrbitTrial, StoreError> {
        let version = Version::parse(&self.version).map_err(|e| damaged(WHAT, id, e))?;
        let orbit = Blueprint::from_stored(&version, &self.document);
        let orbit = orbit.map_err(|e| damaged(WHAT, id, e))?;
        let setting_id = SettingId::parse(&self.setting_id).map_err(|e| damaged(WHAT, id, e))?;
        // As the script does that stores one.
        let fields = self.setting.strip_suffix('}').unwrap_or_default();
        let setting = stored::setting(&setting_id, &format!("{fields},\"revision\":0}}"))?;
        Ok(OrbitTrial {
            orbit: Arc::new(orbit),
            setting,
        })
    }
}

impl Shard {
    /// Asks for a trial whose answer is to be there within `patience`. It counts as a preview, and is answered like one:
    /// [`crate::preview::PreviewAnswer::Decided`] if the flow decides.
    ///
    /// # Errors
    /// [`StoreError`]; it may be run all the same.
    pub async fn request_trial(
        &self,
        id: &IssueId,
        trial: &OrbitTrial,
        patience: Duration,
    ) -> Result<PreviewRequestOutcome, StoreError> {
        let wanted = Wanted {
            blueprint_id: trial.orbit.id().clone(),
            intent: String::new(),
            // Whoever may write the orbit or its setting may have it tried.
            authority: Authority::Admin,
            trace: None,
            trial: Some(StoredTrial::new(trial)),
        };
        self.request(id, wanted, patience).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redis::seed::Seed;

    #[test]
    fn a_trial_comes_back_as_it_was_written() {
        let (orbit, mut setting) = Seed::bundled().default_orbit();
        setting.spawner = Some(crate::blueprint::json::parse(r#"{"kind":"lua","n":1}"#).unwrap());
        let trial = OrbitTrial {
            orbit: Arc::new(orbit),
            setting,
        };
        let text = serde_json::to_string(&StoredTrial::new(&trial)).unwrap();
        let read: StoredTrial = serde_json::from_str(&text).unwrap();
        assert_eq!(read.read("t").unwrap(), trial);
        let damaged: StoredTrial =
            serde_json::from_str(&text.replace("enhance", "enhances")).unwrap();
        assert!(damaged.read("t").is_err());
    }
}
