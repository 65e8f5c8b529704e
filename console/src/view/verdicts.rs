//! The verdicts of the axes.

use maud::{Markup, html};
use proto::v1::Verdict;

use crate::view::issue_state::mark;
use crate::view::text::visible;

/// Evidence longer than this is shown on demand.
const SHORT: usize = 240;

/// Returns the table of verdicts, denials first.
pub(crate) fn table(verdicts: &[Verdict]) -> Markup {
    let mut sorted: Vec<&Verdict> = verdicts.iter().collect();
    sorted.sort_by_key(|verdict| match verdict.status.as_str() {
        "deny" => 0,
        "review" => 1,
        _ => 2,
    });
    html! {
        table.verdicts {
            thead { tr { th scope="col" { "Axis" } th scope="col" { "Verdict" } th scope="col" { "Evidence or reason" } } }
            tbody {
                @for verdict in sorted {
                    tr {
                        th scope="row" { code { (visible(&verdict.axis)) } }
                        td { (judgement(&verdict.status)) }
                        td.evidence { (evidence(&verdict.detail)) }
                    }
                }
            }
        }
    }
}

fn judgement(status: &str) -> Markup {
    match status {
        "pass" => mark("pass", "applied"),
        "deny" => mark("deny", "denied"),
        "review" => mark("review", "review"),
        other => mark(other, "waiting"),
    }
}

fn evidence(detail: &str) -> Markup {
    let shown = visible(detail);
    html! {
        @if shown.is_empty() || shown == "{}" || shown == "[]" || shown == "null" {
            span.quiet { "no details" }
        } @else if shown.chars().count() <= SHORT {
            span.prose { (shown) }
        } @else {
            details {
                summary { (crate::view::text::first_line(&shown, 120)) }
                pre.prose { (shown) }
            }
        }
    }
}
