//! What agents are made of: the pool, the models, the programs, the axes.

use crate::flow::agents::llm::client::Models;
use crate::flow::agents::subprocess::Programs;
use crate::flow::lua::pool::Pool;
use crate::flow::scripts::Scripts;
use std::sync::Arc;

/// What agents run with, whatever their orbit.
#[derive(Debug)]
pub(in crate::flow) struct AgentContext {
    /// For `lua`: the scripts.
    pub(in crate::flow) scripts: Arc<Scripts>,
    /// For `lua`: the machines that run them.
    pub(in crate::flow) pool: Arc<Pool>,
    /// For `llm`.
    pub(in crate::flow) models: Arc<Models>,
    /// For `subprocess`: which programs, and what they are given.
    pub(in crate::flow) programs: Programs,
}
