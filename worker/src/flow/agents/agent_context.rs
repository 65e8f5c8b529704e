//! The shared state of agents: the scripts, the interpreters, the models and the programs.

use crate::flow::agents::llm::client::Models;
use crate::flow::agents::subprocess::Programs;
use crate::flow::lua::pool::Pool;
use crate::flow::scripts::Scripts;
use std::sync::Arc;

/// The shared state of agents, which does not depend on the orbit.
#[derive(Debug)]
pub(in crate::flow) struct AgentContext {
    /// The scripts, for kind `lua`.
    pub(in crate::flow) scripts: Arc<Scripts>,
    /// The interpreters that run the scripts, for kind `lua`.
    pub(in crate::flow) pool: Arc<Pool>,
    /// The models, for kind `llm`.
    pub(in crate::flow) models: Arc<Models>,
    /// The allowed programs and their environment variables, for kind `subprocess`.
    pub(in crate::flow) programs: Programs,
}
