//! Reports what this instance runs.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::v1::{ConsumerStatus, ReportVersionRequest};
use tokio::time::timeout;
use tonic::Status;

use super::command::{Applied, Changes};
use crate::client::Client;
use crate::output;
use crate::verbs::blueprint_watch::is_passing;

/// How long a report waits for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

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

    /// Returns true if reports wait for another call of [`Reports::send`].
    pub(super) fn are_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends the reports. From the first one that fails for the moment on, they wait for the next
    /// call. Others that fail are noted on standard error. The files do not depend on reports.
    pub(super) async fn send(&mut self, client: &mut Client) {
        while let Some((id, report)) = self.unsent.pop_first() {
            let sending = client.blueprints.report_version(report.clone());
            // Nothing else of `sync` happens meanwhile.
            let sent = match timeout(ANSWER_WITHIN, sending).await {
                Ok(sent) => sent.map(drop),
                Err(_) => Err(Status::unavailable("intake does not answer")),
            };
            let Err(status) = sent else { continue };
            let error = status.into();
            if is_passing(&error) {
                self.unsent.insert(id, report);
                return;
            }
            // Standard error is the last place to report a failure.
            let _ = output::note(output::warning(format_args!(
                "cannot report the version of {id}: {error}"
            )));
        }
    }
}
