//! What a command is called in a test: a script by its file's name, anything else by its verb.

use std::collections::HashMap;

use shared::store::redis::script;

use crate::resp_proxy::frame::first_texts;

/// The scripts by the SHA-1 under which Redis keeps them.
#[derive(Debug)]
pub(super) struct Names(HashMap<String, &'static str>);

impl Names {
    /// The names of all scripts of the store.
    pub(super) fn of_the_store() -> Self {
        let named = |found: &'static script::Script| (sha1(found.source()), found.name());
        Self(script::all().into_iter().map(named).collect())
    }

    /// The name of the command that `frame` is: `claim_issue` for a call of that script, by hash
    /// or by source, `SCRIPT LOAD claim_issue` for its loading, `BRPOPLPUSH`, `CLIENT KILL`.
    pub(super) fn name(&self, frame: &[u8]) -> String {
        let words = first_texts(frame, 3);
        let text = |n: usize| words.get(n).map(|word| String::from_utf8_lossy(word));
        let upper = |n: usize| text(n).unwrap_or_default().to_uppercase();
        let by_source = |n: usize| self.0.get(&sha1(&text(n).unwrap_or_default())).copied();
        let verb = upper(0);
        match verb.as_str() {
            "EVALSHA" => {
                let found = text(1).and_then(|sha| self.0.get(&sha.to_lowercase()).copied());
                found.map_or(verb, str::to_owned)
            }
            "EVAL" => by_source(1).map_or(verb, str::to_owned),
            "SCRIPT" if upper(1) == "LOAD" => {
                format!("SCRIPT LOAD {}", by_source(2).unwrap_or("unknown"))
            }
            "CLIENT" | "SCRIPT" => format!("{verb} {}", upper(1)),
            _ => verb,
        }
    }

    /// True if this is the name of a script.
    pub(super) fn is_script(&self, name: &str) -> bool {
        self.0.values().any(|script| *script == name)
    }
}

/// True for the commands after which replies come unasked.
pub(super) fn is_subscription(name: &str) -> bool {
    matches!(name, "SUBSCRIBE" | "PSUBSCRIBE" | "SSUBSCRIBE" | "MONITOR")
}

/// As Redis computes it; the client library has it already.
fn sha1(source: &str) -> String {
    redis::Script::new(source).get_hash().to_owned()
}
