//! Checks the files of `deploy/` against the programs: variables, metrics and times must exist in
//! the programs.
//!
//! `make test-compose` shows that the files work.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_yaml::Value;
use shared::config;
use tests::eventually::eventually;
use tests::factory::{self, to_struct};
use tests::model_double::{Act, ModelDouble};
use tests::probes::{metrics_address, scrape};
use tests::programs::{Program, run, workspace_dir};
use tests::python;
use tests::rig::Rig;

type Names = BTreeSet<String>;

fn path(file: &str) -> PathBuf {
    workspace_dir().join("deploy").join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn compose() -> Value {
    let mut compose: Value =
        serde_yaml::from_str(&read("docker-compose.yml")).expect("docker-compose.yml is YAML");
    compose.apply_merge().expect("the anchors are mappings");
    compose
}

/// The variables of a program, from its `--help`.
async fn variables(program: Program, verb: &[&str]) -> Names {
    let args: Vec<&str> = verb.iter().copied().chain(["--help"]).collect();
    let help = run(program, &args, &[]).await.stdout;
    let words: Vec<&str> = help.split_whitespace().collect();
    let named = words.iter().zip(words.iter().skip(1));
    let names: Names = named
        .filter(|(word, _)| word.ends_with("[env:"))
        .map(|(_, name)| name.split(['=', ']']).next().unwrap_or_default().to_owned())
        .collect();
    assert!(!names.is_empty(), "{help}");
    names
}

/// The variables of all programs.
async fn all_variables() -> Names {
    let mut all = Names::new();
    for (program, verb) in [
        (Program::Intake, &[][..]),
        (Program::Worker, &[]),
        (Program::Draftsman, &[]),
        (Program::Draftsman, &["up"]),
        (Program::Draftsman, &["probe"]),
    ] {
        all.extend(variables(program, verb).await);
    }
    all
}

/// The names of variables in `text`, found by the text around them.
fn names_after<'a>(text: &'a str, before: &str, ends: &[char]) -> BTreeSet<&'a str> {
    text.split(before)
        .skip(1)
        .map(|rest| rest.split(ends).next().unwrap_or_default())
        .collect()
}

/// The variables that compose passes to a service.
fn environment(service: &str) -> Names {
    let compose = compose();
    let environment = compose["services"][service]["environment"].as_mapping();
    let environment = environment.unwrap_or_else(|| panic!("{service} has an environment"));
    environment
        .keys()
        .map(|key| key.as_str().expect("a name").to_owned())
        .collect()
}

/// Whether this is an API key of a provider, which the worker reads without a flag.
fn is_key(name: &str) -> bool {
    name.ends_with("_API_KEY")
}

#[tokio::test]
async fn compose_hands_every_variable_of_a_program_on() {
    let intake = variables(Program::Intake, &[]).await;
    let tls = environment("intake-tls");
    assert_eq!(tls, intake, "intake-tls");
    let plain: Names = intake
        .into_iter()
        .filter(|name| !name.contains("_TLS_") && name != config::TOKENS_FILE)
        .collect();
    assert_eq!(environment("intake"), plain);
    let worker: Names = environment("worker")
        .into_iter()
        .filter(|name| !is_key(name))
        .collect();
    assert_eq!(worker, variables(Program::Worker, &[]).await);
}

#[tokio::test]
async fn the_example_of_an_environment_names_every_variable() {
    let compose = read("docker-compose.yml");
    let mut expected: Names = names_after(&compose, "${", &[':', '}'])
        .into_iter()
        .map(str::to_owned)
        .collect();
    expected.extend(all_variables().await);
    expected.extend(environment("worker").into_iter().filter(|n| is_key(n)));
    let example = read(".env.example");
    let lines = example
        .lines()
        .filter_map(|line| line.strip_prefix('#').unwrap_or(line).split_once('='));
    let named: Vec<&str> = lines
        .map(|(name, _)| name)
        .filter(|name| !name.contains(' '))
        .collect();
    let unique: Names = named.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(named.len(), unique.len(), "a variable is named twice");
    assert_eq!(unique, expected);
}

/// `docs/configuration.md` lists the variables of a row in its first cell, in backticks.
#[tokio::test]
async fn the_page_on_configuration_names_every_variable_once() {
    let page = include_str!("../../../docs/configuration.md");
    let cells = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let is_variable =
        |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    let named: Vec<&str> = cells
        .flat_map(|cell| cell.split('`'))
        .filter(is_variable)
        .collect();
    let unique: Names = named.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(named.len(), unique.len(), "a variable is named twice");
    assert_eq!(unique, all_variables().await);
}

