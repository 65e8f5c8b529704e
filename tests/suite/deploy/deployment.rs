//! Checks the files of `deploy/` against the programs: variables, metrics and times must exist in
//! the programs.
//!
//! `make test-compose` shows that the files work.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_yaml::Value;
use shared::config;
use tests::eventually::eventually;
use tests::loaded_rig::LoadedRig;
use tests::probes::scrape;
use tests::programs::{Program, run, workspace_dir};
use tests::python;

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
    // Twice: the anchor of the programs merges that of all services.
    for _ in 0..2 {
        compose.apply_merge().expect("the anchors are mappings");
    }
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
        (Program::Draftsman, &["console"]),
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
        .filter(|name| !name.contains("_TLS_"))
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

/// Returns the default of a value `${NAME:-default}`, or the value itself.
fn default_of(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => serde_yaml::to_string(other).expect("a scalar"),
    };
    let default = text
        .strip_prefix("${")
        .and_then(|rest| rest.split_once(":-"))
        .and_then(|(_, rest)| rest.strip_suffix('}'));
    default.unwrap_or(text.trim()).to_owned()
}

/// Replicas share no name and no port of the host. Without `--scale`, a variable says how many run.
#[test]
fn workers_can_be_scaled() {
    let compose = compose();
    let worker = &compose["services"]["worker"];
    assert!(worker.get("container_name").is_none() && worker.get("ports").is_none());
    let replicas = &worker["deploy"]["replicas"];
    assert_eq!(replicas.as_str(), Some("${DRAFTSMAN_WORKERS:-2}"));
}

#[test]
fn every_container_is_limited_and_restricted() {
    let compose = compose();
    let services = compose["services"].as_mapping().expect("services");
    let mut builders = Vec::new();
    for (name, service) in services {
        let name = name.as_str().expect("a name");
        let image = default_of(&service["image"]);
        let (_, tag) = image.rsplit_once(':').expect("a tag");
        let is_pinned = tag.contains('.') && tag.chars().any(|c| c.is_ascii_digit());
        assert!(is_pinned || tag == "local", "{name}: {image}");
        assert_eq!(service["read_only"], Value::Bool(true), "{name}");
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
        assert_eq!(
            service["security_opt"][0], "no-new-privileges:true",
            "{name}"
        );
        assert!(service["pids_limit"].as_u64().is_some(), "{name}");
        assert!(
            service["mem_limit"].is_string() && service["cpus"].is_f64(),
            "{name}"
        );
        assert!(
            service["logging"]["options"]["max-size"].is_string(),
            "{name}"
        );
        if service.get("build").is_some() {
            builders.push(name);
        }
    }
    assert_eq!(builders, ["intake"], "one service builds the image");
    for (_, image) in services["intake"]["build"]["args"]
        .as_mapping()
        .expect("args")
    {
        let image = default_of(image);
        let tag = image.rsplit_once(':').map(|(_, tag)| tag);
        let has_number = |tag: &str| tag.chars().any(|c| c.is_ascii_digit());
        assert!(tag.is_none_or(has_number), "{image}");
    }
}

#[test]
fn redis_has_the_password_of_the_url() {
    let compose = compose();
    let services = &compose["services"];
    let password = default_of(&services["redis"]["environment"]["REDIS_PASSWORD"]);
    for service in ["intake", "intake-tls", "worker"] {
        let url = default_of(&services[service]["environment"]["DRAFTSMAN_REDIS_URL"]);
        assert_eq!(url, format!("redis://:{password}@redis:6379"), "{service}");
    }
    let command = &services["redis"]["command"];
    let command = serde_yaml::to_string(command).expect("YAML");
    assert!(command.contains("requirepass") && !command.contains(&password));
}

/// The number of previews that a worker runs at the same time.
const PREVIEWS: u64 = 2;
/// The memory of a worker without scripts, in MiB.
const REST_MIB: u64 = 256;

/// Every issue and every preview may run a script with all the memory that it may use.
#[test]
fn the_memory_of_a_worker_fits_its_scripts() {
    let sandbox = workspace_dir().join("worker/src/flow/lua/sandbox.rs");
    let sandbox = std::fs::read_to_string(sandbox).expect("the sandbox");
    let limit = names_after(&sandbox, "MEMORY_LIMIT_MIB: usize = ", &[';']);
    let limit: u64 = limit.first().expect("a limit").parse().expect("MiB");
    let fits = |concurrency: &str, mib: u64| {
        let concurrency: u64 = concurrency.parse().expect("a number");
        let needed = (concurrency + PREVIEWS) * limit + REST_MIB;
        assert!(mib >= needed, "{mib} MiB of {needed}");
    };
    let compose = compose();
    let worker = &compose["services"]["worker"];
    let memory = default_of(&worker["mem_limit"]);
    let gib: u64 = memory.trim_end_matches('g').parse().expect("GiB");
    let concurrency = default_of(&worker["environment"]["DRAFTSMAN_CONCURRENCY"]);
    fits(&concurrency, gib * 1024);

    let manifest = read("kubernetes/worker.yaml");
    let concurrency = names_after(&manifest, "DRAFTSMAN_CONCURRENCY, value: \"", &['"']);
    let memory = names_after(&manifest, "limits: {memory: ", &['M']);
    let memory = memory.first().expect("a limit").parse().expect("MiB");
    fits(concurrency.first().expect("a value"), memory);
}

/// The names of metrics in dashboards, rules and scalers, without the suffixes of histograms.
fn metrics_in(text: &str) -> Names {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("draftsman_"))
        .map(|word| {
            let family = ["_bucket", "_count"]
                .iter()
                .find_map(|end| word.strip_suffix(end));
            family.unwrap_or(word).to_owned()
        })
        .collect()
}

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
    let loaded = LoadedRig::start().await;
    let mut named = metrics_in(&read("observability/grafana/dashboards/draftsman.json"));
    let alerts = metrics_in(&read("observability/alerts.yml"));
    let scalers = metrics_in(&read("kubernetes/keda/worker-scaler.yaml"));
    assert!(!alerts.is_empty() && !scalers.is_empty() && named.len() > 15);
    named.extend(alerts.into_iter().chain(scalers));
    until_exposed(&loaded.metrics_addresses().await, &named).await;
}

#[tokio::test]
async fn manifests_are_what_kubernetes_takes() {
    let directory = path("kubernetes");
    let directory = directory.to_str().expect("a plain path");
    python::run_script("manifests.py", &[directory]).await;
}
