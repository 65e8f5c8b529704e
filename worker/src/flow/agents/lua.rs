//! Kind `lua`: a script of this worker. Lua source never comes from a document.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use shared::blueprint::{Doc, json};
use shared::whole_ms::whole_ms;

use crate::flow::agents::Agent;
use crate::flow::bundled::BundledStep;
use crate::flow::error::{ScriptError, StepError};
use crate::flow::lua::pool::Pool;
use crate::flow::step_context::StepContext;

/// The kind's name in documents.
pub(in crate::flow) const KIND: &str = "lua";

/// Runs one script.
#[derive(Debug)]
pub(in crate::flow) struct LuaAgent {
    pool: Arc<Pool>,
    script: usize,
    native: Option<BundledStep>,
}

impl LuaAgent {
    /// Returns an agent that runs script number `script` on an interpreter of `pool`, or the native
    /// code of a bundled script.
    pub(in crate::flow) fn new(pool: Arc<Pool>, script: usize) -> Self {
        let native = pool.scripts().bundled_step(script);
        Self {
            pool,
            script,
            native,
        }
    }

    async fn output(&self, input: Doc, cx: &StepContext<'_>) -> Result<Doc, StepError> {
        match self.native {
            Some(step) => step.run(&input, cx.run).map_err(|message| {
                let script = self.pool.scripts().get(self.script).name.clone();
                ScriptError::Raised { script, message }.into()
            }),
            None => without_envelope(self.pool.run(self.script, input, cx).await?),
        }
    }
}

/// The maximum length of a value in an error, in characters.
const MAX_QUOTED: usize = 500;

/// Returns the output of a script. Scripts of `mlua-swarm` wrap it as `{value, ok}`; this removes
/// the wrapper.
///
/// # Errors
/// [`StepError::Permanent`] if `ok` is false.
fn without_envelope(output: Doc) -> Result<Doc, StepError> {
    let members = output.as_object().filter(|members| members.len() == 2);
    let value = members.and_then(|members| members.get("value"));
    let ok = members.and_then(|members| members.get("ok")?.as_bool());
    match (value, ok) {
        (Some(value), Some(true)) => Ok(value.clone()),
        (Some(value), Some(false)) => {
            let value: String = json::emit(value).chars().take(MAX_QUOTED).collect();
            let message = format!("the script returned ok = false: {value}");
            Err(StepError::Permanent { message })
        }
        _ => Ok(output),
    }
}

#[async_trait]
impl Agent for LuaAgent {
    async fn run(&self, input: Doc, cx: &StepContext<'_>) -> Result<Doc, StepError> {
        let started = Instant::now();
        let result = self.output(input, cx).await;
        cx.meter.record(|usage| {
            usage.agent_kind = KIND.to_owned();
            usage.calls += 1;
            usage.duration_ms += whole_ms(started.elapsed());
        });
        result
    }
}
