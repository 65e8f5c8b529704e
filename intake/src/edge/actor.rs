//! Determines the actor of a call.
//!
//! Where intake authenticates its callers, the actor is the name of the token, or else a name in
//! the client certificate. Elsewhere it is what the caller claims in the metadata
//! `draftsman-actor`. A caller without a name is `anonymous`.

use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode;
use shared::domain::actor::Actor;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::request_error::RequestError;

/// The metadata with the actor that an unauthenticated caller claims to be.
const ACTOR_HEADER: HeaderName = HeaderName::from_static("draftsman-actor");

/// Returns the claimed actor; `anonymous` without a claim. The value is percent-decoded, because
/// metadata is ASCII.
///
/// # Errors
/// Names the metadata if it is not a valid actor.
pub(crate) fn claimed(headers: &HeaderMap) -> Result<Actor, RequestError> {
    let Some(value) = headers.get(ACTOR_HEADER) else {
        return Ok(Actor::anonymous());
    };
    let Ok(text) = percent_decode(value.as_bytes()).decode_utf8() else {
        return Err(RequestError::field(ACTOR_HEADER.as_str(), "is not UTF-8"));
    };
    Actor::parse(&text).map_err(|error| RequestError::field(ACTOR_HEADER.as_str(), error))
}

/// Returns the actor of a verified client certificate (DER): its first DNS name or URI among the
/// subject alternative names, else its common name. `None` if that name is not a valid actor: the
/// authority may have checked one name and copied another.
pub(crate) fn of_certificate(der: &[u8]) -> Option<Actor> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let alternatives = certificate.subject_alternative_name().ok()?;
    let alternatives = alternatives.iter().flat_map(|san| &san.value.general_names);
    let mut alternatives = alternatives.filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some(*name),
        _ => None,
    });
    let name = match alternatives.next() {
        Some(name) => name,
        None => certificate
            .subject()
            .iter_common_name()
            .next()?
            .as_str()
            .ok()?,
    };
    Actor::parse(name).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn claim(value: &[u8]) -> Result<String, RequestError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACTOR_HEADER, HeaderValue::from_bytes(value).unwrap());
        claimed(&headers).map(|actor| actor.to_string())
    }

    #[test]
    fn a_claim_is_percent_decoded() {
        assert_eq!(claimed(&HeaderMap::new()).unwrap(), Actor::anonymous());
        for (value, actor) in [
            ("alice", "alice"),
            ("J%C3%BCrgen", "Jürgen"),
            ("100%", "100%"),
            ("a b", "a b"),
        ] {
            assert_eq!(claim(value.as_bytes()).unwrap(), actor);
        }
        assert_eq!(claim("Jürgen".as_bytes()).unwrap(), "Jürgen");
    }

    #[test]
    fn an_invalid_claim_names_the_metadata() {
        for value in [&b""[..], b"%0A", b"%FF", b"\xff", &[b'a'; 129]] {
            match claim(value).unwrap_err() {
                RequestError::Invalid(violations) => {
                    assert_eq!(violations[0].field, "draftsman-actor");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
