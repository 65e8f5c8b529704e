//! `draftsman context`: named intakes, and which of several addresses and tokens counts.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tests::programs::{Finished, Process, Program, run};
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;

const TOKEN: &str = "context-token-0123456789";

/// A home of its own, with variables for each call.
struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { dir }
    }

    fn path(&self, name: &str) -> String {
        let path = self.dir.path().join(name);
        path.to_str().expect("a plain path").to_owned()
    }

    async fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Finished {
        let config = self.path("config");
        let mut all = vec![("XDG_CONFIG_HOME", config.as_str())];
        all.extend_from_slice(env);
        run(Program::Draftsman, args, &all).await
    }

    /// As [`Home::run`], for a call that succeeds.
    async fn done(&self, args: &[&str]) -> Finished {
        let finished = self.run(args, &[]).await;
        assert_eq!(finished.code, Some(0), "{args:?}: {finished:?}");
        finished
    }
}

#[tokio::test]
async fn contexts_are_added_used_listed_and_removed() {
    let home = Home::new();
    let none = home.done(&["context", "list"]).await;
    assert!(none.stderr.contains("no contexts"), "{none:?}");
    let tls = [
        "--ca",
        "ca.pem",
        "--client-cert",
        "c.pem",
        "--client-key",
        "k.pem",
    ];
    let add = [
        "context",
        "add",
        "prod",
        "--addr",
        "intake.example:7",
        "--token-env",
        "PROD_TOKEN",
    ];
    home.done(&[&add[..], &tls].concat()).await;
    home.done(&["context", "add", "here", "--addr", "localhost:7", "--use"])
        .await;
    let file = home.path("config/draftsman/contexts.yaml");
    let mode = std::fs::metadata(&file)
        .expect("the file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let again = home
        .run(&["context", "add", "here", "--addr", "localhost:8"], &[])
        .await;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("--replace"), "{again:?}");
    home.done(&[
        "context",
        "add",
        "here",
        "--addr",
        "localhost:8",
        "--replace",
    ])
    .await;

    let listed = home.done(&["context", "list", "--output", "json"]).await;
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let [here, prod] = listed["contexts"].as_array().expect("a list").as_slice() else {
        panic!("{listed}")
    };
    assert_eq!(
        (&here["addr"], &here["current"]),
        (&"localhost:8".into(), &true.into())
    );
    assert_eq!(prod["token_env"], "PROD_TOKEN");
    let ca = prod["ca"].as_str().expect("a path");
    assert!(ca.starts_with('/') && ca.ends_with("/ca.pem"), "{ca}");
    let text = home.done(&["context", "list"]).await;
    assert!(text.stdout.contains("variable PROD_TOKEN"), "{text:?}");

    home.done(&["context", "remove", "here"]).await;
    let unknown = home.run(&["context", "use", "here"], &[]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.stderr.contains("contexts are prod"), "{unknown:?}");
    home.done(&["context", "use", "prod"]).await;
    home.done(&["context", "use", "--none"]).await;
    for (wrong, word) in [
        (&["context", "add", "x"][..], "--addr"),
        (&["context", "add", "a b", "--addr", "x"], "letters"),
        (
            &["context", "add", "x", "--addr", "x", "--token", TOKEN],
            "never stored",
        ),
        (&["stats", "--addr", "x", "--context", "prod"], "exclude"),
    ] {
        let refused = home.run(wrong, &[]).await;
        assert_eq!(refused.code, Some(64), "{refused:?}");
        assert!(refused.stderr.contains(word), "{refused:?}");
    }
    // The address of the environment may be that of another intake.
    let from_env = home
        .run(&["context", "add", "x"], &[("DRAFTSMAN_ADDR", "x:1")])
        .await;
    assert_eq!(from_env.code, Some(64), "{from_env:?}");
}

