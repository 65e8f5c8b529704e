//! Completion in shells: the candidates that intake knows, and the scripts in real shells.

use std::process::Command;

use tests::factory;
use tests::programs::{Program, run};
use tests::rig::Rig;
use tests::tools::installed;
use tokio::net::TcpListener;

/// The candidates for the last word, as bash gets them.
async fn candidates(addr: &str, words: &[&str]) -> Vec<String> {
    let last = words.len().to_string();
    let env = [
        ("DRAFTSMAN_ADDR", addr),
        ("DRAFTSMAN_COMPLETE", "bash"),
        ("_CLAP_COMPLETE_INDEX", last.as_str()),
        ("_CLAP_COMPLETE_COMP_TYPE", "9"),
        ("_CLAP_COMPLETE_SPACE", "true"),
        ("_CLAP_IFS", "\n"),
    ];
    let args: Vec<&str> = ["--", "draftsman"].iter().chain(words).copied().collect();
    let found = run(Program::Draftsman, &args, &env).await;
    assert_eq!(found.code, Some(0), "{words:?}: {found:?}");
    assert_eq!(found.stderr, "", "{words:?}");
    found.stdout.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn ids_are_completed_from_intake() {
    let rig = Rig::start().await;
    for id in ["swarm-a", "swarm-b", "old"] {
        rig.client.put(factory::small(id)).await;
    }
    let version = rig.client.history("swarm-a").await[0].version.clone();
    rig.client
        .set_channel("swarm-a", "production", &version)
        .await;
    let applied = rig.client.run("swarm-a", "tag one").await;
    let rejected = rig.client.run("swarm-a", "nobody understands this").await;
    let request = proto::v1::ArchiveBlueprintRequest {
        blueprint_id: "old".to_owned(),
    };
    rig.client
        .blueprints
        .clone()
        .archive_blueprint(request)
        .await
        .expect("ArchiveBlueprint");
    let addr = rig.address.as_str();

    assert_eq!(
        candidates(addr, &["get", "swarm"]).await,
        ["swarm-a", "swarm-b"]
    );
    assert_eq!(candidates(addr, &["submit", "swarm-b"]).await, ["swarm-b"]);
    assert_eq!(candidates(addr, &["unarchive", ""]).await[..1], ["old"]);
    assert_eq!(
        candidates(addr, &["log", "--blueprint", "swarm-a"]).await,
        ["swarm-a"]
    );
    assert_eq!(
        candidates(addr, &["promote", "swarm-a", "p"]).await,
        ["production"]
    );
    assert_eq!(
        candidates(addr, &["get", "swarm-a", "--channel", ""]).await,
        ["production"]
    );
    assert_eq!(
        candidates(addr, &["setting", "get", "d"]).await,
        ["default"]
    );
    assert_eq!(
        candidates(addr, &["setting", "use-orbit", "enhance-r"]).await,
        ["enhance-repair"]
    );
    assert_eq!(
        candidates(addr, &["revert", "swarm-a", &version[..4]]).await,
        [&version[..12]]
    );
    let ids = candidates(addr, &["watch", ""]).await;
    assert!(
        ids.contains(&applied.issue_id) && ids.contains(&rejected.issue_id),
        "{ids:?}"
    );
    let ids = candidates(addr, &["retry", &rejected.issue_id[..4]]).await;
    assert_eq!(ids, [rejected.issue_id.as_str()]);
    // The words of the line count: another address, which does not answer.
    let words = ["--addr", "127.0.0.1:1", "get", "swarm"];
    assert!(candidates(addr, &words).await.is_empty());
    // What needs no intake is completed as before.
    assert_eq!(candidates(addr, &["unarch"]).await, ["unarchive"]);
    let options = candidates(addr, &["submit", "swarm-a", "--deta"]).await;
    assert_eq!(options, ["--detach", "--detach-on-review"]);
}

#[tokio::test]
async fn an_intake_that_is_away_or_silent_yields_nothing() {
    assert!(candidates("127.0.0.1:1", &["get", "s"]).await.is_empty());
    assert!(candidates("not an address", &["get", "s"]).await.is_empty());
    // It accepts connections and never answers. Without a deadline this would not end.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = silent.local_addr().expect("an address").to_string();
    let held = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
        }
    });
    assert!(candidates(&addr, &["get", "s"]).await.is_empty());
    assert_eq!(candidates(&addr, &["unarch"]).await, ["unarchive"]);
    held.abort();
}

/// Runs a script in a shell with the program on the PATH; `None` if the shell is not installed.
async fn in_shell(rig: &Rig, shell: &str, args: &[&str], script: String) -> Option<String> {
    let program = Program::Draftsman.path();
    let dir = program.parent().expect("a directory").to_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(installed(shell)?);
    command.args(args).arg(&script);
    command
        .env("PATH", format!("{}:{path}", dir.display()))
        .env("DRAFTSMAN_ADDR", &rig.address);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("a task");
    let output = output.unwrap_or_else(|error| panic!("{shell}: {error}"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    Some(stdout)
}

#[tokio::test]
async fn the_scripts_complete_in_bash_zsh_and_fish() {
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("swarm-a")).await;
    rig.client.put(factory::small("swarm-b")).await;

    let script = "source <(draftsman completions bash); \
        COMP_WORDS=(draftsman get swa); COMP_CWORD=2; COMP_TYPE=9; \
        f=$(complete -p draftsman | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
        $f draftsman swa get; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let bash = in_shell(&rig, "bash", &["--norc", "-c"], script.to_owned()).await;
    let bash = bash.expect("bash is a part of every Debian");
    let found: Vec<&str> = bash.split_whitespace().collect();
    assert_eq!(found, ["swarm-a", "swarm-b"], "{bash}");

    let script = "draftsman completions fish | source; complete --do-complete 'draftsman get swa'";
    if let Some(fish) = in_shell(&rig, "fish", &["--no-config", "-c"], script.to_owned()).await {
        // A tab and the description follow the value.
        let values = fish.lines().filter_map(|line| line.split('\t').next());
        let found: Vec<&str> = values.collect();
        assert_eq!(found, ["swarm-a", "swarm-b"], "{fish}");
    }

    // zsh completes only in its line editor, so its function is called with a line, and what it
    // gives to the editor is printed.
    for load in [
        "source <(draftsman completions zsh)",
        "d=$(mktemp -d); draftsman completions zsh > $d/_draftsman; fpath=($d $fpath); compinit -u -D",
    ] {
        let script = format!(
            "autoload -Uz compinit && compinit -u -D; {load}; \
             _describe() {{ print -l -- ${{(@P)3}} }}; \
             words=(draftsman get swa); CURRENT=3; $_comps[draftsman]"
        );
        if let Some(zsh) = in_shell(&rig, "zsh", &["-f", "-c"], script).await {
            assert!(
                zsh.contains("swarm-a") && zsh.contains("swarm-b"),
                "{load}: {zsh}"
            );
        }
    }
}
