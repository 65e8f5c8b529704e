//! The pages in a real browser: what a person does, what it looks like, and axe-core.

use tests::browser::{Browser, axe_source};
use tests::client::Client;
use tests::console::Console;
use tests::rig::Rig;
use thirtyfour::prelude::*;

const SAMPLE: &str = include_str!("../../../deploy/samples/support-swarm.yaml");

async fn stage() -> Option<(Browser, Rig, Console)> {
    let browser = Browser::start().await?;
    let rig = Rig::start().await;
    rig.client.put(SAMPLE).await;
    let console = Console::start(&rig.address, &[]).await;
    Some((browser, rig, console))
}

fn none() -> Vec<String> {
    Vec::new()
}

/// Points the channel production at the head. Returns the version.
async fn put_in_production(rig: &Rig) -> String {
    let head = rig.client.head("support-swarm").await;
    let version = head.commit.expect("a commit").version;
    rig.client
        .set_channel("support-swarm", "production", &version)
        .await;
    version
}

#[tokio::test]
async fn an_issue_is_filed_and_its_decision_appears() {
    let Some((browser, mut rig, console)) = stage().await else {
        return;
    };
    rig.workers.clear();
    browser.open(&console.url).await;
    browser.click(".who a.primary").await;
    browser.fill("#new-blueprint", "support-swarm").await;
    browser
        .fill("#new-intent", "set prompt of agent writer to Be brief.")
        .await;
    browser.click("#new form button.primary").await;
    browser.until_text("The issue was filed.").await;
    browser.until_text("Waits for a worker").await;
    rig.add_worker(&[]);
    // The page is not loaded again by the test: its event stream brings the decision.
    browser.until_text("What changed").await;
    let text = browser.text().await;
    assert!(text.contains("system_prompt: Be brief."), "{text}");
    assert_eq!(browser.problems().await, none());
    let marked = browser
        .driver
        .find_all(By::Css(".diff ins"))
        .await
        .expect("a page");
    assert!(!marked.is_empty(), "changed words are marked");
}

#[tokio::test]
async fn a_denial_shows_its_verdicts_and_can_be_retried() {
    let Some((browser, rig, console)) = stage().await else {
        return;
    };
    let issue = rig.client.run("support-swarm", "remove /agents/0").await;
    browser
        .open(&format!("{}/issues/{}", console.url, issue.issue_id))
        .await;
    let text = browser.text().await;
    assert!(
        text.contains("denied") && text.contains("agent-ref") && text.contains("deny"),
        "{text}"
    );
    let first = browser
        .find("table.verdicts tbody tr th")
        .await
        .text()
        .await
        .expect("a text");
    assert_eq!(first, "agent-ref", "denials come first");
    browser.click("form[action$='/retry'] button").await;
    browser.until_text("The issue was filed again.").await;
    browser.until_text("Retry of").await;
    assert_eq!(browser.problems().await, none());
}

#[tokio::test]
async fn a_channel_is_promoted_and_rolled_back() {
    let Some((browser, rig, console)) = stage().await else {
        return;
    };
    let first = put_in_production(&rig).await;
    let issue = rig.client.run("support-swarm", "tag blue").await;
    browser
        .open(&format!("{}/blueprints/support-swarm", console.url))
        .await;
    browser
        .click("form[action$='/promote'] button.primary")
        .await;
    browser.until_text("The channel moved.").await;
    assert_eq!(channel(&rig.client).await, issue.new_version);
    browser.click("form[action$='/rollback'] button").await;
    browser.until_text("The channel moved back.").await;
    assert_eq!(channel(&rig.client).await, first);
    assert_eq!(browser.problems().await, none());
}

async fn channel(client: &Client) -> String {
    let request = proto::v1::ListChannelsRequest {
        blueprint_id: "support-swarm".to_owned(),
    };
    let answer = client
        .blueprints
        .clone()
        .list_channels(request)
        .await
        .expect("channels");
    answer.into_inner().channels.remove(0).version
}

/// Approved with keys only: the inbox, the change, the button.
#[tokio::test]
async fn a_review_is_approved_by_keyboard_alone() {
    let Some((browser, rig, console)) = stage().await else {
        return;
    };
    in_review(&rig).await;
    browser.open(&format!("{}/reviews", console.url)).await;
    press(&browser, "j").await;
    press(&browser, Key::Enter).await;
    browser.until_text("A person has to decide").await;
    for _ in 0..60 {
        press(&browser, Key::Tab).await;
        let at = browser
            .driver
            .active_element()
            .await
            .expect("a page")
            .text()
            .await
            .expect("a text");
        if at == "Approve" {
            press(&browser, Key::Enter).await;
            break;
        }
    }
    browser.until_text("The change was approved.").await;
    browser.until_text("What changed").await;
    assert_eq!(browser.problems().await, none());
}

