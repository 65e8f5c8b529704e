use super::*;
use crate::blueprint::call_spec::{CallSpec, JsonMode};
use crate::blueprint::json;
use crate::blueprint::orbit::kinds::SPAWNER;

const ORBIT: &str = r#"
id: orbit
flow:
  kind: seq
  children:
  - {kind: step, ref: patch-spawner, in: {op: path, at: "$"}, out: {op: path, at: "$.patch"}}
  - {kind: step, ref: decide, in: {op: path, at: "$"}, out: {op: path, at: "$.commit"}}
agents:
- {name: patch-spawner, kind: lua, spec: {fn_id: patch_spawner}}
- {name: decide, kind: lua, spec: {fn_id: committer}}
"#;

const LLM: &str = "{name: decide, kind: llm, spec: {}, profile: {model: claude-haiku-4-5}}";

fn run(text: &str, spawner: Option<&str>) -> Result<OrbitSpec, NotRunnable> {
    let blueprint = Blueprint::parse(text).unwrap();
    let spawner = spawner.map(|text| json::parse(text).unwrap());
    check(&blueprint, spawner.as_ref(), &scripts::is_bundled)
}

/// Returns the obstacles of [`ORBIT`] after one replacement.
fn obstacles(from: &str, to: &str) -> Vec<Obstacle> {
    assert!(ORBIT.contains(from), "{from}");
    match run(&ORBIT.replace(from, to), None) {
        Ok(_) => Vec::new(),
        Err(why) => why.obstacles().to_vec(),
    }
}

/// Checks [`ORBIT`] with another definition of its second agent.
fn with_agent(definition: &str) -> Result<OrbitSpec, NotRunnable> {
    let agent = "{name: decide, kind: lua, spec: {fn_id: committer}}";
    run(&ORBIT.replace(agent, definition), None)
}

/// Checks [`ORBIT`] with another flow.
fn with_flow(flow: &str) -> Result<OrbitSpec, NotRunnable> {
    let (head, tail) = (ORBIT.find("flow:").unwrap(), ORBIT.find("agents:").unwrap());
    let text = format!("{}flow: {flow}\n{}", &ORBIT[..head], &ORBIT[tail..]);
    run(&text, None)
}

#[test]
fn an_orbit_is_returned_with_what_its_agents_run() {
    let spec = run(ORBIT, None).unwrap();
    let names: Vec<&str> = spec.agents.iter().map(|agent| &*agent.name).collect();
    assert_eq!(names, ["patch-spawner", "decide"]);
    assert_eq!(spec.agent_index("decide"), Some(1));
    let script = "committer".to_owned();
    assert_eq!(spec.agents[1].spec, AgentSpec::Lua { script });

    let spec =
        with_agent("{name: decide, kind: subprocess, spec: {program: /bin/cat, args: [-n]}}");
    let expected = AgentSpec::Subprocess {
        program: "/bin/cat".to_owned(),
        args: vec!["-n".to_owned()],
        call: CallSpec::default(),
    };
    assert_eq!(spec.unwrap().agents[1].spec, expected);

    let expected = AgentSpec::Llm(LlmSpec {
        provider: None,
        model: "claude-haiku-4-5".to_owned(),
        system_prompt: String::new(),
        past_denials: 0,
        json_mode: JsonMode::Auto,
        call: CallSpec::default(),
    });
    assert_eq!(with_agent(LLM).unwrap().agents[1].spec, expected);
    // The alias of another flow.ir system, with an additional field.
    let other = LLM.replace(
        "kind: llm, spec: {}",
        "kind: agent_block, spec: {project_root: .}",
    );
    assert_eq!(with_agent(&other).unwrap().agents[1].spec, expected);
}

#[test]
fn dashes_and_underscores_are_the_same_in_the_name_of_a_script() {
    for name in ["patch-applier", "patch_applier"] {
        assert_eq!(obstacles("fn_id: committer", &format!("fn_id: {name}")), []);
    }
    assert!(scripts::is_same("a-b_c", "a_b-c"));
    assert!(!scripts::is_same("a-b", "ab"));
}

