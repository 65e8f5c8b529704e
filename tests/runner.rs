//! All end-to-end suites as one test binary, so that they share the build of the programs and are
//! linked once. Each file below `suite/` is a module; a test checks that the list is complete.

mod suite {
    mod blueprints {
        mod archive;
        mod bundled_imports;
        mod channel_model;
        mod channels;
        mod consumers;
        mod documents;
        mod history_costs;
        mod scripts_channels;
        mod scripts_heads;
        mod scripts_pages;
        mod scripts_store;
        mod selectors;
        mod transfer;
        mod versions;
        mod watch;
        mod watch_chaos;
        mod watch_faults;
        mod yaml_readers;
    }
    #[expect(clippy::module_inception, reason = "the folder's main file")]
    mod cli {
        mod backups;
        mod cli;
        mod completion;
        mod contexts;
        mod copies;
        mod deadlines;
        mod doctor;
        mod editing;
        mod escaping;
        mod json;
        mod lists;
        mod odd_input;
        mod sync;
        mod tables;
        mod tls;
        mod top;
        mod transcript;
        mod understanding;
        mod verify;
        mod waiting;
    }
    mod console {
        mod browser;
        mod security;
    }
    mod deploy {
        mod alerts;
        mod dashboard;
        mod deployment;
        mod metrics;
        mod packages;
        mod redis_tls;
        mod start_checks;
        mod telemetry;
        mod upgrade;
    }
    mod edge {
        mod actors;
        mod actors_of_callers;
        mod authenticated_actors;
        mod bad_input;
        mod bad_input_channels;
        mod bad_input_reviews;
        mod documentation;
        mod errors;
        mod limits;
        mod python;
        mod reflected_errors;
        mod reflection_health;
        mod scopes;
        mod scopes_review;
        mod scopes_stage;
        mod security;
        mod submit_errors;
    }
    mod failures {
        mod chaos;
        mod clock;
        mod cluster;
        mod cuts;
        mod fail_points;
        mod memory;
        mod partitions;
        mod poison;
        mod redis_away;
        mod resp_proxy;
        mod reviews;
        mod rolling_restarts;
        mod scripts_redis;
        mod sentinels;
        mod shortages;
        mod shutdown;
        mod supervision;
        mod undecidable;
    }
    mod queue {
        mod activity;
        mod agent_slots;
        mod auditor;
        mod cancelling;
        mod checker;
        mod hand_over;
        mod list_costs;
        mod listing;
        mod lists;
        mod llm;
        mod llm_replies;
        mod load;
        mod main_job;
        mod model;
        mod mutants;
        mod outcomes;
        mod pausing;
        mod previews;
        mod previews_waiting;
        mod pruning;
        mod repair;
        mod replay;
        mod retrying;
        mod review_again;
        mod sandbox;
        mod scripts_actors;
        mod scripts_audit;
        mod scripts_damage;
        mod scripts_decisions;
        mod scripts_faults;
        mod scripts_hand_over;
        mod scripts_heartbeat;
        mod scripts_history;
        mod scripts_pause;
        mod scripts_poison;
        mod scripts_published;
        mod scripts_queue;
        mod scripts_repair;
        mod scripts_review;
        mod scripts_review_ends;
        mod scripts_review_moved;
        mod scripts_shards;
        mod scripts_steps;
        mod scripts_submit;
        mod scripts_waiting;
        mod shards;
        mod simulation;
        mod spawner;
        mod step_cache;
        mod steps;
        mod subprocess;
        mod watch_costs;
    }
    mod review {
        mod cli;
        mod decisions;
        mod refusals;
        mod shown;
        mod stage;
        mod stale;
    }
    #[expect(clippy::module_inception, reason = "the folder's main file")]
    mod settings {
        mod axis_options;
        mod no_verification;
        mod orbit_channels;
        mod orbit_trials;
        mod scripts_orbit_edits;
        mod scripts_orbits;
        mod scripts_settings;
        mod setting_checks;
        mod setting_choice;
        mod settings;
    }
}

#[test]
fn no_suite_file_is_forgotten() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let runner = std::fs::read_to_string(here.join("runner.rs")).expect("runner.rs");
    let mut count = 0;
    for folder in std::fs::read_dir(here.join("suite")).expect("suite/") {
        let folder = folder.expect("an entry of suite/");
        let folder_name = folder.file_name().into_string().expect("a plain name");
        let (_, rest) = runner
            .split_once(&format!("\n    mod {folder_name} {{\n"))
            .unwrap_or_else(|| panic!("suite/{folder_name} is not a module of runner.rs"));
        let (declared, _) = rest.split_once("\n    }\n").expect("the end of a module");
        for file in std::fs::read_dir(folder.path()).expect("a folder of suite/") {
            let name = file.expect("a file").file_name();
            let name = name.into_string().expect("a plain name");
            let module = name
                .strip_suffix(".rs")
                .expect("suite/ holds Rust files only");
            assert!(
                declared
                    .lines()
                    .any(|line| line.trim() == format!("mod {module};")),
                "suite/{folder_name}/{name} is not a module of runner.rs"
            );
            count += 1;
        }
    }
    assert!(count > 0, "suite/ is empty");
}
