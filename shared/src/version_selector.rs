//! Which version of a Blueprint is meant.

use crate::blueprint::Blueprint;
use crate::ids::Version;

/// Chooses one commit of a Blueprint's history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum VersionSelector {
    /// The head.
    #[default]
    Latest,
    /// This content; if it was head twice, its newest commit.
    Fixed(Version),
    /// The highest `metadata.version_label` that satisfies the requirement.
    SemverReq(semver::VersionReq),
}

impl VersionSelector {
    /// True if `document` may be chosen once it is the head. With a requirement its label must satisfy that; whether an
    /// earlier label is higher, only the store knows.
    pub fn may_choose(&self, document: &Blueprint) -> bool {
        match self {
            VersionSelector::Latest => true,
            VersionSelector::Fixed(version) => version == document.version(),
            VersionSelector::SemverReq(req) => {
                let label = document.version_label().map(semver::Version::parse);
                label.is_some_and(|label| label.is_ok_and(|label| req.matches(&label)))
            }
        }
    }
}
