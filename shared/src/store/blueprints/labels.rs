//! Looks up versions of a Blueprint by label.

use crate::ids::BlueprintId;
use crate::store::blueprints::label_rank;
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;

impl Shard {
    /// Returns the labels that decide a requirement. It reads a few labels, independent of their
    /// number.
    pub(crate) async fn labels_for(
        &self,
        id: &BlueprintId,
        req: &semver::VersionReq,
    ) -> Result<LabelsFor, StoreError> {
        let ranks = self.keys.ranks(id);
        let mut pipeline = redis::pipe();
        pipeline.cmd("EXISTS").arg(self.keys.blueprint(id));
        let ranges = label_rank::ranges(req);
        let of_ranges = ranges.iter().map(|r| (r.max.as_str(), r.min.as_str()));
        let invalid = (label_rank::ABOVE_INVALID, label_rank::INVALID);
        let invalid = (format!("({}", invalid.0), format!("[{}", invalid.1));
        for (max, min) in of_ranges.chain([(invalid.0.as_str(), invalid.1.as_str())]) {
            let top = pipeline.cmd("ZRANGE").arg(&ranks).arg(max).arg(min);
            top.arg("BYLEX").arg("REV").arg("LIMIT").arg(0).arg(1);
        }
        let found: Vec<redis::Value> = self.handle.pipeline("labels", &pipeline).await?;
        let mut found = found.into_iter();
        let read = |source: redis::ParsingError| StoreError::Redis {
            call: "labels",
            source: source.into(),
        };
        let exists = found
            .next()
            .map_or(Ok(false), redis::from_redis_value)
            .map_err(read)?;
        let tops: Result<Vec<Vec<String>>, _> = found.map(redis::from_redis_value).collect();
        let mut tops = tops.map_err(read)?;
        let invalid = tops.pop().unwrap_or_default().pop();
        let highest = label_rank::best(req, &tops.concat()).map(|(v, rank)| (v, rank.to_owned()));
        Ok(LabelsFor {
            exists,
            highest,
            invalid,
        })
    }
}

/// The result of a label search for a requirement.
pub(crate) struct LabelsFor {
    /// True if the Blueprint exists.
    pub(crate) exists: bool,
    /// The highest matching version and its rank.
    pub(crate) highest: Option<(semver::Version, String)>,
    /// The rank of an invalid label, if any.
    invalid: Option<String>,
}

impl LabelsFor {
    /// Returns the error for a requirement without a match.
    pub(crate) fn nothing(&self, id: &BlueprintId, req: &semver::VersionReq) -> StoreError {
        let invalid = self.invalid.as_deref().and_then(|rank| {
            let label = rank.strip_prefix(label_rank::INVALID)?;
            Some((label, semver::Version::parse(label).err()?))
        });
        match invalid {
            Some((label, source)) => StoreError::InvalidSemver {
                blueprint_id: id.to_string(),
                label: label.to_owned(),
                source,
            },
            None => StoreError::NoMatchingVersion {
                blueprint_id: id.to_string(),
                req: req.to_string(),
            },
        }
    }
}
