//! `/blueprints/{id}`: what runs, since when, who is behind, what was it before.

use axum::Extension;
use axum::extract::{Path, Request};
use maud::{Markup, html};
use proto::v1;
use proto::v1::{Channel, Commit, GetBlueprintResponse};
use serde_json::Value;

use crate::calls::{Asker, Scope};
use crate::edge::fields::{Fields, segment};
use crate::edge::guard::Viewer;
use crate::failure::Failure;
use crate::pages::blueprint_parts as parts;
use crate::pages::{ROWS, fixed, given};
use crate::view::layout::{self, Page, Place, action, token};
use crate::view::text::{short, visible};
use crate::view::{diff, document, graph, time};

/// The tabs: the name in the URL, and the label.
const TABS: [(&str, &str); 4] = [
    ("flow", "Flow"),
    ("history", "History"),
    ("document", "Document"),
    ("consumers", "Consumers"),
];

/// What every tab shows.
pub(crate) struct Subject {
    /// The id.
    pub(crate) id: String,
    /// The path of the page.
    pub(crate) path: String,
    /// The commit of the head.
    pub(crate) head: Commit,
    /// True if it is archived.
    pub(crate) is_archived: bool,
    /// The channels by name.
    pub(crate) channels: Vec<Channel>,
}

/// Shows the page.
pub(crate) async fn show(
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Page, Failure> {
    let query = Fields::parse(request.uri().query().unwrap_or_default().as_bytes());
    let asker = viewer.asker()?;
    let tab = query.get("tab").unwrap_or(TABS[0].0);
    let subject = subject(&asker, &id).await?;
    let content = match tab {
        "flow" => flow(&viewer, &asker, &subject).await?,
        "history" => history(&viewer, &asker, &subject, &query).await?,
        "document" => whole(&asker, &subject, &query).await?,
        "consumers" => consumers(&asker, &subject, &query).await?,
        _ => return Err(Failure::NotFound(format!("The tab {tab} does not exist."))),
    };
    let main = html! {
        (layout::notice(query.get("done")))
        (heading(&viewer, &subject))
        nav.tabs aria-label="Parts of the Blueprint" {
            @for (name, label) in TABS {
                @let to = if name == TABS[0].0 { subject.path.clone() } else { format!("{}?tab={name}", subject.path) };
                a href=(to) aria-current=[(name == tab).then_some("page")] { (label) }
            }
        }
        (content)
    };
    Ok(layout::page(
        &viewer,
        Place::Blueprints,
        &visible(&id),
        None,
        &main,
    ))
}

/// Reads what every tab shows. The list of one item says whether it is archived.
pub(crate) async fn subject(asker: &Asker, id: &str) -> Result<Subject, Failure> {
    let commits = v1::ListCommitsRequest {
        blueprint_id: id.to_owned(),
        page_size: 1,
        ..Default::default()
    };
    let channels = v1::ListChannelsRequest {
        blueprint_id: id.to_owned(),
    };
    let (commits, channels, is_archived) = tokio::try_join!(
        asker.list_commits(commits),
        asker.list_channels(channels),
        asker.is_archived(id),
    )?;
    Ok(Subject {
        id: id.to_owned(),
        path: format!("/blueprints/{}", segment(id)),
        head: given(commits.commits.into_iter().next())?,
        is_archived,
        channels: channels.channels,
    })
}

fn heading(viewer: &Viewer, subject: &Subject) -> Markup {
    let head = &subject.head;
    html! {
        div.headline {
            h1 { (visible(&subject.id)) @if subject.is_archived { span.tag { "archived" } } }
            @if viewer.may(Scope::Admin) {
                @if subject.is_archived { (action(viewer, &format!("{}/unarchive", subject.path), "Unarchive", "plain")) }
                @else {
                    details.confirm {
                        summary.button { "Archive" }
                        div.sheet {
                            p { "It is kept and hidden, and cannot be changed. Issues that wait for it fail." }
                            (action(viewer, &format!("{}/archive", subject.path), "Archive it", "danger"))
                        }
                    }
                }
            }
        }
        p.sub {
            @if !head.version_label.is_empty() { b { (visible(&head.version_label)) } " " }
            code title=(head.version) { (short(&head.version)) }
            " since " (time::ago(head.committed_at.as_ref()))
            @if !head.author.is_empty() { " by " (visible(&head.author)) }
            @if !head.issue_id.is_empty() { " · " a href={ "/issues/" (segment(&head.issue_id)) } { "the issue" } }
        }
    }
}

async fn document_of(
    asker: &Asker,
    subject: &Subject,
    version: Option<&str>,
) -> Result<GetBlueprintResponse, Failure> {
    let request = v1::GetBlueprintRequest {
        blueprint_id: subject.id.clone(),
        selector: version.map(fixed),
    };
    asker.get_blueprint(request).await
}

/// The graph and the agents; beside them the channels, and an issue to try.
async fn flow(viewer: &Viewer, asker: &Asker, subject: &Subject) -> Result<Markup, Failure> {
    let found = document_of(asker, subject, None).await?;
    let document: Value = serde_json::from_str(&found.document_json).unwrap_or_default();
    let description = document["metadata"]["description"]
        .as_str()
        .unwrap_or_default();
    Ok(html! {
        div.columns {
            div.main {
                @if !description.is_empty() { p.prose { (visible(description)) } }
                section { h2 { "Flow" } (graph::flow(&document)) }
                section { h2 { "Agents" } (parts::agents(&document)) }
            }
            aside {
                (parts::channels(viewer, subject))
                @if !subject.is_archived && viewer.may(Scope::Submit) { (parts::try_form(viewer, subject, "")) }
            }
        }
    })
}

/// The commits, the difference of two of them, and the moves of channels.
async fn history(
    viewer: &Viewer,
    asker: &Asker,
    subject: &Subject,
    query: &Fields,
) -> Result<Markup, Failure> {
    let commits = v1::ListCommitsRequest {
        blueprint_id: subject.id.clone(),
        page_size: ROWS,
        page_token: query.get("page").unwrap_or_default().to_owned(),
        ..Default::default()
    };
    let moves = v1::ListChannelMovesRequest {
        blueprint_id: subject.id.clone(),
        page_size: 20,
        ..Default::default()
    };
    let (list, moves) =
        tokio::try_join!(asker.list_commits(commits), asker.list_channel_moves(moves),)?;
    let (from, to) = (query.get("from"), query.get("to"));
    let compared = match (from, to) {
        (Some(from), Some(to)) => {
            let (old, new) = tokio::try_join!(
                document_of(asker, subject, Some(from)),
                document_of(asker, subject, Some(to)),
            )?;
            Some((
                from,
                to,
                diff::of_texts(&old.document_yaml, &new.document_yaml),
            ))
        }
        _ => None,
    };
    let next = Some(&list.next_page_token).filter(|next| !next.is_empty());
    let next = next.map(|next| format!("{}{}", subject.path, query.with("page", Some(next))));
    let first = format!("{}?tab=history", subject.path);
    Ok(html! {
        @if let Some((from, to, diff)) = &compared {
            section #compared {
                h2 { "From " code { (visible(short(from))) } " to " code { (visible(short(to))) } }
                (diff)
            }
        }
        section {
            h2 { "Commits" }
            (parts::commits(viewer, subject, &list.commits, from, to))
            (layout::pager(&first, query.get("page").is_none(), next))
        }
        @if !moves.moves.is_empty() {
            section { h2 { "Moves of channels" } (parts::moves(&moves.moves)) }
        }
    })
}

