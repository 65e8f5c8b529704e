//! Kind `lua`: a script of this worker. Lua source never comes from a document.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use shared::blueprint::Doc;
use shared::whole_ms::whole_ms;

use super::super::error::StepError;
use super::super::lua::pool::Pool;
use super::{Agent, StepContext};

/// The kind's name in documents.
pub(in crate::flow) const KIND: &str = "lua";

/// Runs one script.
#[derive(Debug)]
pub(in crate::flow) struct LuaAgent {
    pool: Arc<Pool>,
    script: usize,
}

impl LuaAgent {
    /// An agent that runs script number `script` on a machine of `pool`.
    pub(in crate::flow) fn new(pool: Arc<Pool>, script: usize) -> Self {
        Self { pool, script }
    }
}

#[async_trait]
impl Agent for LuaAgent {
    async fn run(&self, input: Doc, cx: &StepContext<'_>) -> Result<Doc, StepError> {
        let started = Instant::now();
        let result = self.pool.run(self.script, input, cx).await;
        cx.meter.record(|usage| {
            usage.agent_kind = KIND.to_owned();
            usage.calls += 1;
            usage.duration_ms += whole_ms(started.elapsed());
        });
        result
    }
}
