//! The bundled applier, committer and axes as native code.
//!
//! Each of them also is a script of a few lines that calls the same code through `host`, for
//! scripts that extend or replace it. Where the script of a step or axis is the bundled one, its
//! code here runs at once, without a Lua machine.

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
    /// The step whose script has this name.
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
    /// Why the issue fails: something is wrong that is not the author's mistake.
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
    /// `verifiers/noop.lua`
    Noop,
}

impl BundledAxis {
    /// The axis of this name.
    pub(super) fn of(axis: &str) -> Option<Self> {
        match axis {
            "agent-ref" => Some(Self::AgentRef),
            "canonical" => Some(Self::Canonical),
            "des" => Some(Self::Des),
            "noop" => Some(Self::Noop),
            _ => None,
        }
    }

    /// Judges what was applied, as `ctx` has it, and returns a verdict without its axis.
    ///
    /// # Errors
    /// Why there is no verdict: a field of `ctx` is missing or of another type.
    pub(super) fn judge(self, ctx: &Doc, run: &RunState) -> Result<Doc, String> {
        match self {
            Self::AgentRef => axes::agent_ref(ctx),
            Self::Canonical => axes::canonical(ctx, &mut run.memo()),
            Self::Des => axes::des(ctx, &mut run.memo()),
            Self::Noop => axes::noop(ctx),
        }
    }
}
