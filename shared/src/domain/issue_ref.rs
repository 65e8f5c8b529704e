//! An issue together with its Blueprint.

use crate::ids::BlueprintId;
use crate::ids::IssueId;

/// An issue and its Blueprint: the parsed element `<blueprint_id>/<issue_id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IssueRef {
    /// The target.
    pub blueprint_id: BlueprintId,
    /// The issue.
    pub issue_id: IssueId,
}

impl IssueRef {
    /// Parses an element; `None` if it is invalid.
    pub fn parse(element: &str) -> Option<IssueRef> {
        let (blueprint, issue) = element.split_once('/')?;
        Some(IssueRef {
            blueprint_id: BlueprintId::parse(blueprint).ok()?,
            issue_id: IssueId::parse(issue).ok()?,
        })
    }

    /// Returns the element `<blueprint_id>/<issue_id>`.
    pub fn element(&self) -> String {
        format!("{}/{}", self.blueprint_id, self.issue_id)
    }
}
