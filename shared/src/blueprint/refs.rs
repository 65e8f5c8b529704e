//! The steps of a flow.

use crate::blueprint::Doc;

/// Every `ref` of a node of kind `step` in `flow`, at any depth, in the document's order and as
/// often as it occurs. Literals (`op: lit`) are data and are not looked into; nodes of kinds that
/// flow.ir does not know are, for a target may be written for another flow.ir.
pub fn step_refs(flow: &Doc) -> Vec<&str> {
    let mut found = Vec::new();
    collect(flow, &mut found);
    found
}

fn collect<'a>(node: &'a Doc, found: &mut Vec<&'a str>) {
    match node {
        Doc::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Doc::Object(members) => {
            let text = |key: &str| members.get(key).and_then(Doc::as_str);
            if text("op") == Some("lit") {
                return;
            }
            if text("kind") == Some("step")
                && let Some(name) = text("ref")
            {
                found.push(name);
            }
            members.values().for_each(|member| collect(member, found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blueprint::json;

    #[test]
    fn finds_steps_at_any_depth_and_skips_literals() {
        let flow = json::parse(
            r#"{"kind":"seq","children":[
                {"kind":"step","ref":"a","in":{"op":"lit","value":{"kind":"step","ref":"not"}}},
                {"kind":"branch","then":{"kind":"step","ref":"b"},"else":{"kind":"old","x":[[{"kind":"step","ref":"c"}]]}},
                {"kind":"step","ref":"a"},{"kind":"step"},{"kind":"step","ref":7}]}"#,
        )
        .unwrap();
        assert_eq!(step_refs(&flow), ["a", "c", "b", "a"]);
    }
}
