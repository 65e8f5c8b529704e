//! The names of commands in tests: a script's file name, or the verb of any other command.

use std::collections::HashMap;

use shared::store::redis::script;

use crate::resp_proxy::frame::first_texts;

/// The scripts by the SHA-1 under which Redis stores them.
#[derive(Debug)]
pub(super) struct Names(HashMap<String, &'static str>);

impl Names {
    /// The names of all scripts of the store.
    pub(super) fn of_the_store() -> Self {
        let named = |found: &'static script::Script| (sha1(found.source()), found.name());
        Self(script::all().into_iter().map(named).collect())
    }

    /// The name of the command in `frame`. It is `claim_issue` for a call of that script, by hash
    /// or by source, and `SCRIPT LOAD claim_issue` for its loading. Other commands have their verb,
    /// such as `BRPOPLPUSH` or `CLIENT KILL`.
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

    /// Whether this is the name of a script.
    pub(super) fn is_script(&self, name: &str) -> bool {
        self.0.values().any(|script| *script == name)
    }
}

/// Whether push messages may follow the command.
pub(super) fn is_subscription(name: &str) -> bool {
    matches!(name, "SUBSCRIBE" | "PSUBSCRIBE" | "SSUBSCRIBE" | "MONITOR")
}

/// The hash of a script as Redis computes it, from the client library.
fn sha1(source: &str) -> String {
    redis::Script::new(source).get_hash().to_owned()
}
