//! Numbers as they are written: exact decimals, and the conversions that keep every digit.
//!
//! A number in a file or in JSON is a text first. It becomes a 64-bit integer or a double only where that changes nothing,
//! or where the type of a column asks for it. The table of all conversions is in `docs/design/values.md`.

use std::cmp::Ordering;

/// The largest power of ten that is read. A text with a larger one is not a number.
const MAX_EXPONENT: i64 = 1_000_000_000_000_000;

/// An exact decimal number of any length: ±0.d₁d₂d₃… × 10^exponent. Zero has no digits and no sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    is_negative: bool,
    /// Without zeros at either end.
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Reads a number such as `12`, `-0.50`, `.5` or `1.2e-3`. None if the text is something else; white space, `inf` and
    /// `nan` are.
    pub fn parse(text: &str) -> Option<Self> {
        let (is_negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !are_digits(whole) || !are_digits(fraction)
        {
            return None;
        }
        let all = [whole, fraction].concat();
        let significant = all.trim_start_matches('0');
        if significant.is_empty() {
            return Some(Self {
                is_negative: false,
                digits: String::new(),
                exponent: 0,
            });
        }
        let leading_zeros = all.len() - significant.len();
        let point = i64::try_from(whole.len()).ok()? - i64::try_from(leading_zeros).ok()?;
        Some(Self {
            is_negative,
            digits: significant.trim_end_matches('0').to_owned(),
            exponent: point.checked_add(exponent)?,
        })
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// The same number as a 64-bit integer; none if it has a fraction or is too large.
    pub fn to_integer(&self) -> Option<i64> {
        /// The digits of the largest 64-bit integer.
        const MOST_DIGITS: usize = 19;
        if self.is_zero() {
            return Some(0);
        }
        let length = usize::try_from(self.exponent)
            .ok()
            .filter(|length| (self.digits.len()..=MOST_DIGITS).contains(length))?;
        let sign = if self.is_negative { "-" } else { "" };
        format!("{sign}{:0<length$}", self.digits).parse().ok()
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        self.exponent
            .cmp(&other.exponent)
            // Without trailing zeros, the order of the digits is the order of the fractions.
            .then_with(|| self.digits.cmp(&other.digits))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.is_zero(), number.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let (left, right) = (sign(self), sign(other));
        left.cmp(&right).then_with(|| match left {
            1 => self.compare_magnitude(other),
            -1 => other.compare_magnitude(self),
            _ => Ordering::Equal,
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let exponent: i64 = text.parse().ok()?;
    (-MAX_EXPONENT..=MAX_EXPONENT)
        .contains(&exponent)
        .then_some(exponent)
}

/// The 64-bit integer that a text means exactly: `7`, `007`, `7.0` and `70e-1` all mean 7. None for any other text.
pub fn exact_integer(text: &str) -> Option<i64> {
    match text.parse() {
        Ok(integer) => Some(integer),
        Err(_) => Decimal::parse(text)?.to_integer(),
    }
}

/// The double that is nearest to a number in a text. None for any other text, for a number beyond the range of doubles, and
/// for one so small that it would become zero.
pub fn nearest_real(text: &str) -> Option<f64> {
    let number = Decimal::parse(text)?;
    let real: f64 = text.parse().ok()?;
    (real.is_finite() && (real != 0.0 || number.is_zero())).then_some(real)
}

/// The integer that is written exactly like this text.
pub fn written_integer(text: &str) -> Option<i64> {
    let integer: i64 = text.parse().ok()?;
    (integer.to_string() == text).then_some(integer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_decimal_numbers_are_read() {
        for text in [
            "",
            "-",
            "+",
            ".",
            "e1",
            "1e",
            "1e+",
            "inf",
            "nan",
            "0x1",
            " 1",
            "1 ",
            "1_0",
            "1.2.3",
            "--1",
            "1e1.5",
            "٣",
            "1e9999999999999999999",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        for text in ["0", "-0", "+1", ".5", "5.", "1e5", "1E-5", "00.00e9"] {
            assert!(Decimal::parse(text).is_some(), "{text}");
        }
    }

    #[test]
    fn integers_are_exact_or_none() {
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(exact_integer(text), expected, "{text}");
        };
        check("7", Some(7));
        check("007", Some(7));
        check("7.00", Some(7));
        check("-0", Some(0));
        check("1e2", Some(100));
        check("70e-1", Some(7));
        check("7.5", None);
        check("9223372036854775807", Some(i64::MAX));
        check("-9223372036854775808", Some(i64::MIN));
        check("9223372036854775808", None);
        check("9223372036854775807.0", Some(i64::MAX));
        check("9007199254740993", Some(9_007_199_254_740_993));
        check("101E010031", None);
        check("1e999999999999", None);
        check("", None);
    }

    #[test]
    fn reals_are_in_range_or_none() {
        assert_eq!(nearest_real("1.5"), Some(1.5));
        assert_eq!(nearest_real("0e9"), Some(0.0));
        for text in ["1e999", "101E010031", "1e-999", "inf", "nan", "x"] {
            assert_eq!(nearest_real(text), None, "{text}");
        }
    }

    #[test]
    fn order_does_not_depend_on_how_a_number_is_written() {
        let ordered = [
            "-1e400",
            "-10",
            "-9.5",
            "-0.001",
            "0",
            "1e-400",
            "0.1",
            "0.12",
            "1",
            "9",
            "10",
            "123456789012345678",
            "123456789012345679",
            "1e400",
        ];
        for (left, a) in ordered.iter().enumerate() {
            for (right, b) in ordered.iter().enumerate() {
                let [a, b] = [a, b].map(|text| Decimal::parse(text).unwrap());
                assert_eq!(a.cmp(&b), left.cmp(&right));
            }
        }
        for (a, b) in [("1.50", "1.5"), ("10", "1e1"), ("-0", "0"), ("0.10", ".1")] {
            assert_eq!(Decimal::parse(a), Decimal::parse(b));
        }
    }

    proptest! {
        #[test]
        fn integers_and_decimals_agree(a: i64, b: i64, zeros in 0_usize..5) {
            let written = |number: i64| format!("{number}.{}", "0".repeat(zeros));
            prop_assert_eq!(exact_integer(&written(a)), Some(a));
            let [x, y] = [a, b].map(|number| Decimal::parse(&written(number)).unwrap());
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        }
    }
}
