//! The cost for Redis of a page of Blueprints: one call, however many are archived.

use shared::store::PageRequest;
use tests::store_fixture::Fixture;

/// The number of scripts that Redis has run.
async fn scripts_run(fixture: &Fixture) -> u64 {
    let stats: String = fixture.raw(&["INFO", "commandstats"]).await;
    let calls = |name: &str| {
        let after = stats.split_once(&format!("cmdstat_{name}:calls="));
        let digits = after.and_then(|(_, after)| after.split(',').next());
        digits.map_or(0, |digits| digits.parse::<u64>().expect("a number"))
    };
    calls("evalsha") + calls("eval")
}

/// The number of commands from the network, without this one.
async fn commands(fixture: &Fixture) -> u64 {
    let stats: String = fixture.raw(&["INFO", "stats"]).await;
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("total_commands_processed:"));
    line.and_then(|n| n.trim().parse().ok()).expect("a number")
}

/// Adds heads as [`Fixture::put`] stores them, without the time for thousands of documents.
async fn add_heads(fixture: &Fixture, names: &[String], archived: bool) {
    let keys = fixture.store.keys();
    let mut pipeline = redis::pipe();
    for name in names {
        let key = format!("{}{name}", keys.blueprint_prefix());
        let mut fields = vec!["seq", "1", "label", "1.0.0", "updated_at", "1"];
        let version = "a".repeat(64);
        fields.extend(["version", version.as_str()]);
        if archived {
            fields.extend(["archived", "1"]);
        }
        pipeline.cmd("HSET").arg(&key).arg(&fields).ignore();
        pipeline
            .cmd("ZADD")
            .arg(keys.blueprints())
            .arg(0)
            .arg(name)
            .ignore();
    }
    let written: Result<(), _> = fixture
        .store
        .handle()
        .pipeline("add heads", &pipeline)
        .await;
    written.expect("the store answers");
}

#[tokio::test]
async fn a_page_is_one_call() {
    let fixture = Fixture::start().await;
    let names: Vec<String> = (0..300).map(|n| format!("bp-{n:04}")).collect();
    add_heads(&fixture, &names, false).await;
    let page = PageRequest {
        size: 250,
        after: None,
    };
    // Loads the script.
    fixture
        .store
        .list_blueprints(false, &page)
        .await
        .expect("a page");
    let (run, before) = (scripts_run(&fixture).await, commands(&fixture).await);
    let first = fixture
        .store
        .list_blueprints(false, &page)
        .await
        .expect("a page");
    let after = commands(&fixture).await;
    assert_eq!(scripts_run(&fixture).await - run, 1);
    // The commands within the script count as well: one for the names, one for each head. Both INFO
    // calls are counted once.
    assert!(after - before <= 250 + 3, "{}", after - before);
    let listed: Vec<String> = first
        .items
        .iter()
        .map(|b| b.blueprint_id.to_string())
        .collect();
    assert_eq!(listed, names[..250]);
    let page = PageRequest {
        after: first.next,
        ..page
    };
    let rest = fixture
        .store
        .list_blueprints(false, &page)
        .await
        .expect("a page");
    assert_eq!((rest.items.len(), rest.next), (50, None));
}

#[tokio::test]
async fn what_is_archived_is_passed_over_in_bounded_steps() {
    let fixture = Fixture::start().await;
    let archived: Vec<String> = (0..2_500).map(|n| format!("old-{n:04}")).collect();
    add_heads(&fixture, &archived, true).await;
    add_heads(&fixture, &["a".to_owned(), "z".to_owned()], false).await;
    let (mut listed, mut after, mut n_pages) = (Vec::new(), None, 0);
    loop {
        let before = commands(&fixture).await;
        let page = PageRequest { size: 1_000, after };
        let page = fixture
            .store
            .list_blueprints(false, &page)
            .await
            .expect("a page");
        let cost = commands(&fixture).await - before;
        assert!(cost < 1_100, "a page of {cost} commands");
        n_pages += 1;
        listed.extend(page.items.into_iter().map(|b| b.blueprint_id.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, ["a", "z"]);
    assert_eq!(n_pages, 3);
    let all = PageRequest {
        size: 1_000,
        after: Some("old-2400".to_owned()),
    };
    let page = fixture
        .store
        .list_blueprints(true, &all)
        .await
        .expect("a page");
    assert_eq!(page.items.len(), 100);
}