async fn press(browser: &Browser, keys: impl Into<TypingData>) {
    let at = browser.driver.active_element().await.expect("a page");
    at.send_keys(keys).await.expect("a key");
}

/// Files an issue whose change waits for a person. Returns its id.
async fn in_review(rig: &Rig) -> String {
    rig.write_setting(|setting| setting.verifier_axes.push("human-review".to_owned()))
        .await;
    let issue = rig
        .client
        .submit("support-swarm", "set prompt of agent triage to One word.")
        .await;
    tests::eventually::eventually("the change waits for a person", async || {
        let issue = rig.client.issue(&issue.issue_id).await;
        let waits = issue.state() == proto::v1::IssueState::InReview;
        waits.then_some(()).ok_or_else(|| format!("{issue:?}"))
    })
    .await;
    issue.issue_id
}

#[tokio::test]
async fn everything_can_be_read_and_filed_without_scripts() {
    let Some((browser, rig, console)) = stage().await else {
        return;
    };
    browser.scripts(false).await;
    browser
        .open(&format!("{}/blueprints/support-swarm", console.url))
        .await;
    browser.fill("#intent", "tag green").await;
    browser
        .click("form[action$='/preview'] button:not(.primary)")
        .await;
    browser.find(".diff .add").await;
    browser.click("form[action='/issues'] button.primary").await;
    browser.find("p.notice").await;
    let issue = rig.client.issues().await.remove(0);
    assert_eq!(issue.intent, "tag green");
}

/// Every page, light and dark, wide and narrow: nothing for axe, no error, no violation.
#[tokio::test]
async fn axe_finds_nothing_on_any_page() {
    let Some((browser, rig, console)) = stage().await else {
        return;
    };
    let axe = axe_source().await;
    let first = put_in_production(&rig).await;
    let applied = rig
        .client
        .run(
            "support-swarm",
            "set prompt of agent writer to Be brief and kind.",
        )
        .await;
    let denied = rig.client.run("support-swarm", "remove /agents/0").await;
    rig.client
        .run("support-swarm", "rename agent writer to author")
        .await;
    let waiting = in_review(&rig).await;
    tests::eventually::eventually("the figures have the decisions", async || {
        let request = proto::v1::GetActivityRequest::default();
        let answer = rig
            .client
            .log
            .clone()
            .get_activity(request)
            .await
            .expect("figures");
        let n: u64 = answer
            .get_ref()
            .buckets
            .iter()
            .map(|bucket| bucket.applied)
            .sum();
        (n == 2).then_some(()).ok_or_else(|| format!("{n}"))
    })
    .await;
    let pages = [
        ("overview", "/".to_owned()),
        ("issues", "/issues?new=1".to_owned()),
        ("issue-applied", format!("/issues/{}", applied.issue_id)),
        ("issue-denied", format!("/issues/{}", denied.issue_id)),
        ("issue-in-review", format!("/issues/{waiting}")),
        ("reviews", "/reviews".to_owned()),
        ("blueprints", "/blueprints".to_owned()),
        ("blueprint", "/blueprints/support-swarm".to_owned()),
        ("blueprint-orbit", "/blueprints/enhance-repair".to_owned()),
        (
            "blueprint-history",
            format!(
                "/blueprints/support-swarm?tab=history&from={first}&to={}",
                applied.new_version
            ),
        ),
        (
            "blueprint-document",
            "/blueprints/support-swarm?tab=document".to_owned(),
        ),
        (
            "blueprint-consumers",
            "/blueprints/support-swarm?tab=consumers".to_owned(),
        ),
        ("settings", "/settings".to_owned()),
        ("workers", "/workers".to_owned()),
        ("sign-in", "/sign-in".to_owned()),
        ("not-found", "/nothing".to_owned()),
    ];
    let mut found = Vec::new();
    for (width, is_dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
        for (name, path) in &pages {
            browser.look(width, is_dark).await;
            browser.open(&format!("{}{path}", console.url)).await;
            let place = format!("{name}-{width}-{}", if is_dark { "dark" } else { "light" });
            if let Some(axe) = &axe {
                let findings = browser.axe(axe).await;
                found.extend(
                    findings
                        .into_iter()
                        .map(|finding| format!("{place}: {finding}")),
                );
            }
            let wide = browser
                .driver
                .execute(
                    "return document.documentElement.scrollWidth - innerWidth",
                    Vec::new(),
                )
                .await;
            let wide: i64 = wide.expect("the page answers").convert().expect("a number");
            if wide > 0 {
                found.push(format!("{place}: {wide} pixels wider than the window"));
            }
            found.extend(
                browser
                    .problems()
                    .await
                    .into_iter()
                    .map(|problem| format!("{place}: {problem}")),
            );
            browser.screenshot(&place).await;
        }
    }
    assert_eq!(found, none(), "{}", found.join("\n"));
}
