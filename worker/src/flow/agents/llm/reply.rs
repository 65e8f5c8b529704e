//! Reading a model's reply: one JSON object, and a patch where one is due.

use shared::blueprint::label::Bump;
use shared::blueprint::patch::{self, OpError, PatchError};
use shared::blueprint::{Doc, json};

/// The JSON object that `text` is, a Markdown fence around it taken off; or what is wrong with it,
/// as words that follow "the reply".
pub(super) fn read(text: &str) -> Result<Doc, String> {
    match json::parse(without_fence(text.trim())) {
        Ok(object @ Doc::Object(_)) => Ok(object),
        Ok(other) => Err(format!("is {} and no JSON object", other.kind())),
        Err(error) => Err(format!("is no JSON object: {error}")),
    }
}

/// What keeps `reply` from being a patch, if anything does. The applier asks the same again; this
/// is asked while the model can still correct it.
pub(super) fn no_patch(reply: &Doc) -> Option<String> {
    let Some(ops) = reply.get("ops").and_then(Doc::as_array) else {
        return Some("has no ops, an array of RFC 6902 operations".to_owned());
    };
    if ops.len() > patch::MAX_OPS {
        return Some(format!("has more than {} ops", patch::MAX_OPS));
    }
    // On its own and on nothing an operation shows whether it is one; whether it applies is not asked.
    let nothing = Doc::object::<&str>([]);
    for (index, op) in ops.iter().enumerate() {
        let tried = patch::apply(&nothing, &Doc::array(vec![op.clone()]));
        if let Err(PatchError::Op { source, .. }) = tried
            && is_about_shape(&source)
        {
            return Some(format!("has no operation in ops[{index}]: {source}"));
        }
    }
    let bump = reply.get("bump").and_then(Doc::as_str);
    if bump.is_none_or(|bump| Bump::parse(bump).is_err()) {
        return Some("has no bump, which is \"major\", \"minor\" or \"patch\"".to_owned());
    }
    let rationale = reply.get("rationale").and_then(Doc::as_str);
    rationale
        .is_none()
        .then(|| "has no rationale, a string".to_owned())
}

fn is_about_shape(error: &OpError) -> bool {
    matches!(
        error,
        OpError::NotAnObject { .. }
            | OpError::MissingMember { .. }
            | OpError::MistypedMember { .. }
            | OpError::UnknownOp
            | OpError::Pointer { .. }
    )
}

/// A reply as it goes back to the model. No provider takes an empty message.
pub(super) fn quoted(text: String) -> String {
    if text.trim().is_empty() {
        "(nothing)".to_owned()
    } else {
        text
    }
}

fn without_fence(text: &str) -> &str {
    let inside = text
        .strip_prefix("```")
        .and_then(|rest| rest.strip_suffix("```"))
        .and_then(|rest| rest.split_once('\n'));
    match inside {
        Some((_language, inside)) => inside.trim(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_comes_off_and_nothing_else_does() {
        for good in [
            "{\"a\": 1}",
            " \n{\"a\": 1}\n",
            "```json\n{\"a\": 1}\n```",
            "```\n{\"a\": 1}```\n",
        ] {
            assert_eq!(json::emit(&read(good).unwrap()), "{\"a\":1}", "{good}");
        }
        for bad in [
            "",
            "sorry",
            "[]",
            "Here: {\"a\": 1}",
            "{\"a\": 1} {}",
            "```json\n```",
            "``````",
            "{\"a\":1,\"a\":2}",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_the_bundled_prompt_shows_are_patches() {
        let agent = shared::blueprint::yaml::parse(crate::flow::PATCH_SPAWNER_LLM_YAML).unwrap();
        let profile = agent.get("profile").unwrap();
        let prompt = profile.get("system_prompt").and_then(Doc::as_str).unwrap();
        let examples = prompt.split_once("# Examples").unwrap().1;
        let shown: Vec<_> = examples.lines().filter(|l| l.starts_with('{')).collect();
        assert_eq!(shown.len(), 3);
        for patch in shown {
            assert_eq!(no_patch(&read(patch).unwrap()), None, "{patch}");
        }
    }

    #[test]
    fn what_is_no_patch_is_named() {
        let whole = r#"{"ops": [{"op": "add", "path": "/a/b", "value": 1}, {"op": "remove", "path": "/x/0"}], "bump": "patch", "rationale": "r"}"#;
        assert_eq!(no_patch(&read(whole).unwrap()), None);
        for (from, to, word) in [
            ("\"ops\"", "\"op\"", "no ops"),
            (
                "\"remove\"",
                "\"delete\"",
                "ops[1]: there is no such operation",
            ),
            ("\"/x/0\"", "\"x\"", "ops[1]"),
            (", \"value\": 1", "", "ops[0]: the member value is missing"),
            ("\"patch\"", "\"tiny\"", "bump"),
            ("\"r\"", "1", "rationale"),
        ] {
            let problem = no_patch(&read(&whole.replace(from, to)).unwrap());
            let problem = problem.unwrap_or_else(|| panic!("{to} is taken"));
            assert!(problem.contains(word), "{to}: {problem}");
        }
    }
}
