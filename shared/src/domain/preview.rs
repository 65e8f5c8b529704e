//! A preview: the outcome of an issue without its effects.

use std::sync::Arc;
use std::time::Duration;

use crate::blueprint::Blueprint;
use crate::domain::enhance_log::Verdict;
use crate::domain::setting::EnhanceSetting;
use crate::domain::trace_parent::TraceParent;
use crate::ids::{BlueprintId, IssueId};

/// The maximum size of a preview's texts, in bytes. A response must fit one message.
pub const MAX_PREVIEW_BYTES: usize = 3 << 20;

/// A trial of an orbit before the orbit or its setting is written. It checks that the orbit can
/// decide.
#[derive(Debug, Clone, PartialEq)]
pub struct OrbitTrial {
    /// The orbit.
    pub orbit: Arc<Blueprint>,
    /// The setting that runs it: its spawner, its axes and their options.
    pub setting: EnhanceSetting,
}

/// The request for a preview.
#[derive(Debug, Clone, PartialEq)]
pub struct PreviewRequest {
    /// The id of the request. The flow sees it as the id of the issue.
    pub id: IssueId,
    /// The target.
    pub blueprint_id: BlueprintId,
    /// The requested change: 1 byte to 64 KiB.
    pub intent: String,
    /// The time at which a worker started it, Redis time.
    pub taken_at_ms: u64,
    /// The time limit from that point on.
    pub time_limit: Duration,
    /// The caller's trace, if present.
    pub trace: Option<TraceParent>,
    /// An orbit to try on the worker's own sample issue. The target and the intent are then unused.
    pub trial: Option<Box<OrbitTrial>>,
}

/// The result of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    /// True if the change would be applied.
    pub would_apply: bool,
    /// The change as an RFC 6902 patch: from the head to the next version. For a denied change, it
    /// leads to the result of the proposed patch.
    pub json_patch: String,
    /// The same change as a unified diff of the canonical YAML.
    pub unified_diff: String,
    /// The spawner's rationale for its patch.
    pub rationale: String,
    /// The verdict of each axis.
    pub verdicts: Vec<Verdict>,
    /// The reasons of a denial or of a review; empty if the change would be applied at once.
    pub reasons: Vec<String>,
    /// True if a person would have to approve the change first. `would_apply` is true then.
    pub needs_review: bool,
}

impl Preview {
    /// Returns the total size of all texts, in bytes.
    pub fn n_bytes(&self) -> usize {
        let verdicts = self.verdicts.iter();
        let verdicts: usize = verdicts.map(|v| v.axis.len() + v.detail.len()).sum();
        let reasons: usize = self.reasons.iter().map(String::len).sum();
        self.json_patch.len() + self.unified_diff.len() + self.rationale.len() + verdicts + reasons
    }
}

/// The response to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreviewAnswer {
    /// The flow decided.
    Decided(Preview),
    /// The flow failed permanently. An issue would get the same reason.
    Failed {
        /// The reason.
        reason: String,
    },
    /// A transient fault, or the end of the worker, interrupted the flow.
    Fault {
        /// The description of the fault.
        problem: String,
        /// The delay that the provider requested.
        retry_after_ms: Option<u64>,
    },
    /// The Blueprint does not exist.
    UnknownTarget,
    /// The Blueprint is archived.
    Archived,
    /// The preview is larger than [`MAX_PREVIEW_BYTES`].
    TooLarge {
        /// The size in bytes.
        bytes: usize,
    },
}
