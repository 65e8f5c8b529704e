//! An EnhanceSetting: how issues are worked on.

use crate::blueprint::Doc;
use crate::ids::{BlueprintId, SettingId};
use crate::version_selector::VersionSelector;

/// The setting that exists from the first start.
pub const DEFAULT_SETTING: &str = "default";
/// The bundled orbit.
pub const DEFAULT_ORBIT: &str = "enhance-default";
/// The axes of the setting `default`.
pub const DEFAULT_AXES: [&str; 4] = ["des", "canonical", "noop", "agent-ref"];
/// The ceiling of the setting `default`, in seconds.
pub const DEFAULT_TTL_SECS: u64 = 300;

/// How workers run issues. An edit takes effect with the next issue.
#[derive(Debug, Clone, PartialEq)]
pub struct EnhanceSetting {
    /// Its name; workers use the one that `DRAFTSMAN_SETTING` names.
    pub id: SettingId,
    /// The orbit: the Blueprint whose flow does the changing.
    pub blueprint_id: BlueprintId,
    /// Which version of the orbit.
    pub selector: VersionSelector,
    /// The verifiers, in order; empty means no verification.
    pub verifier_axes: Vec<String>,
    /// The ceiling of one run of the flow, in seconds; above 0.
    pub ttl_secs: u64,
    /// Replaces the orbit's agent `patch-spawner` (an AgentDef).
    pub spawner: Option<Doc>,
    /// Rises by one with every write; 0 before the first.
    pub revision: u64,
}
