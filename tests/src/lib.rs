//! The test rig: runs real `redis-server`, `intake` and `worker` processes for each test. It has
//! clients for them, and a checker of the rules that hold after every run.
//!
//! The suites are in `suite/` (one test binary, `runner.rs`), the load generator is in `benches/`.

pub mod blueprint_watcher;
pub mod browser;
pub mod certificates;
pub mod chaos;
pub mod checker;
pub mod client;
pub mod console;
pub mod events;
pub mod eventually;
pub mod factory;
pub mod failover;
pub mod judgement;
pub mod loaded_rig;
pub mod model;
pub mod model_double;
pub mod model_stage;
pub mod mutants;
pub mod probes;
pub mod programs;
pub mod prometheus;
pub mod prompt;
pub mod python;
pub mod raw_script;
pub mod redis_cluster;
pub mod redis_sentinels;
pub mod redis_server;
pub mod resp_proxy;
pub mod rig;
pub mod rng;
pub mod screen;
pub mod simulation;
pub mod store_audit;
pub mod store_fixture;
pub mod store_orbits;
pub mod terminal;
pub mod tools;
pub mod transfers;
pub mod yaml_texts;

mod model_shapes;
