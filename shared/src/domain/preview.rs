//! A preview: what would become of an issue, without anything becoming of it.

use std::sync::Arc;
use std::time::Duration;

use crate::blueprint::Blueprint;
use crate::domain::enhance_log::Verdict;
use crate::domain::setting::EnhanceSetting;
use crate::domain::trace_parent::TraceParent;
use crate::ids::{BlueprintId, IssueId};

/// The most that the texts of one preview may have, in bytes: an answer has to fit one message.
pub const MAX_PREVIEW_BYTES: usize = 3 << 20;

/// An orbit that is about to be written, or whose setting is: can it decide at all?
#[derive(Debug, Clone, PartialEq)]
pub struct OrbitTrial {
    /// The orbit.
    pub orbit: Arc<Blueprint>,
    /// The setting that would run it: its spawner, its axes and their options.
    pub setting: EnhanceSetting,
}

/// What is to be tried out.
#[derive(Debug, Clone, PartialEq)]
pub struct PreviewRequest {
    /// Its own id; the flow sees it as the issue's.
    pub id: IssueId,
    /// The target.
    pub blueprint_id: BlueprintId,
    /// What should change: 1 byte to 64 KiB.
    pub intent: String,
    /// When a worker took it up, Redis time.
    pub taken_at_ms: u64,
    /// How long somebody waits for the answer from then on.
    pub time_limit: Duration,
    /// The caller's trace, if there is one.
    pub trace: Option<TraceParent>,
    /// An orbit to be tried on the worker's own sample issue; target and intent are then not read.
    pub trial: Option<Box<OrbitTrial>>,
}

/// What a flow came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    /// True if the change would be applied.
    pub would_apply: bool,
    /// What changes, an RFC 6902 array: from the head to the next version, or, if it would be denied,
    /// to what the proposed patch would have made of it.
    pub json_patch: String,
    /// The same as a unified diff of the canonical YAML.
    pub unified_diff: String,
    /// What the spawner said about its patch.
    pub rationale: String,
    /// What each axis found.
    pub verdicts: Vec<Verdict>,
    /// Why it would be denied; empty if it would be applied.
    pub reasons: Vec<String>,
}

impl Preview {
    /// How long all its texts are together, in bytes.
    pub fn n_bytes(&self) -> usize {
        let verdicts = self.verdicts.iter();
        let verdicts: usize = verdicts.map(|v| v.axis.len() + v.detail.len()).sum();
        let reasons: usize = self.reasons.iter().map(String::len).sum();
        self.json_patch.len() + self.unified_diff.len() + self.rationale.len() + verdicts + reasons
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreviewAnswer {
    /// The flow came to a decision.
    Decided(Preview),
    /// The flow came to none, for good; the reason is the one that an issue would get.
    Failed {
        /// Why.
        reason: String,
    },
    /// The flow met a fault that may pass, or its worker ended.
    Fault {
        /// What happened.
        problem: String,
        /// How long the other side asked to wait.
        retry_after_ms: Option<u64>,
    },
    /// There is no such Blueprint.
    UnknownTarget,
    /// The Blueprint is archived.
    Archived,
    /// More than [`MAX_PREVIEW_BYTES`].
    TooLarge {
        /// How much, in bytes.
        bytes: usize,
    },
}
