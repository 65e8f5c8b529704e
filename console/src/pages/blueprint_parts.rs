//! The parts of a Blueprint's page: agents, channels, commits, moves, consumers.

use maud::{Markup, html};
use proto::v1::{ChannelMove, Commit, Consumer, ConsumerStatus};
use serde_json::Value;

use crate::calls::Scope;
use crate::edge::fields::segment;
use crate::edge::guard::Viewer;
use crate::pages::blueprint::Subject;
use crate::view::issue_state::mark;
use crate::view::layout::{self, token};
use crate::view::text::{first_line, short, visible};
use crate::view::time;

/// The number of listed agents.
const MAX_AGENTS: usize = 200;

/// Returns the agents with their prompts.
pub(crate) fn agents(document: &Value) -> Markup {
    let agents = document["agents"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    html! {
        @if agents.is_empty() { (layout::empty("The document has no agents.")) }
        div.agents {
            @for agent in agents.iter().take(MAX_AGENTS) {
                @let text = |value: &Value| visible(value.as_str().unwrap_or_default()).into_owned();
                @let profile = &agent["profile"];
                @let prompt = profile["system_prompt"].as_str().unwrap_or_default();
                @let kind = text(&agent["kind"]);
                @let model = text(&profile["model"]);
                div.agent {
                    h3 { (text(&agent["name"])) }
                    p.quiet { (kind) @if !model.is_empty() { " · " (model) } }
                    @if profile["description"].is_string() { p.prose { (text(&profile["description"])) } }
                    @if !prompt.is_empty() {
                        @if prompt.chars().count() <= 160 { p.prose.prompt { (visible(prompt)) } }
                        @else { details { summary { (first_line(prompt, 120)) } pre.prose.prompt { (visible(prompt)) } } }
                    }
                }
            }
        }
        @if agents.len() > MAX_AGENTS { p.empty { "The list shows the first " (MAX_AGENTS) " agents." } }
    }
}

/// Returns the channels, with the forms that move them.
pub(crate) fn channels(viewer: &Viewer, subject: &Subject) -> Markup {
    let may_move = viewer.may(Scope::Admin) && !subject.is_archived;
    html! {
        section.panel {
            h2 { "Channels" }
            @if subject.channels.is_empty() { p.quiet { "No channel points to a version yet." } }
            @for channel in &subject.channels {
                @let is_head = channel.version == subject.head.version;
                div.channel {
                    h3 { (channel.name) }
                    p {
                        @if !channel.version_label.is_empty() { b { (visible(&channel.version_label)) } " " }
                        code title=(channel.version) { (short(&channel.version)) }
                        @if is_head { span.tag { "head" } }
                        @else {
                            " " a href={ (subject.path) "?tab=history&from=" (channel.version) "&to=" (subject.head.version) "#compared" } { "compare with the head" }
                        }
                    }
                    p.quiet { "since " (time::ago(channel.moved_at.as_ref())) @if !channel.moved_by.is_empty() { " by " (visible(&channel.moved_by)) } }
                    @if may_move {
                        div.buttons {
                            @if !is_head {
                                form method="post" action={ (subject.path) "/promote" } {
                                    (token(viewer))
                                    input type="hidden" name="channel" value=(channel.name);
                                    input type="hidden" name="version" value=(subject.head.version);
                                    input type="hidden" name="revision" value=(channel.revision);
                                    button.primary type="submit" aria-label={ "Promote the head to " (channel.name) } { "Promote head" }
                                }
                            }
                            form method="post" action={ (subject.path) "/rollback" } {
                                (token(viewer))
                                input type="hidden" name="channel" value=(channel.name);
                                input type="hidden" name="revision" value=(channel.revision);
                                button type="submit" aria-label={ "Roll " (channel.name) " back" } { "Roll back" }
                            }
                        }
                    }
                }
            }
            @if may_move {
                details {
                    summary { "Another channel or version" }
                    form.stack method="post" action={ (subject.path) "/promote" } {
                        (token(viewer))
                        label for="channel" { "Channel" }
                        input #channel name="channel" required pattern="[a-z][a-z0-9\\-]{0,31}" autocomplete="off" spellcheck="false";
                        label for="version" { "Version" }
                        input #version.mono name="version" required value=(subject.head.version) spellcheck="false";
                        label for="reason" { "Reason" }
                        input #reason name="reason" autocomplete="off";
                        div { button type="submit" { "Promote" } }
                    }
                }
            }
        }
    }
}

/// Returns the form that previews an intent, or files it.
pub(crate) fn try_form(viewer: &Viewer, subject: &Subject, intent: &str) -> Markup {
    html! {
        section.panel {
            h2 { "Try a change" }
            form.stack method="post" action={ (subject.path) "/preview" } {
                (token(viewer))
                input type="hidden" name="blueprint" value=(subject.id);
                label for="intent" { "What should change" }
                textarea #intent name="intent" rows="4" required { (intent) }
                div.buttons {
                    button type="submit" { "Preview" }
                    button.primary type="submit" formaction="/issues" { "File the issue" }
                }
            }
        }
    }
}

/// Returns the table of commits, which also chooses two versions to compare.
pub(crate) fn commits(
    viewer: &Viewer,
    subject: &Subject,
    commits: &[Commit],
    from: Option<&str>,
    to: Option<&str>,
) -> Markup {
    let previous = commits.get(1).map_or("", |commit| &commit.version);
    let from = from.unwrap_or(previous);
    let to = to.unwrap_or(&subject.head.version);
    let may_revert = viewer.may(Scope::Admin) && !subject.is_archived;
    html! {
        form #compare.filters method="get" action=(subject.path) {
            input type="hidden" name="tab" value="history";
            button type="submit" { "Compare the chosen versions" }
        }
        table.rows {
            thead { tr {
                th scope="col" { "From" } th scope="col" { "To" } th scope="col" { "No." } th scope="col" { "Version" }
                th scope="col" { "Reason" } th.extra scope="col" { "By" } th scope="col" { "Written" }
                @if may_revert { th scope="col" { span.sr { "Action" } } }
            } }
            tbody {
                @for commit in commits {
                    @let is_head = commit.seq == subject.head.seq;
                    tr {
                        td.fit data-label="From" { input type="radio" form="compare" name="from" value=(commit.version) checked[commit.version == from] aria-label={ "Compare from number " (commit.seq) }; }
                        td.fit data-label="To" { input type="radio" form="compare" name="to" value=(commit.version) checked[commit.version == to] aria-label={ "Compare to number " (commit.seq) }; }
                        td.fit.quiet data-label="No." { (commit.seq) }
                        td.fit {
                            @if !commit.version_label.is_empty() { b { (visible(&commit.version_label)) } " " }
                            a href={ (subject.path) "?tab=document&version=" (commit.version) } { code title=(commit.version) { (short(&commit.version)) } }
                            @for channel in subject.channels.iter().filter(|channel| channel.seq == commit.seq) { span.tag { (channel.name) } }
                            @if is_head { span.tag { "head" } }
                        }
                        td.wide {
                            @if commit.issue_id.is_empty() { (first_line(&commit.rationale, 100)) }
                            @else { a href={ "/issues/" (segment(&commit.issue_id)) } {
                                @if commit.rationale.is_empty() { "the issue" } @else { (first_line(&commit.rationale, 100)) }
                            } }
                        }
                        td.fit.quiet.extra { (visible(&commit.author)) }
                        td.fit.quiet { (time::ago(commit.committed_at.as_ref())) }
                        @if may_revert {
                            td.fit {
                                @if !is_head {
                                    form method="post" action={ (subject.path) "/revert" } {
                                        (token(viewer))
                                        input type="hidden" name="version" value=(commit.version);
                                        button.small type="submit" aria-label={ "Revert to number " (commit.seq) } { "Revert" }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the table of moves.
pub(crate) fn moves(moves: &[ChannelMove]) -> Markup {
    let version = |version: &str| {
        html! { @if version.is_empty() { span.quiet { "nothing" } } @else { code title=(version) { (short(version)) } } }
    };
    html! {
        table.rows {
            thead { tr {
                th scope="col" { "Channel" } th scope="col" { "From" } th scope="col" { "To" }
                th.extra scope="col" { "Reason" } th scope="col" { "By" } th scope="col" { "Moved" }
            } }
            tbody {
                @for each in moves {
                    tr {
                        td.fit { (each.channel) }
                        td.fit data-label="From" { (version(&each.from_version)) }
                        td.fit data-label="To" { (version(&each.to_version)) }
                        td.wide.extra { (first_line(&each.reason, 100)) }
                        td.fit.quiet { (visible(&each.actor)) }
                        td.fit.quiet { (time::ago(each.moved_at.as_ref())) }
                    }
                }
            }
        }
    }
}

/// Returns the table of consumers.
pub(crate) fn consumers(consumers: &[Consumer]) -> Markup {
    html! {
        @if consumers.is_empty() {
            (layout::empty("No instance has reported that it runs this Blueprint."))
        } @else {
            table.rows {
                thead { tr {
                    th scope="col" { "Instance" } th scope="col" { "Status" } th scope="col" { "Version" }
                    th.extra scope="col" { "Follows" } th scope="col" { "Since" } th scope="col" { "Last seen" }
                } }
                tbody {
                    @for consumer in consumers {
                        tr {
                            td.wide {
                                (visible(&consumer.consumer_id))
                                @if !consumer.message.is_empty() { div.reason { (first_line(&consumer.message, 120)) } }
                            }
                            td.fit { (status(consumer)) }
                            td.fit { code title=(consumer.version) { (short(&consumer.version)) } }
                            td.fit.extra { @if consumer.channel.is_empty() { "head" } @else { (consumer.channel) } }
                            td.fit.quiet data-label="Since" { (time::ago(consumer.since.as_ref())) }
                            td.fit.quiet data-label="Last seen" { (time::ago(consumer.last_seen.as_ref())) }
                        }
                    }
                }
            }
        }
    }
}

fn status(consumer: &Consumer) -> Markup {
    match (consumer.status(), consumer.behind) {
        (ConsumerStatus::Failed, _) => mark("failed", "failed"),
        (ConsumerStatus::Applying, _) => mark("applying", "running"),
        (_, true) => mark("behind", "waiting"),
        _ => mark("up to date", "applied"),
    }
}