#[test]
fn each_obstacle_of_an_agent_is_named() {
    for (definition, words) in [
        ("{name: decide, spec: {fn_id: committer}}", "has no kind"),
        (
            "{name: decide, kind: operator}",
            "unknown kind \"operator\"; known kinds are: lua, llm, subprocess, agent_block",
        ),
        ("{name: decide, kind: lua}", "spec.fn_id is missing"),
        (
            "{name: decide, kind: lua, spec: {fn_id: 5}}",
            "spec.fn_id must be a string, not a number",
        ),
        (
            "{name: decide, kind: lua, spec: {fn_id: ''}}",
            "spec.fn_id is empty",
        ),
        (
            "{name: decide, kind: lua, spec: {fn_id: nobody}}",
            "script \"nobody\", which is not known; bundled are: committer",
        ),
        (
            "{name: decide, kind: llm, spec: {}}",
            "profile.model is missing",
        ),
        (
            "{name: decide, kind: llm, profile: {model: clod}}",
            "the model \"clod\" does not determine it",
        ),
        (
            "{name: decide, kind: llm, spec: {provider: opanai}, profile: {model: m}}",
            "unknown provider \"opanai\"; known providers are: anthropic, openai",
        ),
        (
            "{name: decide, kind: llm, spec: {provider: 1}, profile: {model: claude-x}}",
            "spec.provider must be a string",
        ),
        (
            "{name: decide, kind: llm, profile: {model: claude-x, system_prompt: []}}",
            "profile.system_prompt must be a string",
        ),
        (
            "{name: decide, kind: llm, spec: {timeout_ms: 0}, profile: {model: claude-x}}",
            "spec.timeout_ms must be",
        ),
        (
            "{name: decide, kind: llm, spec: {json_mode: maybe}, profile: {model: claude-x}}",
            "spec.json_mode must be on, off or auto",
        ),
        (
            "{name: decide, kind: llm, spec: {past_denials: 11}, profile: {model: claude-x}}",
            "spec.past_denials must be an integer from 0 to 10",
        ),
        (
            "{name: decide, kind: agent_block, spec: {script_path: a.lua}, profile: {model: claude-x}}",
            "of kind llm: spec.script_path cannot run",
        ),
        (
            "{name: decide, kind: subprocess, spec: {}}",
            "spec.program is missing",
        ),
        (
            "{name: decide, kind: subprocess, spec: {program: /bin/cat, args: [1]}}",
            "spec.args must be an array of strings",
        ),
    ] {
        let why = with_agent(definition).expect_err(definition);
        assert_eq!(why.obstacles().len(), 1, "{why}");
        assert_eq!(why.obstacles()[0].agent(), Some("decide"), "{why}");
        assert!(why.to_string().starts_with("agent \"decide\""), "{why}");
        assert!(why.to_string().contains(words), "{words}: {why}");
    }
}

#[test]
fn each_obstacle_of_a_flow_is_named() {
    const DECIDE: &str =
        r#"{kind: step, ref: decide, in: {op: path, at: "$"}, out: {op: path, at: "$.commit"}}"#;
    let seq = |first: &str| format!("{{kind: seq, children: [{first}, {DECIDE}]}}");
    for (flow, words) in [
        ("{kind: stop}".to_owned(), "unknown variant `stop`"),
        (
            DECIDE.replace("ref: decide", "ref: nobody"),
            "step \"nobody\" names no declared agent; declared are: patch-spawner, decide",
        ),
        (
            seq("{kind: step, ref: decide, in: {op: lit, value: 1}, out: {op: lit, value: 1}}"),
            "step \"decide\".out must be a path",
        ),
        (
            seq(
                r#"{kind: fanout, items: {op: path, at: "$.x"}, bind: {op: lit, value: 1}, body: {kind: let, at: "$.y", value: {op: lit, value: 1}}, join: all, out: {op: path, at: "$.z"}}"#,
            ),
            "fanout.bind must be a path",
        ),
        (
            seq(
                r#"{kind: loop, counter: {op: lit, value: 1}, cond: {op: lit, value: true}, body: {kind: seq, children: []}, max: 1}"#,
            ),
            "loop.counter must be a path",
        ),
        (
            seq(
                r#"{kind: try, body: {kind: seq, children: []}, catch: {kind: seq, children: []}, err_at: {op: lit, value: 1}}"#,
            ),
            "try.err_at must be a path",
        ),
        (
            seq(
                r#"{kind: let, at: "$.x", value: {op: not, arg: {op: call_extern, ref: now, args: []}}}"#,
            ),
            "call_extern \"now\" cannot be called",
        ),
        (
            r#"{kind: let, at: "$.x", value: {op: lit, value: 1}}"#.to_owned(),
            "nothing writes $.commit",
        ),
    ] {
        let why = with_flow(&flow).expect_err(&flow);
        assert_eq!(why.obstacles().len(), 1, "{why}");
        assert!(why.to_string().starts_with("flow"), "{why}");
        assert!(why.to_string().contains(words), "{words}: {why}");
    }
}

