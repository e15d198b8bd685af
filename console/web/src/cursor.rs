//! Cursors of pages, which are opaque to callers and hold a position in a list.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::extract::check_length;
use crate::problem::Problem;

const MAX_CHARS: usize = 1_024;

/// The cursor of a position.
pub(crate) fn write(position: &impl Serialize) -> String {
    let json = serde_json::to_vec(position).expect("positions are plain values");
    URL_SAFE_NO_PAD.encode(json)
}

/// The position of a cursor that a caller sent back.
///
/// # Errors
/// The cursor is not one of this list.
pub(crate) fn read<T: DeserializeOwned>(cursor: Option<&str>) -> Result<Option<T>, Problem> {
    let Some(cursor) = cursor else {
        return Ok(None);
    };
    check_length("cursor", Some(cursor), MAX_CHARS)?;
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let position = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    position
        .map(Some)
        .ok_or_else(|| Problem::parameter("cursor", "not a cursor of this list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_others_are_refused() {
        let position = (7_i64, "a b/ü".to_owned());
        let cursor = write(&position);
        assert_eq!(read::<(i64, String)>(Some(&cursor)), Ok(Some(position)));
        assert_eq!(read::<(i64, String)>(None), Ok(None));
        assert!(read::<i64>(Some(&cursor)).is_err());
        assert!(read::<i64>(Some("§")).is_err());
        assert!(read::<String>(Some(&"x".repeat(MAX_CHARS + 1))).is_err());
    }
}
