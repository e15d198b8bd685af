//! Rounding and format of figures.

/// The completed share of `total`, from 0 to 100 with two decimals. 100 only with `is_done`; otherwise the share is rounded
/// down and stays below.
pub fn progress_percent(done: i64, total: Option<i64>, is_done: bool) -> f64 {
    if is_done {
        return 100.0;
    }
    let Some(total) = total.filter(|total| *total > 0) else {
        return 0.0;
    };
    let hundredths = i128::from(done.max(0)) * 10_000 / i128::from(total);
    from_hundredths(hundredths.min(9_999))
}

/// The share of `part` in `whole`, from 0 to 100, rounded to two decimals.
pub fn share_percent(part: i64, whole: i64) -> f64 {
    if whole <= 0 {
        return 0.0;
    }
    let whole = i128::from(whole);
    let hundredths = (i128::from(part.max(0)) * 10_000 + whole / 2) / whole;
    from_hundredths(hundredths.min(10_000))
}

/// Entities per second. The shortest time is a millisecond.
pub(super) fn per_second(handled: i64, millis: i64) -> f64 {
    if handled <= 0 {
        return 0.0;
    }
    let hundredths = i128::from(handled) * 100_000 / i128::from(millis.max(1));
    from_hundredths(hundredths)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "two decimals of what people read"
)]
fn from_hundredths(hundredths: i128) -> f64 {
    hundredths as f64 / 100.0
}

/// At most two decimals, without trailing zeros: `33.33`, `50`, `100`.
pub fn decimal_text(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `HH:MM:SS`; a day is 24 hours, two days are 48.
pub fn clock_text(millis: i64) -> String {
    let seconds = millis.max(0) / 1_000;
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_percent_is_only_what_is_done() {
        let check = |done, total, is_done, expected: &str| {
            let percent = progress_percent(done, total, is_done);
            assert_eq!(decimal_text(percent), expected, "{done} of {total:?}");
        };
        check(0, None, false, "0");
        check(7, None, false, "0");
        check(0, Some(0), true, "100");
        check(1, Some(3), false, "33.33");
        check(2, Some(3), false, "66.66");
        check(99_999, Some(100_000), false, "99.99");
        check(100, Some(100), false, "99.99");
        check(150, Some(100), false, "99.99");
        check(100, Some(100), true, "100");
    }

    #[test]
    fn shares_are_rounded() {
        let check = |part, whole, expected: &str| {
            assert_eq!(decimal_text(share_percent(part, whole)), expected);
        };
        check(569, 569, "100");
        check(2, 3, "66.67");
        check(0, 5, "0");
        check(0, 0, "0");
    }

    #[test]
    fn rates_and_times_read_as_documented() {
        assert_eq!(decimal_text(per_second(569, 3_542)), "160.64");
        assert_eq!(decimal_text(per_second(0, 0)), "0");
        assert_eq!(decimal_text(per_second(5, 0)), "5000");
        assert_eq!(clock_text(4_900), "00:00:04");
        assert_eq!(clock_text(-1), "00:00:00");
        assert_eq!(clock_text(90_061_000), "25:01:01");
    }
}
