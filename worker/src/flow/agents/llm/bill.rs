//! The cost of a step that calls a model. It is recorded while the step runs, so that a dropped
//! step is included.

use std::time::Instant;

use shared::whole_ms::whole_ms;

use crate::flow::agents::llm::kind::KIND;
use crate::flow::agents::llm::protocol::Tokens;
use crate::flow::agents::llm::provider::Model;
use crate::flow::meter::Meter;

/// The cost of one step, recorded on its meter.
pub(super) struct Bill<'a> {
    meter: &'a Meter<'a>,
    started: Instant,
}

impl<'a> Bill<'a> {
    /// Starts the bill of a step that calls `model`.
    pub(super) fn start(meter: &'a Meter<'a>, model: &Model) -> Self {
        meter.record(|usage| {
            usage.agent_kind = KIND.to_owned();
            usage.model.clone_from(&model.name);
        });
        Self {
            meter,
            started: Instant::now(),
        }
    }

    /// Counts a request that is being sent.
    pub(super) fn sent(&self) {
        self.meter.record(|usage| usage.calls += 1);
    }

    /// Uncounts the last request, because the provider did not accept it and does not charge for
    /// it.
    pub(super) fn not_accepted(&self) {
        self.meter
            .record(|usage| usage.calls = usage.calls.saturating_sub(1));
    }

    /// Adds the tokens of the current request beyond `before`, which are already recorded.
    pub(super) fn tokens(&self, before: Tokens, now: Tokens) {
        self.meter.record(|usage| {
            usage.input_tokens += now.input.saturating_sub(before.input);
            usage.output_tokens += now.output.saturating_sub(before.output);
        });
    }
}

impl Drop for Bill<'_> {
    fn drop(&mut self) {
        let ms = whole_ms(self.started.elapsed());
        self.meter.record(|usage| usage.duration_ms += ms);
    }
}
