//! All end-to-end suites, as one test binary: they share the build of the programs and are
//! linked once. Each file of `suite/` is a module; a test below holds the list complete.

mod suite {
    mod agent_places;
    mod archive;
    mod auditor;
    mod axis_options;
    mod bad_input;
    mod cancelling;
    mod chaos;
    mod checker;
    mod cli;
    mod clock;
    mod cluster;
    mod cuts;
    mod deployment;
    mod doctor;
    mod documentation;
    mod documents;
    mod errors;
    mod fail_points;
    mod failures;
    mod gate;
    mod hand_over;
    mod history_costs;
    mod limits;
    mod list_costs;
    mod listing;
    mod lists;
    mod llm;
    mod llm_replies;
    mod load;
    mod main_job;
    mod memory;
    mod model;
    mod mutants;
    mod orbit_trials;
    mod outcomes;
    mod partitions;
    mod pausing;
    mod poison;
    mod previews;
    mod pruning;
    mod python;
    mod redis_away;
    mod redis_tls;
    mod reflected_errors;
    mod reflection_health;
    mod repair;
    mod resp_proxy;
    mod retrying;
    mod rolling_restarts;
    mod sandbox;
    mod scopes;
    mod scripts_audit;
    mod scripts_damage;
    mod scripts_decisions;
    mod scripts_faults;
    mod scripts_hand_over;
    mod scripts_history;
    mod scripts_orbits;
    mod scripts_pause;
    mod scripts_poison;
    mod scripts_published;
    mod scripts_queue;
    mod scripts_redis;
    mod scripts_repair;
    mod scripts_settings;
    mod scripts_shards;
    mod scripts_steps;
    mod scripts_store;
    mod security;
    mod selectors;
    mod sentinels;
    mod setting_checks;
    mod setting_choice;
    mod settings;
    mod shards;
    mod shortages;
    mod shutdown;
    mod simulation;
    mod spawner;
    mod start_checks;
    mod step_memory;
    mod steps;
    mod submit_errors;
    mod subprocess;
    mod supervision;
    mod telemetry;
    mod transfer;
    mod upgrade;
    mod verify;
    mod versions;
    mod watch_costs;
    mod yaml_readers;
}

#[test]
fn no_suite_file_is_forgotten() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let runner = std::fs::read_to_string(here.join("runner.rs")).expect("runner.rs");
    let files = std::fs::read_dir(here.join("suite")).expect("suite/");
    let mut count = 0;
    for file in files {
        let name = file
            .expect("an entry of suite/")
            .file_name()
            .into_string()
            .expect("a plain name");
        let module = name
            .strip_suffix(".rs")
            .expect("suite/ holds Rust files only");
        let line = format!("\n    mod {module};\n");
        assert!(
            runner.contains(&line),
            "suite/{name} is not a module of runner.rs"
        );
        count += 1;
    }
    assert!(count > 0, "suite/ is empty");
}
