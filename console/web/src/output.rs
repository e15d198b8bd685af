//! Outputs of runs, cut to a length.

/// How much of an output is shown in lists.
const SHOWN_BYTES: usize = 1_024;

/// The head of an output, and whether it was cut.
pub(crate) fn head_of(mut output: String) -> (String, bool) {
    let is_cut = output.len() > SHOWN_BYTES;
    output.truncate(output.floor_char_boundary(SHOWN_BYTES));
    (output, is_cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_output_shows_its_head() {
        assert_eq!(head_of("short".to_owned()), ("short".to_owned(), false));
        let (shown, is_cut) = head_of("ü".repeat(600) + "x");
        assert_eq!((shown.len(), is_cut), (1_024, true));
        let (shown, _) = head_of("x".to_owned() + &"ü".repeat(600));
        assert_eq!(shown.len(), 1_023);
    }
}
