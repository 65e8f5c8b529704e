//! The tokens in forms. A page of another site cannot read them, so it cannot send a form here in
//! the name of a person.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Number of random bytes of a key, a mask and an id.
pub(crate) const BYTES: usize = 32;

/// Returns random bytes.
pub(crate) fn random() -> Result<[u8; BYTES], getrandom::Error> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A key of this process. Forms of an earlier process are refused.
pub(crate) struct FormKey([u8; BYTES]);

impl FormKey {
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        random().map(Self)
    }

    /// Returns the code of a browser. All inputs have fixed lengths, so the code of one browser
    /// says nothing of another (no extension of a hash is a code).
    fn code(&self, form_id: &str, session_id: Option<&str>) -> [u8; BYTES] {
        let mut hash = Sha256::new();
        hash.update(self.0);
        for id in [form_id, session_id.unwrap_or_default()] {
            hash.update(Sha256::digest(id.as_bytes()));
        }
        hash.update(self.0);
        hash.finalize().into()
    }

    /// Returns a new token for the forms of a page. Each differs, so that the sizes of compressed
    /// pages do not tell it (BREACH).
    pub(crate) fn token(&self, form_id: &str, session_id: Option<&str>) -> Option<String> {
        let mask = random().ok()?;
        let code = self.code(form_id, session_id);
        let mut token = hex::encode(mask);
        let masked: Vec<u8> = mask
            .iter()
            .zip(code)
            .map(|(mask, code)| mask ^ code)
            .collect();
        token.push_str(&hex::encode(masked));
        Some(token)
    }

    /// Returns true if the token was made for this browser and session.
    pub(crate) fn accepts(&self, token: &str, form_id: &str, session_id: Option<&str>) -> bool {
        let Ok(bytes) = hex::decode(token) else {
            return false;
        };
        let Some((mask, masked)) = bytes.split_at_checked(BYTES) else {
            return false;
        };
        let given: Vec<u8> = mask
            .iter()
            .zip(masked)
            .map(|(mask, byte)| mask ^ byte)
            .collect();
        masked.len() == BYTES && given.ct_eq(&self.code(form_id, session_id)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_counts_for_its_browser_and_session_only() {
        let key = FormKey::random().unwrap();
        let token = key.token("browser", Some("session")).unwrap();
        assert!(key.accepts(&token, "browser", Some("session")));
        assert!(!key.accepts(&token, "other", Some("session")));
        assert!(!key.accepts(&token, "browser", None));
        assert!(!key.accepts(&token, "browser", Some("other")));
        assert!(
            !FormKey::random()
                .unwrap()
                .accepts(&token, "browser", Some("session"))
        );
        for bad in ["", "00", &token[2..], &format!("{token}00"), "zz"] {
            assert!(!key.accepts(bad, "browser", Some("session")), "{bad}");
        }
        assert_ne!(token, key.token("browser", Some("session")).unwrap());
    }
}
