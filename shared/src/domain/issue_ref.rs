//! An issue together with the Blueprint that it changes.

use crate::ids::BlueprintId;
use crate::ids::IssueId;

/// An issue and its queue: the element `<blueprint_id>/<issue_id>`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IssueRef {
    /// The target.
    pub blueprint_id: BlueprintId,
    /// The issue.
    pub issue_id: IssueId,
}

impl IssueRef {
    /// Takes an element apart; `None` if it is none.
    pub fn parse(element: &str) -> Option<IssueRef> {
        let (blueprint, issue) = element.split_once('/')?;
        Some(IssueRef {
            blueprint_id: BlueprintId::parse(blueprint).ok()?,
            issue_id: IssueId::parse(issue).ok()?,
        })
    }

    /// The element.
    pub fn element(&self) -> String {
        format!("{}/{}", self.blueprint_id, self.issue_id)
    }
}
