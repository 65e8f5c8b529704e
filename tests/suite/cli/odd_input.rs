//! Arguments that no person types, and scripts do.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use tests::factory;
use tests::programs::{Program, command, run};
use tests::rig::Rig;

/// The exit status of invalid arguments.
const USAGE: i32 = 64;

#[tokio::test]
async fn an_empty_id_names_no_issue_although_there_is_only_one() {
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("support-swarm")).await;
    let addr = format!("http://{}", rig.address);
    let env = [("DRAFTSMAN_ADDR", addr.as_str())];
    let draftsman = async |args: &[&str]| run(Program::Draftsman, args, &env).await;
    let submitted = draftsman(&["submit", "support-swarm", "tag one", "--detach"]).await;
    assert_eq!(submitted.code, Some(0), "{submitted:?}");
    for verb in ["cancel", "watch", "retry", "issues", "log"] {
        let refused = draftsman(&[verb, ""]).await;
        assert_eq!(refused.code, Some(1), "{verb}: {refused:?}");
        assert!(
            refused.stderr.contains("issue_id"),
            "{verb}: {}",
            refused.stderr
        );
    }
    let listed = draftsman(&["issues", "--state", "pending"]).await;
    assert_eq!(listed.stdout.lines().count(), 1, "{listed:?}");
}

#[test]
fn a_path_may_have_bytes_that_json_does_not_have() {
    let place = tempfile::tempdir().expect("a directory");
    let mut certs = command(Program::Draftsman, &["--output", "json", "certs"], &[]);
    let dir = place.path().join(OsStr::from_bytes(b"tls\xff"));
    let ended = certs.arg(&dir).output().expect("the program runs");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let printed: serde_json::Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    let first = printed["written"][0].as_str().expect("a path");
    assert!(first.ends_with("tls\u{fffd}/ca.pem"), "{first}");
    assert!(dir.join("ca.pem").exists());
}

#[test]
fn invalid_arguments_are_named_without_a_panic() {
    let late = [OsStr::new("--timeout"), OsStr::new("99999999999d")];
    for (more, problem) in [
        (&[OsStr::from_bytes(b"swarm\xff")][..], "UTF-8"),
        (&late[..], "too long"),
    ] {
        let mut get = command(Program::Draftsman, &["get"], &[]);
        let ended = get.args(more).output().expect("the program runs");
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(USAGE), "{more:?}: {stderr}");
        assert!(stderr.contains(problem), "{more:?}: {stderr}");
    }
}
