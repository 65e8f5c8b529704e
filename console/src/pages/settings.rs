//! `/settings`: what judges the issues of which Blueprints, and how long a run may take.

use axum::Extension;
use axum::extract::{Path, Request};
use axum::response::Response;
use maud::{Markup, html};
use proto::v1;
use proto::v1::EnhanceSetting;
use proto::v1::version_selector::Selector;

use crate::calls::Scope;
use crate::edge::fields::{Fields, segment};
use crate::edge::guard::{Viewer, see_other};
use crate::failure::Failure;
use crate::pages::{ROWS, given};
use crate::view::layout::{self, Page, Place, token};
use crate::view::text::visible;
use crate::view::{diff, json_struct, time};

/// Shows the settings.
pub(crate) async fn show(
    Extension(viewer): Extension<Viewer>,
    request: Request,
) -> Result<Page, Failure> {
    let query = Fields::parse(request.uri().query().unwrap_or_default().as_bytes());
    let request = v1::ListSettingsRequest {
        page_size: ROWS,
        page_token: query.get("page").unwrap_or_default().to_owned(),
    };
    let list = viewer.asker()?.list_settings(request).await?;
    let next = Some(&list.next_page_token).filter(|next| !next.is_empty());
    let next = next.map(|next| format!("/settings{}", query.with("page", Some(next))));
    let main = html! {
        h1 { "Settings" }
        (layout::notice(query.get("done")))
        @for setting in &list.settings { (card(&viewer, setting)) }
        (layout::pager("/settings", query.get("page").is_none(), next))
    };
    Ok(layout::page(
        &viewer,
        Place::Settings,
        "Settings",
        None,
        &main,
    ))
}

fn card(viewer: &Viewer, setting: &EnhanceSetting) -> Markup {
    html! {
        section.setting {
            div.headline {
                h2 { (visible(&setting.id)) }
                p.quiet {
                    "revision " (setting.revision)
                    @if let Some(at) = &setting.updated_at { ", " (time::ago(Some(at))) }
                    @if !setting.updated_by.is_empty() { " by " (visible(&setting.updated_by)) }
                }
            }
            @if setting.no_verification { p.warning { "Nothing is verified: every proposal of the spawner is committed." } }
            dl.facts.across {
                dt { "Orbit" }
                dd { a href={ "/blueprints/" (segment(&setting.blueprint_id)) } { (visible(&setting.blueprint_id)) } ", " (selector(setting)) }
                dt { "Applies to" }
                dd {
                    @if setting.applies_to.is_empty() { "the workers that name it" }
                    @for pattern in &setting.applies_to { code.tag { (visible(pattern)) } }
                }
                dt { "Time limit" } dd { (time::duration(setting.ttl_secs.saturating_mul(1_000))) }
                dt { "Spawner" } dd { @if setting.spawner.is_some() { "its own" } @else { "the orbit's" } }
            }
            h3 { "Axes" }
            ol.axes {
                @for axis in &setting.verifier_axes {
                    @let options = setting.axis_options.as_ref().and_then(|all| all.fields.get(axis));
                    li {
                        code { (visible(axis)) }
                        @if let Some(prost_types::value::Kind::StructValue(options)) = options.and_then(|o| o.kind.as_ref()) {
                            details { summary { "options" } pre.prose { (visible(&json_struct::to_text(options))) } }
                        }
                    }
                }
            }
            @if viewer.may(Scope::Admin) {
                details.panel { summary { "Edit" } (edit_form(viewer, setting)) }
            }
        }
    }
}

fn selector(setting: &EnhanceSetting) -> Markup {
    let chosen = setting
        .selector
        .as_ref()
        .and_then(|chosen| chosen.selector.as_ref());
    html! {
        @match chosen {
            Some(Selector::Fixed(version)) => { "version " code title=(version) { (visible(crate::view::text::short(version))) } }
            Some(Selector::SemverReq(requirement)) => { "label " code { (visible(requirement)) } }
            Some(Selector::Channel(channel)) => { "channel " (visible(channel)) }
            _ => { "its head" }
        }
    }
}

