//! Parses the options of a setting's axes from the wire.

use prost_types::Struct;
use shared::blueprint::Doc;
use shared::domain::axis_options::{self, AxisOptions};

use crate::convert::documents::struct_to_doc;
use crate::error::request_error::RequestError;
use crate::error::violations::Violations;

/// Parses the field `setting.axis_options`. If `axes` is unknown, missing options are not reported.
pub(crate) fn axis_options(
    given: Option<Struct>,
    axes: Option<&[String]>,
) -> Result<AxisOptions, RequestError> {
    const FIELD: &str = "setting.axis_options";
    let options = match given.map(struct_to_doc) {
        None => AxisOptions::new(),
        Some(Ok(Doc::Object(members))) => AxisOptions::clone(&members),
        Some(Ok(other)) => {
            let kind = other.kind();
            return Err(RequestError::field(
                FIELD,
                format!("must be an object, not {kind}"),
            ));
        }
        Some(Err(problem)) => return Err(RequestError::field(FIELD, problem)),
    };
    let mut violations = Violations::default();
    for fault in axes.map_or(Vec::new(), |axes| axis_options::check(&options, axes)) {
        let dot = if fault.path.is_empty() { "" } else { "." };
        let field = format!("{FIELD}{dot}{}", fault.path);
        let _refused: Option<()> = violations.check(&field, Err(fault.problem));
    }
    if violations.is_empty() {
        Ok(options)
    } else {
        Err(violations.into())
    }
}
