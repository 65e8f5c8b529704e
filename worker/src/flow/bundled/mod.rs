//! The bundled applier, committer and axes as native code.
//!
//! Each of them also is a script of a few lines that calls the same code through `host`. Custom
//! scripts can extend or replace it. If a step or axis uses the bundled script, its native code
//! runs directly, without a Lua interpreter.

mod apply;
mod axes;
mod commit;
pub(crate) mod fields;

use shared::blueprint::Doc;

use crate::flow::run_state::RunState;

/// A bundled step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BundledStep {
    /// `patch_applier.lua`
    Applier,
    /// `committer.lua`
    Committer,
}

impl BundledStep {
    /// Returns the step whose script has this name.
    pub(super) fn of(script: &str) -> Option<Self> {
        match script {
            "patch_applier" => Some(Self::Applier),
            "committer" => Some(Self::Committer),
            _ => None,
        }
    }

    /// Runs the step on `ctx` and returns its output.
    ///
    /// # Errors
    /// The reason why the issue fails: a problem that the author did not cause.
    pub(super) fn run(self, ctx: &Doc, run: &RunState) -> Result<Doc, String> {
        match self {
            Self::Applier => apply::apply(ctx, &mut run.memo()),
            Self::Committer => commit::commit(ctx),
        }
    }
}

/// A bundled axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BundledAxis {
    /// `verifiers/agent-ref.lua`
    AgentRef,
    /// `verifiers/canonical.lua`
    Canonical,
    /// `verifiers/des.lua`
    Des,
    /// `verifiers/human-review.lua`
    HumanReview,
    /// `verifiers/noop.lua`
    Noop,
}

impl BundledAxis {
    /// Returns the axis with this name.
    pub(super) fn of(axis: &str) -> Option<Self> {
        match axis {
            "agent-ref" => Some(Self::AgentRef),
            "canonical" => Some(Self::Canonical),
            "des" => Some(Self::Des),
            "human-review" => Some(Self::HumanReview),
            "noop" => Some(Self::Noop),
            _ => None,
        }
    }

    /// Judges the applied change in `ctx` and returns a verdict without its axis.
    ///
    /// # Errors
    /// The reason for a missing verdict: a field of `ctx` is missing or has another type.
    pub(super) fn judge(self, ctx: &Doc, run: &RunState) -> Result<Doc, String> {
        match self {
            Self::AgentRef => axes::agent_ref(ctx),
            Self::Canonical => axes::canonical(ctx, &mut run.memo()),
            Self::Des => axes::des(ctx, &mut run.memo()),
            Self::HumanReview => Ok(axes::human_review()),
            Self::Noop => axes::noop(ctx),
        }
    }
}
