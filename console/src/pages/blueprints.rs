//! `/blueprints`: the list, and the form for a document.

use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use futures::future::try_join_all;
use maud::{Markup, html};
use proto::v1;
use proto::v1::{BlueprintSummary, Channel};

use crate::calls::{Asker, Scope};
use crate::edge::fields::{Fields, segment};
use crate::edge::guard::{Viewer, see_other};
use crate::failure::Failure;
use crate::pages::given;
use crate::view::layout::{self, Page, Place, token};
use crate::view::text::{grouped, short, visible};
use crate::view::time;

/// Rows of a page. Each takes two more calls.
const BLUEPRINTS: i32 = 30;

/// Shows the list.
pub(crate) async fn show(
    Extension(viewer): Extension<Viewer>,
    request: Request,
) -> Result<Page, Failure> {
    let query = Fields::parse(request.uri().query().unwrap_or_default().as_bytes());
    let asker = viewer.asker()?;
    let listing = v1::ListBlueprintsRequest {
        include_archived: query.get("archived").is_some(),
        page_size: BLUEPRINTS,
        page_token: query.get("page").unwrap_or_default().to_owned(),
    };
    let list = asker.list_blueprints(listing).await?;
    let rows = list
        .blueprints
        .into_iter()
        .map(|blueprint| row(&asker, blueprint));
    let rows = try_join_all(rows).await?;
    let next = Some(&list.next_page_token).filter(|next| !next.is_empty());
    let next = next.map(|next| format!("/blueprints{}", query.with("page", Some(next))));
    let first = format!("/blueprints{}", query.with("page", None));
    let main = html! {
        h1 { "Blueprints" }
        @if viewer.may(Scope::Admin) {
            details.panel #put {
                summary { "Put a document" }
                (put_form(&viewer))
            }
        }
        form.filters method="get" action="/blueprints" role="search" aria-label="Filter of Blueprints" {
            label.check {
                input type="checkbox" name="archived" value="1" checked[query.get("archived").is_some()];
                "Archived ones too"
            }
            button type="submit" { "Filter" }
        }
        @if rows.is_empty() { (layout::empty("No Blueprints yet.")) }
        @else { (table(&rows)) p.quiet { "Applied and rejected issues are those of the last " (DAYS) " days." } }
        (layout::pager(&first, query.get("page").is_none(), next))
    };
    Ok(layout::page(
        &viewer,
        Place::Blueprints,
        "Blueprints",
        None,
        &main,
    ))
}

struct Row {
    blueprint: BlueprintSummary,
    channels: Vec<Channel>,
    applied: u64,
    rejected: u64,
}

/// The days of the counts.
const DAYS: u64 = 30;

async fn row(asker: &Asker, blueprint: BlueprintSummary) -> Result<Row, Failure> {
    let request = v1::ListChannelsRequest {
        blueprint_id: blueprint.blueprint_id.clone(),
    };
    let activity = v1::GetActivityRequest {
        window_secs: DAYS * 86_400,
        bucket_secs: 86_400,
        blueprint_id: Some(blueprint.blueprint_id.clone()),
    };
    let (channels, activity) =
        tokio::try_join!(asker.list_channels(request), asker.get_activity(activity))?;
    let sum = |of: fn(&v1::ActivityBucket) -> u64| activity.buckets.iter().map(of).sum();
    Ok(Row {
        channels: channels.channels,
        applied: sum(|bucket| bucket.applied),
        rejected: sum(|bucket| bucket.denied + bucket.failed + bucket.cancelled + bucket.declined),
        blueprint,
    })
}

fn table(rows: &[Row]) -> Markup {
    html! {
        table.rows {
            thead { tr {
                th scope="col" { "Blueprint" } th scope="col" { "Head" } th.extra scope="col" { "Channels" }
                th.extra.number scope="col" { "Applied" } th.extra.number scope="col" { "Rejected" } th scope="col" { "Changed" }
            } }
            tbody {
                @for Row { blueprint, channels, applied, rejected } in rows {
                    tr {
                        td.wide {
                            a href={ "/blueprints/" (segment(&blueprint.blueprint_id)) } { (visible(&blueprint.blueprint_id)) }
                            @if blueprint.archived { span.tag { "archived" } }
                        }
                        td.fit {
                            @if !blueprint.version_label.is_empty() { (visible(&blueprint.version_label)) " " }
                            code.quiet title=(blueprint.head) { (short(&blueprint.head)) }
                        }
                        td.extra {
                            @for channel in channels {
                                @let is_behind = channel.version != blueprint.head;
                                span.tag title=(channel.version) {
                                    (channel.name)
                                    @if is_behind {
                                        ": " @if channel.version_label.is_empty() { (short(&channel.version)) }
                                        @else { (visible(&channel.version_label)) }
                                    }
                                }
                            }
                        }
                        td.fit.extra.number { (grouped(*applied)) }
                        td.fit.extra.number { (grouped(*rejected)) }
                        td.fit.quiet { (time::ago(blueprint.updated_at.as_ref())) }
                    }
                }
            }
        }
    }
}

fn put_form(viewer: &Viewer) -> Markup {
    html! {
        form.stack method="post" action="/blueprints" {
            (token(viewer))
            label for="document" { "Document, as YAML or JSON" }
            textarea.mono #document name="document" rows="14" required spellcheck="false" {}
            label for="put-rationale" { "Reason" }
            input #put-rationale name="rationale" autocomplete="off";
            p.quiet { "Intake checks the document and writes it under its own id, without an issue and without the axes." }
            div { button.primary type="submit" { "Check and write" } }
        }
    }
}

/// Writes a document.
pub(crate) async fn put(
    Extension(viewer): Extension<Viewer>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let request = v1::PutBlueprintRequest {
        document: fields.text("document"),
        expected_head: None,
        rationale: fields.trimmed("rationale"),
        format: v1::DocumentFormat::Unspecified.into(),
    };
    let written = viewer.asker()?.put_blueprint(request).await?;
    let commit = given(written.commit)?;
    let done = if written.created {
        "written"
    } else {
        "unchanged"
    };
    let id = segment(&commit.blueprint_id);
    Ok(see_other(&format!("/blueprints/{id}?done={done}")))
}
