//! Cursors of pages: opaque texts for callers, positions for us.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use weft_web::{ApiError, ApiResult};

/// The cursor of a position.
pub fn write(position: &impl Serialize) -> ApiResult<String> {
    let json =
        serde_json::to_vec(position).map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// The position of a cursor that a caller gave back.
pub fn read<T: DeserializeOwned>(cursor: Option<&str>) -> ApiResult<Option<T>> {
    let Some(cursor) = cursor else {
        return Ok(None);
    };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let position = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    position.map(Some).ok_or_else(|| ApiError::Invalid {
        parameter: "cursor",
        message: "not a cursor of this list".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went_and_others_are_refused() {
        let position = (7_i64, "a b/ü".to_owned());
        let cursor = write(&position).expect("written");
        assert_eq!(read::<(i64, String)>(Some(&cursor)), Ok(Some(position)));
        assert_eq!(read::<(i64, String)>(None), Ok(None));
        assert!(read::<i64>(Some(&cursor)).is_err());
        assert!(read::<i64>(Some("§")).is_err());
    }
}