#[test]
fn what_can_write_the_decision_is_told_from_what_cannot() {
    let step = |out: &str| {
        format!(
            r#"{{kind: step, ref: decide, in: {{op: path, at: "$"}}, out: {{op: path, at: "{out}"}}}}"#
        )
    };
    let fanout = |join: &str, out: &str, body: &str| {
        format!(
            r#"{{kind: fanout, items: {{op: path, at: "$.verifiers"}}, bind: {{op: path, at: "$.axis"}}, body: {body}, join: {join}, out: {{op: path, at: "{out}"}}}}"#
        )
    };
    let within = |max: u32| {
        let body = step("$.commit");
        format!(
            r#"{{kind: loop, counter: {{op: path, at: "$.n"}}, cond: {{op: lit, value: true}}, max: {max}, body: {body}}}"#
        )
    };
    for (flow, can) in [
        (step("$.commit"), true),
        (step("ctx.commit"), true),
        (step("$"), true),
        (step("$.commit.committed"), true),
        (step("$.commits"), false),
        (step("$.x.commit"), false),
        (within(1), true),
        (within(0), false),
        // The output of a branch is lost, unless one branch becomes the context.
        (fanout("all", "$.x", &step("$.commit")), false),
        (fanout("all", "$.commit", &step("$.x")), false),
        (fanout("all_settled", "$", &step("$.commit")), false),
        (fanout("any", "$", &step("$.commit")), true),
        (fanout("race", "$", &step("$.x")), false),
        (fanout("any", "$.commit", &step("$.committed")), true),
        (
            fanout("all", "$.commit.verdicts_summary", &step("$.x")),
            true,
        ),
    ] {
        let outcome = with_flow(&flow);
        assert_eq!(outcome.is_ok(), can, "{flow}: {outcome:?}");
    }
}

#[test]
fn everything_is_told_at_once() {
    let broken = ORBIT
        .replace("kind: lua", "kind: alien")
        .replace("ref: decide", "ref: nobody")
        .replace("$.commit", "$.x");
    let why = run(&broken, None).unwrap_err();
    assert_eq!(why.obstacles().len(), 4, "{why}");
    let many: String = (0..20)
        .map(|n| format!("- {{name: a{n}, kind: k{n}}}\n"))
        .collect();
    let why = run(&format!("{ORBIT}{many}"), None).unwrap_err();
    assert!(why.to_string().ends_with("; and 10 more"), "{why}");
}

#[test]
fn a_spawner_is_checked_in_the_place_of_the_agent() {
    let good = r#"{"kind": "lua", "name": "other", "spec": {"fn_id": "committer"}}"#;
    let spec = run(ORBIT, Some(good)).unwrap();
    assert_eq!(spec.agents[0].name, SPAWNER);
    let script = "committer".to_owned();
    assert_eq!(spec.agents[0].spec, AgentSpec::Lua { script });
    // The replaced agent is not checked.
    let broken = ORBIT.replace("kind: lua, spec: {fn_id: patch_spawner}", "kind: operator");
    assert!(run(&broken, Some(good)).is_ok());

    let unknown = run(ORBIT, Some(&good.replace("committer", "nobody"))).unwrap_err();
    assert!(unknown.is_about_spawner() && !unknown.is_malformed_agent());
    assert!(
        unknown.to_string().contains("DRAFTSMAN_LUA_DIR"),
        "{unknown}"
    );
    let malformed = run(ORBIT, Some("{}")).unwrap_err();
    assert!(malformed.is_about_spawner() && malformed.is_malformed_agent());
    let without = run(ORBIT, Some(r#"{"kind": "llm"}"#)).unwrap_err();
    assert!(
        without.to_string().contains("profile.model is missing"),
        "{without}"
    );
    let none = ORBIT.replace("patch-spawner", "drafter");
    let none = run(&none, Some(good)).unwrap_err();
    assert!(none.is_about_spawner(), "{none}");
    assert!(
        none.to_string().ends_with("declared are: drafter, decide"),
        "{none}"
    );
}