#[test]
fn containers_are_given_longer_than_the_programs_take_to_end() {
    let grace: u64 = config::DEFAULT_GRACE_SECS.parse().expect("seconds");
    let compose = compose();
    for service in ["intake", "intake-tls", "worker"] {
        let given = compose["services"][service]["stop_grace_period"].as_str();
        let given = given.and_then(|text| text.strip_suffix("s}")?.rsplit('-').next());
        let given: u64 = given.and_then(|n| n.parse().ok()).expect("seconds");
        assert!(given > grace, "{service}: {given}");
    }
    for file in ["intake", "worker"] {
        let manifest = read(&format!("kubernetes/{file}.yaml"));
        let given = names_after(&manifest, "terminationGracePeriodSeconds: ", &['\n']);
        let given: Vec<u64> = given.iter().map(|n| n.parse().expect("seconds")).collect();
        assert!(
            matches!(given[..], [given] if given > grace),
            "{file}: {given:?}"
        );
    }
}

/// Replicas share no name and no port of the host.
#[test]
fn workers_can_be_scaled() {
    let compose = compose();
    let worker = &compose["services"]["worker"];
    assert!(worker.get("container_name").is_none() && worker.get("ports").is_none());
    assert!(worker["deploy"]["replicas"].as_u64() > Some(1));
}

/// The names of metrics in dashboards, rules and scalers, without the suffixes of histograms.
fn metrics_in(text: &str) -> Names {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("draftsman_"))
        .map(|word| word.strip_suffix("_bucket").unwrap_or(word).to_owned())
        .collect()
}

/// A metric that exists only after a failed call of Redis.
const REDIS_ERRORS: &str = "draftsman_redis_errors_total";

/// Waits until the programs expose each of these metrics.
async fn until_exposed(addresses: &[String], named: &Names) {
    eventually("every metric that is named is there", async || {
        let mut there = Names::new();
        for address in addresses {
            let text = scrape(address).await;
            let names = names_after(&text, "# TYPE ", &[' ']);
            there.extend(names.into_iter().map(str::to_owned));
        }
        let missing: Vec<_> = named.difference(&there).collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(format!("{missing:?} of {there:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn dashboards_and_alerts_name_metrics_that_exist() {
    let metrics = ("DRAFTSMAN_METRICS_LISTEN", "127.0.0.1:0");
    let mut rig = Rig::without_worker().await;
    rig.restart_intake_with(&[metrics]).await;
    let patch = serde_json::json!({
        "ops": [{"op": "add", "path": "/metadata/tags/-", "value": "y"}], "bump": "minor", "rationale": "r",
    });
    let double = ModelDouble::start(vec![Act::Say(patch.to_string())]).await;
    let url = double.url();
    let env = [
        metrics,
        ("DRAFTSMAN_LLM_BASE_URL", url.as_str()),
        ("ANTHROPIC_API_KEY", "k"),
    ];
    rig.add_worker(&env);
    // One issue by the script and one by a model: some metrics exist only after the first sample.
    rig.client.put(factory::small("counted")).await;
    rig.client.run("counted", "tag x").await;
    let spawner = serde_json::json!({
        "name": "patch-spawner", "kind": "llm", "spec": {"provider": "anthropic"},
        "profile": {"model": "model-1", "system_prompt": "Write JSON."},
    });
    rig.client
        .edit_setting(|setting| setting.spawner = Some(to_struct(&spawner)))
        .await;
    rig.client.run("counted", "tag y").await;

    let mut named = metrics_in(&read("observability/grafana/dashboards/draftsman.json"));
    let alerts = metrics_in(&read("observability/alerts.yml"));
    let scalers = metrics_in(&read("kubernetes/keda/worker-scaler.yaml"));
    assert!(!alerts.is_empty() && !scalers.is_empty() && named.len() > 15);
    named.extend(alerts.into_iter().chain(scalers));
    let addresses = [
        metrics_address(&rig.intake).await,
        metrics_address(&rig.workers[0]).await,
    ];
    let at_fault = named.take(REDIS_ERRORS).into_iter().collect();
    until_exposed(&addresses, &named).await;
    rig.redis.kill();
    until_exposed(&addresses, &at_fault).await;
}

#[tokio::test]
async fn manifests_are_what_kubernetes_takes() {
    let directory = path("kubernetes");
    let directory = directory.to_str().expect("a plain path");
    python::run_script("manifests.py", &[directory]).await;
}
