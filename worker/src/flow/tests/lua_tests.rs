//! Runs every `lua/test/*_test.lua`.
//!
//! A test file is a script like any other. It runs in the sandbox with `host` and a `_CTX` (see
//! below), and it fails by raising an error, for example with `assert`.

use shared::blueprint::{Doc, json};

use super::*;
use crate::flow::lua::pool::Pool;
use crate::flow::meter::Meter;
use crate::flow::run_state::RunState;
use crate::flow::scripts::Scripts;
use crate::flow::step_context::StepContext;

/// The `_CTX` of the tests.
const CTX: &str = r#"{"null": null, "flag": true, "int": 1152921504606846977, "float": 1.0, "text": "ä",
  "list": [1, null, [], {}], "empty_list": [], "empty_object": {}, "object": {"b": 2, "a": {"deep": [true]}}}"#;

#[tokio::test]
async fn all_lua_tests_pass() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../lua/test");
    let scripts = Arc::new(Scripts::load(Some(&dir)).unwrap());
    let pool = Pool::new(scripts.clone()).unwrap();
    let prev = input(TARGET, "x").prev;
    let tests: Vec<String> = scripts
        .step_names()
        .into_iter()
        .filter(|name| name.ends_with("_test"))
        .collect();
    assert!(!tests.is_empty(), "no tests in {}", dir.display());
    for name in tests {
        let run = Arc::new(RunState::new(
            &prev,
            Doc::Null,
            std::time::Instant::now() + Duration::from_secs(60),
            None,
        ));
        let mut ctx = json::parse(CTX).unwrap();
        if let Doc::Object(members) = &mut ctx {
            Arc::make_mut(members).insert("yaml".into(), Doc::Str(prev.canonical_yaml().clone()));
        }
        let meter = Meter::of("test", &run);
        let cx = StepContext {
            step: "test",
            run: &run,
            meter: &meter,
        };
        let returned = pool.run(scripts.step(&name).unwrap(), ctx, &cx).await;
        assert!(returned.is_ok(), "{name}: {}", returned.unwrap_err());
    }
}
