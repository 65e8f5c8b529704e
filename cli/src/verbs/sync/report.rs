//! Reports what this instance runs.

use std::collections::BTreeMap;

use proto::v1::{ConsumerStatus, ReportVersionRequest};

use super::command::{Applied, Changes};
use crate::client::Client;
use crate::verbs::blueprint_watch::is_passing;
use crate::verbs::follow::note;

/// The reports that intake does not have yet: the newest of each Blueprint.
pub(super) struct Reports {
    consumer: String,
    channel: String,
    unsent: BTreeMap<String, ReportVersionRequest>,
}

impl Reports {
    /// Creates the reports of an instance.
    pub(super) fn new(consumer: String, channel: String) -> Self {
        Self {
            consumer,
            channel,
            unsent: BTreeMap::new(),
        }
    }

    /// Adds the result of a run. `version` returns the version of a Blueprint.
    pub(super) fn add<'a>(
        &mut self,
        changes: &Changes,
        applied: &Applied,
        version: impl Fn(&str) -> Option<&'a String>,
    ) {
        let status = if applied.is_done {
            ConsumerStatus::Applied
        } else {
            ConsumerStatus::Failed
        };
        for id in &changes.changed {
            if let Some(version) = version(id) {
                let report = ReportVersionRequest {
                    consumer_id: self.consumer.clone(),
                    blueprint_id: id.clone(),
                    channel: self.channel.clone(),
                    version: version.clone(),
                    status: status.into(),
                    message: applied.message.clone(),
                };
                self.unsent.insert(id.clone(), report);
            }
        }
    }

    /// Sends the reports. Those that fail for the moment are sent again with the next call; others
    /// are noted on standard error. The files do not depend on reports.
    pub(super) async fn send(&mut self, client: &mut Client) {
        let unsent = std::mem::take(&mut self.unsent);
        for (id, report) in unsent {
            let sent = client.blueprints.report_version(report.clone()).await;
            if let Err(status) = sent {
                let error = status.into();
                if is_passing(&error) {
                    self.unsent.insert(id, report);
                } else {
                    // Standard error is the last place to report a failure.
                    let _ = note(&format!("cannot report the version of {id}: {error}"));
                }
            }
        }
    }
}
