//! Makes the packages from the programs under test, and checks what is in them.

use std::path::Path;

use serde_json::Value;
use tests::programs::{Program, workspace_dir};
use tests::tools::{checked, installed};

/// The files of `out` whose name ends with `end`; exactly one.
fn file_with(out: &Path, end: &str) -> String {
    let files = std::fs::read_dir(out).expect("the packages");
    let names = files.map(|file| file.expect("a file").path().display().to_string());
    let mut found: Vec<String> = names.filter(|name| name.ends_with(end)).collect();
    assert_eq!(found.len(), 1, "{end}: {found:?}");
    found.remove(0)
}

#[tokio::test]
async fn packages_have_the_programs_units_and_materials() {
    let needed = ["strip", "python3", "sha256sum", "systemd-analyze"];
    let tools = needed.map(installed);
    let [Some(_), Some(_), Some(sha256sum), Some(systemd_analyze)] = tools else {
        return;
    };
    let out = tempfile::tempdir().expect("a directory");
    let programs = Program::Intake.path();
    let programs = programs.parent().expect("a directory").to_str();
    let out_name = out.path().to_str().expect("a plain path");
    let build = workspace_dir().join("deploy/package/build.sh");
    // Without a time limit: a busy machine compresses test builds for minutes.
    let built = tokio::process::Command::new(build)
        .args([programs.expect("a plain path"), out_name])
        .env("CARGO_DEB_FLAGS", "--fast")
        .kill_on_drop(true)
        .output();
    let built = built.await.expect("build.sh starts");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");

    let tarball = file_with(out.path(), ".tar.gz");
    let listed = checked(Path::new("tar"), &["--list", "--file", &tarball]).await;
    for file in [
        "bin/intake",
        "bin/worker",
        "bin/draftsman",
        "man/draftsman.1",
        "completions/draftsman.zsh",
        "systemd/draftsman-intake.service",
        "systemd/draftsman-worker@.service",
        "etc/worker.env",
        "LICENSE-MIT",
        "draftsman.cdx.json",
    ] {
        assert!(
            listed.lines().any(|line| line.ends_with(file)),
            "{file} in\n{listed}"
        );
    }
    let sums = out.path().join("SHA256SUMS");
    let sums = std::fs::read_to_string(sums).expect("the checksums");
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").expect("a sum and a name");
        let path = out.path().join(name);
        let actual = checked(&sha256sum, &[path.to_str().expect("a plain path")]).await;
        assert!(actual.contains(sum), "{name}");
    }

    let materials = std::fs::read_to_string(file_with(out.path(), ".cdx.json"));
    let materials: Value = serde_json::from_str(&materials.expect("the SBOM")).expect("JSON");
    assert_eq!(materials["bomFormat"], "CycloneDX");
    let components = materials["components"].as_array().expect("components");
    let names: Vec<&str> = components
        .iter()
        .filter_map(|component| component["name"].as_str())
        .collect();
    for name in ["tokio", "tonic", "mlua", "intake", "worker", "cli"] {
        assert!(names.contains(&name), "{name}");
    }
    for of_tests in ["tests", "stateright", "proptest"] {
        assert!(!names.contains(&of_tests), "{of_tests}");
    }

    for unit in ["draftsman-intake.service", "draftsman-worker@.service"] {
        let path = workspace_dir().join("deploy/package/systemd").join(unit);
        let path = path.to_str().expect("a plain path");
        let options = ["security", "--offline=yes", "--threshold=30"];
        checked(&systemd_analyze, &[&options[..], &[path]].concat()).await;
    }

    let (Some(_), Some(dpkg_deb)) = (installed("cargo-deb"), installed("dpkg-deb")) else {
        return;
    };
    let package = file_with(out.path(), ".deb");
    let listed = checked(&dpkg_deb, &["--contents", &package]).await;
    for file in [
        "./usr/bin/draftsman",
        "./usr/lib/draftsman/intake",
        "./usr/lib/draftsman/worker",
        "systemd/system/draftsman-intake.service",
        "systemd/system/draftsman-worker@.service",
        "./etc/draftsman/draftsman.env",
        "./usr/share/man/man1/draftsman.1.gz",
    ] {
        assert!(
            listed.lines().any(|line| line.ends_with(file)),
            "{file} in\n{listed}"
        );
    }
    let secret = listed.lines().find(|line| line.ends_with("draftsman.env"));
    assert!(
        secret.is_some_and(|line| line.starts_with("-rw-------")),
        "{listed}"
    );
}