#[tokio::test]
async fn the_command_line_counts_more_than_the_environment_and_that_more_than_the_context() {
    let (context, variable) = (Rig::without_worker().await, Rig::without_worker().await);
    context
        .client
        .put("id: in-context\nflow: {}\nagents: []\n")
        .await;
    variable
        .client
        .put("id: in-variable\nflow: {}\nagents: []\n")
        .await;
    let home = Home::new();
    home.done(&["context", "add", "first", "--addr", &context.address])
        .await;
    home.done(&["context", "add", "away", "--addr", "127.0.0.1:1"])
        .await;

    let has = async |args: &[&str], env: &[(&str, &str)]| {
        let found = home.run(&[&["get"], args].concat(), env).await;
        assert_eq!(found.code, Some(0), "{found:?}");
        (
            found.stdout.contains("in-context"),
            found.stdout.contains("in-variable"),
        )
    };
    let env = ("DRAFTSMAN_ADDR", variable.address.as_str());
    // Without a scheme: plain text to this machine.
    assert_eq!(has(&["--context", "first"], &[]).await, (true, false));
    assert_eq!(
        has(&[], &[("DRAFTSMAN_CONTEXT", "first")]).await,
        (true, false)
    );
    home.done(&["context", "use", "first"]).await;
    assert_eq!(has(&[], &[]).await, (true, false));
    assert_eq!(has(&[], &[env]).await, (false, true));
    assert_eq!(
        has(&["--addr", &variable.address], &[]).await,
        (false, true)
    );
    assert_eq!(
        has(&["--addr", &context.address], &[env]).await,
        (true, false)
    );
    // The name is on the command line, so it counts more than the variable.
    assert_eq!(has(&["--context", "first"], &[env]).await, (true, false));
    assert_eq!(
        has(&[], &[env, ("DRAFTSMAN_CONTEXT", "away")]).await,
        (false, true)
    );
    let away = home.run(&["get"], &[("DRAFTSMAN_CONTEXT", "away")]).await;
    assert_eq!(away.code, Some(1), "{away:?}");

    // A file that is damaged is not passed over, and not needed by a call with an address.
    let file = home.path("config/draftsman/contexts.yaml");
    std::fs::write(&file, "current: [").expect("the file");
    let damaged = home.run(&["get"], &[]).await;
    assert_eq!(damaged.code, Some(1), "{damaged:?}");
    assert!(damaged.stderr.contains("contexts.yaml"), "{damaged:?}");
    assert_eq!(has(&[], &[env]).await, (false, true));
}

#[tokio::test]
async fn a_token_is_read_where_the_context_says_and_goes_to_its_intake_alone() {
    let home = Home::new();
    let tokens = home.path("tokens");
    std::fs::write(&tokens, format!("read Carol {TOKEN}\n")).expect("the file of tokens");
    let redis = RedisServer::start(Aof::None);
    let mut intake = Process::intake(&redis.url(), &[("DRAFTSMAN_TOKENS_FILE", &tokens)]);
    let address = intake.address().await;
    let file = home.path("token");
    std::fs::write(&file, format!("{TOKEN}\n")).expect("the file of the token");
    let add = [
        "context",
        "add",
        "by-file",
        "--addr",
        &address,
        "--token-file",
        &file,
        "--use",
    ];
    home.done(&add).await;
    home.done(&[
        "context",
        "add",
        "by-env",
        "--addr",
        &address,
        "--token-env",
        "MINE",
    ])
    .await;
    let stored = std::fs::read_to_string(home.path("config/draftsman/contexts.yaml"));
    assert!(!stored.expect("the file").contains(TOKEN));

    home.done(&["stats"]).await;
    let by_env = home
        .run(&["stats", "--context", "by-env"], &[("MINE", TOKEN)])
        .await;
    assert_eq!(by_env.code, Some(0), "{by_env:?}");
    let missing = home.run(&["stats", "--context", "by-env"], &[]).await;
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.stderr.contains("set MINE"), "{missing:?}");
    // A token of the environment counts more than that of the current context, and less than that
    // of one on the command line.
    let wrong = ("DRAFTSMAN_TOKEN", "another-token-0123456789");
    let refused = home.run(&["stats"], &[wrong]).await;
    assert!(refused.stderr.contains("UNAUTHENTICATED"), "{refused:?}");
    let named = home.run(&["stats", "--context", "by-file"], &[wrong]).await;
    assert_eq!(named.code, Some(0), "{named:?}");
    // With another address the context is not used: its token is not sent there.
    let elsewhere = home.run(&["stats", "--addr", &address], &[]).await;
    assert!(
        elsewhere.stderr.contains("UNAUTHENTICATED"),
        "{elsewhere:?}"
    );
    let elsewhere = home.run(&["stats"], &[("DRAFTSMAN_ADDR", &address)]).await;
    assert!(
        elsewhere.stderr.contains("UNAUTHENTICATED"),
        "{elsewhere:?}"
    );
    std::fs::remove_file(&file).expect("the file of the token");
    let gone = home.run(&["stats"], &[]).await;
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(
        gone.stderr.contains("by-file") && gone.stderr.contains(&file),
        "{gone:?}"
    );
}