fn edit_form(viewer: &Viewer, setting: &EnhanceSetting) -> Markup {
    let id = &setting.id;
    let name = |field: &str| format!("{field}-{id}");
    let json = |given: &Option<prost_types::Struct>| {
        given.as_ref().map(json_struct::to_text).unwrap_or_default()
    };
    html! {
        form.stack method="post" action={ "/settings/" (segment(id)) "/check" } {
            (token(viewer))
            input type="hidden" name="revision" value=(setting.revision);
            label for=(name("axes")) { "Axes, one a line, in their order" }
            textarea.mono id=(name("axes")) name="axes" rows=(setting.verifier_axes.len().max(3) + 1) spellcheck="false" { (setting.verifier_axes.join("\n")) }
            label for=(name("options")) { "Options of the axes, as JSON" }
            textarea.mono id=(name("options")) name="options" rows="6" spellcheck="false" { (json(&setting.axis_options)) }
            label for=(name("applies")) { "Applies to these Blueprints, one pattern a line" }
            textarea.mono id=(name("applies")) name="applies_to" rows="3" spellcheck="false" { (setting.applies_to.join("\n")) }
            label for=(name("ttl")) { "Time limit of a run, in seconds" }
            input id=(name("ttl")) name="ttl_secs" inputmode="numeric" required value=(setting.ttl_secs);
            label for=(name("spawner")) { "Spawner in place of the orbit's, as JSON" }
            textarea.mono id=(name("spawner")) name="spawner" rows="3" spellcheck="false" { (json(&setting.spawner)) }
            div { button.primary type="submit" { "Show what changes" } }
        }
    }
}

/// Returns the stored setting with the fields of the form.
async fn edited(
    viewer: &Viewer,
    id: &str,
    fields: &Fields,
) -> Result<(EnhanceSetting, EnhanceSetting), Failure> {
    let request = v1::GetSettingRequest {
        setting_id: id.to_owned(),
    };
    let stored = given(viewer.asker()?.get_setting(request).await?.setting)?;
    let json = |name: &str| {
        let read = json_struct::from_text(&fields.text(name));
        read.map_err(|problem| Failure::Field(format!("{name}: {problem}")))
    };
    let mut changed = stored.clone();
    changed.verifier_axes = fields.lines("axes");
    changed.applies_to = fields.lines("applies_to");
    changed.axis_options = json("options")?;
    changed.spawner = json("spawner")?;
    let ttl = fields.number("ttl_secs")?;
    changed.ttl_secs = ttl.ok_or_else(|| Failure::Field("ttl_secs is missing".to_owned()))?;
    Ok((stored, changed))
}

/// Returns what a person can edit, as lines to compare.
fn lines(setting: &EnhanceSetting) -> String {
    let json = |given: &Option<prost_types::Struct>| {
        given
            .as_ref()
            .map_or("none".to_owned(), json_struct::to_text)
    };
    let list = |items: &[String]| {
        let items: Vec<String> = items.iter().map(|item| format!("  - {item}\n")).collect();
        items.concat()
    };
    format!(
        "axes:\n{}options: {}\napplies_to:\n{}ttl_secs: {}\nspawner: {}\n",
        list(&setting.verifier_axes),
        json(&setting.axis_options),
        list(&setting.applies_to),
        setting.ttl_secs,
        json(&setting.spawner),
    )
}

/// Shows what an edit would change, and asks.
pub(crate) async fn check(
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
    Extension(fields): Extension<Fields>,
) -> Result<Page, Failure> {
    let (stored, changed) = edited(&viewer, &id, &fields).await?;
    let (old, new) = (lines(&stored), lines(&changed));
    let kept = ["axes", "options", "applies_to", "ttl_secs", "spawner"];
    let main = html! {
        h1 { "What changes in " (visible(&id)) }
        (diff::of_texts(&old, &new))
        @if old != new {
            form.buttons method="post" action={ "/settings/" (segment(&id)) } {
                (token(&viewer))
                input type="hidden" name="revision" value=(fields.get("revision").unwrap_or_default());
                @for name in kept { textarea.kept name=(name) hidden { (fields.text(name)) } }
                button.primary type="submit" { "Save" }
                a.button href="/settings" { "Discard" }
            }
            p.quiet { "Intake checks it, and a worker tries the orbit. It counts from the next issue on." }
        }
    };
    Ok(layout::page(
        &viewer,
        Place::Settings,
        "What changes",
        None,
        &main,
    ))
}

/// Saves an edit.
pub(crate) async fn save(
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let (_, changed) = edited(&viewer, &id, &fields).await?;
    let request = v1::PutSettingRequest {
        setting: Some(changed),
        orbit_document: None,
        expected_revision: fields.number("revision")?,
        orbit_format: v1::DocumentFormat::Unspecified.into(),
    };
    viewer.asker()?.put_setting(request).await?;
    Ok(see_other("/settings?done=saved"))
}
