//! Selection of a Blueprint's version.

use crate::ids::{ChannelName, Version};

/// Selects one commit of a Blueprint's history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum VersionSelector {
    /// The head.
    #[default]
    Latest,
    /// This content; if it was head several times, its newest commit.
    Fixed(Version),
    /// The highest `metadata.version_label` that satisfies the requirement.
    SemverReq(semver::VersionReq),
    /// The version of the channel with this name.
    Channel(ChannelName),
}
