//! A history under another id.
//!
//! The id is in the document, so every version is another one. The contents, their order, authors,
//! times and rationales are kept. The commits name no issues, because those changed the other
//! Blueprint: an issue has at most one commit.

use std::collections::HashMap;

use proto::v1::{ChannelMove, Commit, ImportBlueprintRequest};
use shared::blueprint::{Blueprint, Doc, yaml};
use shared::ids::{BlueprintId, Version};

/// Gives the messages of an import another id, one by one, oldest first.
pub(super) struct Renamed {
    id: BlueprintId,
    /// The version before, and the version with the other id.
    head: Option<(String, String)>,
    versions: HashMap<String, String>,
}

impl Renamed {
    pub(super) fn to(id: BlueprintId) -> Self {
        Self {
            id,
            head: None,
            versions: HashMap::new(),
        }
    }

    /// Returns the message with the other id.
    ///
    /// # Errors
    /// The message does not continue the previous ones.
    pub(super) fn message(
        &mut self,
        message: ImportBlueprintRequest,
    ) -> Result<ImportBlueprintRequest, String> {
        let (mut commit, mut document_yaml, mut channel_move) = (None, String::new(), None);
        if let Some(given) = message.commit {
            let (renamed, document) = self.commit(given, &message.document_yaml)?;
            (commit, document_yaml) = (Some(renamed), document);
        }
        if let Some(given) = message.channel_move {
            channel_move = Some(self.channel_move(given)?);
        }
        Ok(ImportBlueprintRequest {
            commit,
            document_yaml,
            channel_move,
            ..message
        })
    }

    fn commit(&mut self, commit: Commit, document: &str) -> Result<(Commit, String), String> {
        let expected: Vec<&String> = self.head.iter().map(|(before, _)| before).collect();
        if commit.parents.iter().collect::<Vec<_>>() != expected {
            return Err("does not follow from the previous commit".to_owned());
        }
        let version = Version::parse(&commit.version).map_err(|error| error.to_string())?;
        let blueprint =
            Blueprint::from_canonical(&version, document).map_err(|error| error.to_string())?;
        let members = blueprint.doc().as_object().into_iter().flatten();
        let doc = Doc::object(members.map(|(key, value)| {
            let value = match &**key {
                "id" => Doc::Str(self.id.as_str().into()),
                _ => value.clone(),
            };
            (key.clone(), value)
        }));
        let (document, renamed) = yaml::emit_hashed(&doc).map_err(|error| error.to_string())?;
        let renamed = renamed.to_string();
        let parents = self
            .head
            .take()
            .into_iter()
            .map(|(_, parent)| parent)
            .collect();
        self.versions
            .insert(commit.version.clone(), renamed.clone());
        self.head = Some((commit.version, renamed.clone()));
        let rationale = match commit.issue_id.as_str() {
            "" => commit.rationale,
            issue => {
                let origin = format!("(issue {issue} of {})", commit.blueprint_id);
                format!("{} {origin}", commit.rationale)
                    .trim_start()
                    .to_owned()
            }
        };
        let commit = Commit {
            blueprint_id: self.id.to_string(),
            version: renamed,
            parents,
            rationale,
            issue_id: String::new(),
            patch_hash: String::new(),
            epoch: None,
            ..commit
        };
        Ok((commit, document))
    }

    fn channel_move(&self, moved: ChannelMove) -> Result<ChannelMove, String> {
        let version = |version: String| match version.as_str() {
            "" => Ok(version),
            known => {
                let renamed = self.versions.get(known).cloned();
                renamed.ok_or_else(|| format!("has the version {known}, which no commit has"))
            }
        };
        Ok(ChannelMove {
            blueprint_id: self.id.to_string(),
            from_version: version(moved.from_version)?,
            to_version: version(moved.to_version)?,
            ..moved
        })
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::Epoch;

    use super::*;

    fn first() -> ImportBlueprintRequest {
        let document = "agents: []\nflow: {}\nid: old\n";
        let document = yaml::emit(&yaml::parse(document).unwrap()).unwrap();
        ImportBlueprintRequest {
            commit: Some(Commit {
                blueprint_id: "old".to_owned(),
                seq: 1,
                version: Version::of(&document).to_string(),
                rationale: "why".to_owned(),
                author: "alice".to_owned(),
                ..Commit::default()
            }),
            document_yaml: document,
            ..Default::default()
        }
    }

    fn second(first: &Commit) -> ImportBlueprintRequest {
        let document = "agents: []\nflow: {}\nid: old\nn: 2\n";
        let document = yaml::emit(&yaml::parse(document).unwrap()).unwrap();
        ImportBlueprintRequest {
            commit: Some(Commit {
                blueprint_id: "old".to_owned(),
                seq: 2,
                version: Version::of(&document).to_string(),
                parents: vec![first.version.clone()],
                rationale: "better".to_owned(),
                issue_id: "i-1".to_owned(),
                patch_hash: first.version.clone(),
                epoch: Some(Epoch::default()),
                ..Commit::default()
            }),
            document_yaml: document,
            ..Default::default()
        }
    }

    #[test]
    fn the_chain_holds_under_the_other_id() {
        let mut renamed = Renamed::to(BlueprintId::parse("new").unwrap());
        let before = first().commit.unwrap();
        let one = renamed.message(first()).unwrap();
        let commit = one.commit.unwrap();
        assert_eq!(commit.version, Version::of(&one.document_yaml).to_string());
        assert!(
            one.document_yaml.contains("id: new\n"),
            "{}",
            one.document_yaml
        );
        assert_eq!(
            (commit.blueprint_id.as_str(), commit.author.as_str()),
            ("new", "alice")
        );

        let two = renamed.message(second(&before)).unwrap().commit.unwrap();
        assert_eq!(two.parents, std::slice::from_ref(&commit.version));
        assert_eq!(two.rationale, "better (issue i-1 of old)");
        assert!(two.issue_id.is_empty() && two.patch_hash.is_empty() && two.epoch.is_none());

        let moved = ImportBlueprintRequest {
            channel_move: Some(ChannelMove {
                blueprint_id: "old".to_owned(),
                to_version: before.version,
                ..Default::default()
            }),
            last: true,
            ..Default::default()
        };
        let moved = renamed.message(moved).unwrap();
        assert!(moved.last);
        let moved = moved.channel_move.unwrap();
        assert_eq!(
            (moved.to_version, moved.blueprint_id),
            (commit.version, "new".to_owned())
        );
    }

    #[test]
    fn damage_is_not_covered_by_the_new_hashes() {
        let id = BlueprintId::parse("new").unwrap();
        let mut damaged = first();
        damaged.document_yaml.push_str("x: 1\n");
        assert!(Renamed::to(id.clone()).message(damaged).is_err());
        let mut renamed = Renamed::to(id);
        renamed.message(first()).unwrap();
        let refused = renamed.message(second(&Commit::default())).unwrap_err();
        assert!(refused.contains("does not follow"), "{refused}");
    }
}
