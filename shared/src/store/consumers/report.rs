//! Keeps the reports of consumers.

use crate::domain::consumer::{CONSUMER_LIFETIME, ConsumerReport, MAX_CONSUMERS};
use crate::ids::{BlueprintId, ChannelName, ConsumerId};
use crate::store::codec;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The outcome of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportOutcome {
    /// The report is kept.
    Reported,
    /// The Blueprint does not exist.
    UnknownBlueprint,
    /// The channel does not exist.
    UnknownChannel,
    /// The history of the Blueprint does not have the version.
    UnknownVersion,
    /// The Blueprint has the maximum number of consumers.
    TooManyConsumers,
}

impl Shard {
    /// Keeps a report in place of the previous one of its consumer. Idempotent.
    ///
    /// # Errors
    /// [`StoreError`]. The report may be kept nevertheless.
    pub async fn report_version(
        &self,
        report: &ConsumerReport,
    ) -> Result<ReportOutcome, StoreError> {
        let id = &report.blueprint_id;
        let keys = [
            self.keys.blueprint(id),
            self.keys.newest(id),
            self.keys.channels(id),
            self.keys.consumers(id),
            self.keys.consumers_seen(id),
            self.keys.consumed(),
        ];
        let channel = report.channel.as_ref().map_or("", ChannelName::as_str);
        let draft = codec::report_draft(report);
        let reply = self
            .handle
            .script(&script::REPORT_VERSION, &keys, |call| {
                call.arg(id.as_str()).arg(report.consumer_id.as_str());
                call.arg(channel).arg(report.version.as_str());
                call.arg(report.status.as_str()).arg(&draft);
                call.arg(CONSUMER_LIFETIME.as_millis().to_string());
                call.arg(MAX_CONSUMERS);
            })
            .await?;
        match reply.outcome() {
            "reported" => Ok(ReportOutcome::Reported),
            "unknown" => Ok(ReportOutcome::UnknownBlueprint),
            "unknown_channel" => Ok(ReportOutcome::UnknownChannel),
            "unknown_version" => Ok(ReportOutcome::UnknownVersion),
            "too_many" => Ok(ReportOutcome::TooManyConsumers),
            _ => Err(reply.unknown()),
        }
    }

    /// Notes that these consumers have an open stream of this Blueprint, so that their reports are
    /// kept. Consumers without a report are ignored. Returns the number of the others.
    ///
    /// # Errors
    /// [`StoreError`]. The streams may be noted nevertheless.
    pub async fn seen_consumers(
        &self,
        id: &BlueprintId,
        consumers: &[ConsumerId],
    ) -> Result<u64, StoreError> {
        let keys = [
            self.keys.consumers(id),
            self.keys.consumers_seen(id),
            self.keys.consumed(),
        ];
        let mut reply = self
            .handle
            .script(&script::SEE_CONSUMERS, &keys, |call| {
                call.arg(id.as_str());
                call.arg(CONSUMER_LIFETIME.as_millis().to_string());
                for consumer in consumers {
                    call.arg(consumer.as_str());
                }
            })
            .await?;
        match reply.outcome() {
            "seen" => reply.take(),
            _ => Err(reply.unknown()),
        }
    }
}
