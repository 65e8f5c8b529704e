//! The stored form of a trial.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::blueprint::Blueprint;
use crate::domain::preview::OrbitTrial;
use crate::ids::{SettingId, Version};
use crate::store::codec::{self, damaged};
use crate::store::redis::error::StoreError;

/// The name of a trial in errors.
const WHAT: &str = "orbit trial";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredTrial {
    version: String,
    document: String,
    setting_id: String,
    pub(crate) setting: String,
}

impl StoredTrial {
    pub(crate) fn new(trial: &OrbitTrial) -> Self {
        Self {
            version: trial.orbit.version().to_string(),
            document: trial.orbit.canonical_yaml().to_string(),
            setting_id: trial.setting.id.to_string(),
            setting: codec::setting_draft(&trial.setting),
        }
    }

    pub(crate) fn read(self, id: &str) -> Result<OrbitTrial, StoreError> {
        let version = Version::parse(&self.version).map_err(|e| damaged(WHAT, id, e))?;
        let orbit = Blueprint::from_stored(&version, &self.document);
        let orbit = orbit.map_err(|e| damaged(WHAT, id, e))?;
        let setting_id = SettingId::parse(&self.setting_id).map_err(|e| damaged(WHAT, id, e))?;
        // The same as the script that stores a setting.
        let fields = self.setting.strip_suffix('}').unwrap_or_default();
        let setting = codec::setting(&setting_id, &format!("{fields},\"revision\":0}}"))?;
        Ok(OrbitTrial {
            orbit: Arc::new(orbit),
            setting,
        })
    }
}
