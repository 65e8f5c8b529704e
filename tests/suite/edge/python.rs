//! Clients in Python: one generated from `proto/`, one that finds the services by reflection.

use tests::programs::workspace_dir;
use tests::python;
use tests::rig::Rig;

/// Runs `tests/python/<script>` against the rig's intake, with `args` after its address.
async fn run_script(rig: &Rig, script: &str, args: &[&str]) {
    let all: Vec<&str> = [rig.address.as_str()]
        .into_iter()
        .chain(args.iter().copied())
        .collect();
    python::run_script(script, &all).await;
}

#[tokio::test]
async fn a_generated_client_submits_and_watches() {
    let rig = Rig::start().await;
    let proto = workspace_dir().join("proto");
    run_script(
        &rig,
        "generated_client.py",
        &[proto.to_str().expect("a plain path")],
    )
    .await;
}

#[tokio::test]
async fn a_client_finds_the_services_by_reflection_alone() {
    let rig = Rig::start().await;
    run_script(&rig, "reflection_client.py", &[]).await;
}