async fn whole(asker: &Asker, subject: &Subject, query: &Fields) -> Result<Markup, Failure> {
    let version = query.get("version");
    let found = document_of(asker, subject, version).await?;
    let commit = given(found.commit)?;
    Ok(html! {
        section {
            h2 {
                "Document " code title=(commit.version) { (short(&commit.version)) }
                @if commit.version == subject.head.version { span.tag { "head" } }
            }
            (document::yaml(&found.document_yaml))
        }
    })
}

async fn consumers(asker: &Asker, subject: &Subject, query: &Fields) -> Result<Markup, Failure> {
    let request = v1::ListConsumersRequest {
        blueprint_id: Some(subject.id.clone()),
        page_size: ROWS,
        page_token: query.get("page").unwrap_or_default().to_owned(),
    };
    let list = asker.list_consumers(request).await?;
    let next = Some(&list.next_page_token).filter(|next| !next.is_empty());
    let next = next.map(|next| format!("{}{}", subject.path, query.with("page", Some(next))));
    let first = format!("{}?tab=consumers", subject.path);
    Ok(html! {
        section {
            h2.sr { "Consumers" }
            (parts::consumers(&list.consumers))
            (layout::pager(&first, query.get("page").is_none(), next))
        }
    })
}

/// Shows what an issue would change, and offers to file it.
pub(crate) fn previewed(
    viewer: &Viewer,
    subject: &Subject,
    intent: &str,
    answer: &v1::PreviewIssueResponse,
) -> Page {
    let main = html! {
        (heading(viewer, subject))
        section {
            h2 { "Preview" }
            p.now {
                @if answer.needs_review { (crate::view::issue_state::mark("would wait for a review", "review")) }
                @else if answer.would_apply { (crate::view::issue_state::mark("would be applied", "applied")) }
                @else { (crate::view::issue_state::mark("would be rejected", "denied")) }
            }
            pre.prose.asked { (visible(intent)) }
            @if !answer.reasons.is_empty() { ul.reasons { @for reason in &answer.reasons { li.prose { (visible(reason)) } } } }
            @if answer.would_apply {
                form method="post" action="/issues" {
                    (token(viewer))
                    input type="hidden" name="blueprint" value=(subject.id);
                    input type="hidden" name="intent" value=(intent);
                    button.primary type="submit" { "File this issue" }
                }
            }
        }
        @if !answer.unified_diff.is_empty() { section { h2 { "What would change" } (diff::of_unified(&answer.unified_diff)) } }
        @if !answer.verdicts.is_empty() { section { h2 { "Verdicts" } (crate::view::verdicts::table(&answer.verdicts)) } }
        @if !answer.rationale.is_empty() { section { h2 { "Rationale" } p.prose { (visible(&answer.rationale)) } } }
        section { (parts::try_form(viewer, subject, intent)) }
    };
    layout::page(viewer, Place::Blueprints, "Preview", None, &main)
}
