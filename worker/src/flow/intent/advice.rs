//! The advice in refusals of intents.

/// The list of supported sentences in a refusal.
pub(super) const UNDERSTOOD: &str = "set <pointer> to <value>, add <value> to <pointer>, remove <pointer>, \
     rename agent <a> to <b>, tag <name>, untag <name>, describe as <text>, set prompt of agent <a> to <text>, \
     set model of agent <a> to <text>, several joined by ';' or newlines, or an RFC 6902 array, or \
     {ops, bump, rationale} as JSON";

/// The remedy for ambiguous texts in refusals.
pub(super) const HOW_TO_QUOTE: &str =
    "a text stands in double quotes as a JSON string, or in a block: <<END, its lines, END";
