//! Trials of orbits: preview requests that contain the documents to be written.

use std::time::Duration;

use crate::domain::issue::Authority;
use crate::domain::preview::OrbitTrial;
use crate::ids::IssueId;
use crate::store::previews::preview::{PreviewRequestOutcome, Wanted};
use crate::store::previews::stored_trial::StoredTrial;
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;

impl Shard {
    /// Requests a trial with a response within `time_limit`. It counts as a preview and has the
    /// same responses: [`crate::domain::preview::PreviewAnswer::Decided`] if the flow decides.
    ///
    /// # Errors
    /// [`StoreError`]. The trial may run nevertheless.
    pub async fn request_trial(
        &self,
        id: &IssueId,
        trial: &OrbitTrial,
        time_limit: Duration,
    ) -> Result<PreviewRequestOutcome, StoreError> {
        let wanted = Wanted {
            blueprint_id: trial.orbit.id().clone(),
            intent: String::new(),
            // A caller that can write the orbit or its setting can also try it.
            authority: Authority::Admin,
            trace: None,
            trial: Some(StoredTrial::new(trial)),
        };
        self.request(id, wanted, time_limit).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::seed::Seed;

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
