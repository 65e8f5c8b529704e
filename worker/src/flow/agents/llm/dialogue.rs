//! Repeats a request to a model until its reply is usable, a bounded number of times.

use shared::blueprint::Doc;
use shared::prefix::prefix;

use crate::flow::agents::llm::bill::Bill;
use crate::flow::agents::llm::client::{AskOptions, Models};
use crate::flow::agents::llm::protocol::{Answer, Conversation, End, Role};
use crate::flow::agents::llm::provider::Model;
use crate::flow::agents::llm::reply;
use crate::flow::agents::llm::unusable::Unusable;
use crate::flow::error::StepError;
use crate::flow::step_context::StepContext;

/// The maximum number of repeated requests after an unusable reply.
pub(super) const MAX_REPAIRS: u32 = 2;
/// The maximum size of an unusable reply that is sent back to the model, in bytes.
const MAX_RETURNED_BYTES: usize = 64 << 10;

/// A model and the options of its requests.
pub(super) struct Dialogue<'a> {
    /// The models of this worker.
    pub(super) models: &'a Models,
    /// The model to ask.
    pub(super) model: &'a Model,
    /// The options of each request.
    pub(super) options: AskOptions,
    /// Records the cost.
    pub(super) bill: &'a Bill<'a>,
}

/// The failure of a model to give a usable reply in all attempts.
#[derive(Debug)]
pub(super) struct GaveUp {
    /// The number of replies.
    pub(super) n_replies: u32,
    /// The kind and the beginning of the last reply, for an error message.
    pub(super) last: String,
    /// The JSON object of the last reply, if it has one.
    pub(super) object: Option<Doc>,
}

impl Dialogue<'_> {
    /// Repeats the request until `judge` accepts the object of a reply. Its error completes the
    /// words "an object that".
    ///
    /// # Errors
    /// [`StepError`] of a request, temporary or permanent. `Ok(Err(_))` if no reply is usable.
    ///
    /// Cancel safety: dropping the future closes the connection.
    pub(super) async fn ask<T>(
        &self,
        mut conversation: Conversation,
        judge: impl Fn(Doc) -> Result<T, (String, Doc)>,
        cx: &StepContext<'_>,
    ) -> Result<Result<T, GaveUp>, StepError> {
        let mut n_replies = 0;
        loop {
            let answer = self
                .models
                .ask(self.model, &conversation, self.options, self.bill)
                .await?;
            n_replies += 1;
            let (unusable, object) = match reply::read(&answer.text) {
                Ok(object) => match judge(object) {
                    Ok(used) => return Ok(Ok(used)),
                    Err((problem, object)) => (Unusable::Shape(problem), Some(object)),
                },
                Err(unusable) => (unusable.in_answer(&answer), None),
            };
            let text = said(&answer);
            cx.run.note_unusable(&self.model.without_key(text));
            if n_replies > MAX_REPAIRS {
                return Ok(Err(GaveUp {
                    n_replies,
                    last: unusable.shown(&self.model.without_key(text)),
                    object,
                }));
            }
            tracing::info!(
                step = cx.step,
                n_replies,
                "the model's reply cannot be used; asking again"
            );
            conversation.say(Role::Assistant, returned(text, &unusable));
            conversation.say(Role::User, again(&answer, &unusable));
        }
    }
}

/// Returns the text of the reply, or of the refusal if the reply has no other text.
fn said(answer: &Answer) -> &str {
    match answer.text.trim() {
        "" => &answer.refusal,
        _ => &answer.text,
    }
}

/// Returns the reply for the next request. Providers reject an empty message.
fn returned(text: &str, unusable: &Unusable) -> String {
    match text.trim() {
        "" => format!("({unusable})"),
        _ => prefix(text, MAX_RETURNED_BYTES).to_owned(),
    }
}

fn again(answer: &Answer, unusable: &Unusable) -> String {
    let cut = match answer.end {
        Some(End::Cut) => {
            " It was cut off at the longest reply that you can give, so write a shorter one."
        }
        _ => "",
    };
    format!(
        "{}{cut} Answer again, in full, with exactly one JSON object and nothing else.",
        unusable.sentence()
    )
}
