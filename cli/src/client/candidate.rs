//! What an ambiguous id or version may mean.

use crate::output;

/// Length of a line about a candidate.
const CANDIDATE_WIDTH: usize = 100;

/// What an ambiguous argument may mean.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// The id or version.
    pub(crate) id: String,
    /// A description, which is cut to the line.
    pub(crate) about: String,
}

impl Candidate {
    /// Returns a line for each candidate, each after a line break.
    pub(super) fn lines(candidates: &[Self], has_more: bool) -> String {
        let lines = candidates.iter().map(|Self { id, about }| {
            let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
            format!(
                "\n  {}",
                output::cut(&format!("{id}  {about}"), CANDIDATE_WIDTH)
            )
        });
        let end = if has_more { "\n  …" } else { "" };
        lines.chain([end.to_owned()]).collect()
    }
}
