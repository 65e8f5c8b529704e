//! The framing of RESP messages in both protocol versions, and the texts of commands and replies.
//! It decodes only what the proxy needs; a frame is forwarded unchanged.

/// Bytes that are not valid RESP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotResp(String);

impl std::fmt::Display for NotResp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no RESP: {}", self.0)
    }
}

/// The length in bytes of the first complete frame of `bytes`; `None` while it is incomplete.
///
/// # Errors
/// [`NotResp`] for inline commands, for streamed strings and aggregates (which Redis does not
/// send), and for any other invalid start of a frame.
pub fn length(bytes: &[u8]) -> Result<Option<usize>, NotResp> {
    let (mut at, mut missing) = (0, 1_usize);
    while missing > 0 {
        let Some((head, next)) = line(bytes, at) else {
            return Ok(None);
        };
        at = next;
        missing -= 1;
        match head.first() {
            Some(b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(') => {}
            Some(b'$' | b'=' | b'!') => {
                if let Some(len) = count(head)? {
                    at += len + 2;
                }
            }
            Some(b'*' | b'~' | b'>') => missing += count(head)?.unwrap_or(0),
            Some(b'%') => missing += 2 * count(head)?.unwrap_or(0),
            // Attributes precede the value that they belong to.
            Some(b'|') => missing += 2 * count(head)?.unwrap_or(0) + 1,
            _ => return Err(NotResp(String::from_utf8_lossy(head).into_owned())),
        }
    }
    Ok((at <= bytes.len()).then_some(at))
}

/// The first `n` bulk strings of the array in `frame`: a command's verb and arguments, or the
/// outcome at the start of a script's reply. Fewer if the array is shorter, or at the first value
/// of another type.
pub fn first_texts(frame: &[u8], n: usize) -> Vec<&[u8]> {
    let mut texts = Vec::with_capacity(n);
    let Some((head, mut at)) = line(frame, 0).filter(|(head, _)| head.first() == Some(&b'*'))
    else {
        return texts;
    };
    let n_items = count(head).ok().flatten().unwrap_or(0);
    while texts.len() < n.min(n_items) {
        let Some((head, next)) = line(frame, at).filter(|(head, _)| head.first() == Some(&b'$'))
        else {
            break;
        };
        let Ok(Some(len)) = count(head) else { break };
        let Some(text) = frame.get(next..next + len) else {
            break;
        };
        texts.push(text);
        at = next + len + 2;
    }
    texts
}

/// Whether the frame is a push message, which does not answer a command.
pub fn is_push(frame: &[u8]) -> bool {
    frame.first() == Some(&b'>')
}

/// Whether the frame is the reply to an EVALSHA of a script that the server does not have.
pub fn is_noscript(frame: &[u8]) -> bool {
    frame.starts_with(b"-NOSCRIPT")
}

/// The line that starts at `at`, without its terminator, and the position of the next byte.
fn line(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    Some((&rest[..end], at + end + 2))
}

/// The number after the type byte; `None` for the −1 of a null.
fn count(head: &[u8]) -> Result<Option<usize>, NotResp> {
    let text = String::from_utf8_lossy(&head[1..]);
    if text == "-1" {
        return Ok(None);
    }
    let number = text.parse().map(Some);
    number.map_err(|_| NotResp(String::from_utf8_lossy(head).into_owned()))
}
