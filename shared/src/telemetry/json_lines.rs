//! Log lines as JSON, with lists as arrays.
//!
//! `tracing` has no lists: a list is recorded by its debug text, which would be a string in JSON.

use std::fmt;

use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The fields that are lists.
const LISTS: [&str; 2] = ["axes", "scripts"];

/// Formats an event as one line of JSON.
pub(super) struct JsonLines(pub(super) Format<Json>);

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = event.metadata().fields().iter();
        if !fields.any(|field| LISTS.contains(&field.name())) {
            return self.0.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        match with_arrays(&line) {
            Some(line) => writeln!(writer, "{line}"),
            None => writer.write_str(&line),
        }
    }
}

/// Returns the line with its lists as arrays; `None` if it is not a JSON object.
fn with_arrays(line: &str) -> Option<String> {
    let mut fields: Map<String, Value> = serde_json::from_str(line).ok()?;
    for name in LISTS {
        // The debug text of a list of names is a JSON array.
        let text = fields.get(name).and_then(Value::as_str);
        let list = text.and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
        if let Some(list) = list {
            fields.insert(name.to_owned(), list.into());
        }
    }
    serde_json::to_string(&fields).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_an_array_and_other_fields_stay() {
        let axes = format!("{:?}", ["size", "a\"b"]);
        let line = serde_json::json!({"message": "[1]", "axes": axes, "scripts": "not a list"});
        let read: Value = serde_json::from_str(&with_arrays(&line.to_string()).unwrap()).unwrap();
        assert_eq!(read["axes"], serde_json::json!(["size", "a\"b"]));
        assert_eq!(read["message"], "[1]");
        assert_eq!(read["scripts"], "not a list");
    }
}
