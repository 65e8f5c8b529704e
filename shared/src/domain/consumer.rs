//! A consumer: an instance that runs a Blueprint, and what it reports about itself.

use std::time::Duration;

use crate::ids::{BlueprintId, ChannelName, ConsumerId, Version};

/// The maximum length of the message of a report, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1024;

/// The maximum number of consumers of one Blueprint.
pub const MAX_CONSUMERS: usize = 10_000;

/// The time after which a report without a stream or a new report is forgotten: 24 hours.
pub const CONSUMER_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// What a consumer does with the version that it reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumerStatus {
    /// It is about to run the version.
    Applying,
    /// It runs the version.
    Applied,
    /// It could not run the version.
    Failed,
}

impl ConsumerStatus {
    /// Returns the stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            ConsumerStatus::Applying => "applying",
            ConsumerStatus::Applied => "applied",
            ConsumerStatus::Failed => "failed",
        }
    }

    /// Parses a stored name.
    pub fn parse(text: &str) -> Option<ConsumerStatus> {
        let all = [Self::Applying, Self::Applied, Self::Failed];
        all.into_iter().find(|status| status.as_str() == text)
    }
}

/// A report of a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerReport {
    /// The consumer.
    pub consumer_id: ConsumerId,
    /// The Blueprint that it runs.
    pub blueprint_id: BlueprintId,
    /// The channel that it follows; `None` for the head.
    pub channel: Option<ChannelName>,
    /// The version.
    pub version: Version,
    /// What it does with the version.
    pub status: ConsumerStatus,
    /// An explanation, in words; at most [`MAX_MESSAGE_BYTES`].
    pub message: String,
}

/// A consumer in a list: its last report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// The report.
    pub report: ConsumerReport,
    /// The time of the first report with this channel, version and status, Redis time.
    pub since_ms: u64,
    /// The time of its last report or of its stream, Redis time.
    pub last_seen_ms: u64,
    /// True if the version differs from that of its channel, or of the head. Also true if the
    /// channel does not exist.
    pub behind: bool,
}
